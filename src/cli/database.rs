//! The commands that write to the database: `migrate` and `catalogue seed`.

use std::process::ExitCode;

use anyhow::{Context, anyhow};

use crate::app;
use crate::config::Config;
use crate::domain::seed::Seed;
use crate::embedded::{Cluster, EmbeddedError};
use crate::store::{DatabaseFault, SeedMode, SeedReport, Store, StoreError};

use super::output::say;

pub(super) async fn migrate(config: &Config) -> anyhow::Result<ExitCode> {
    with_database(config, async |store| {
        let before = store.migrations().await?;
        let repaired = store.migrate().await.map_err(with_remedy)?;
        for defect in &repaired {
            say(&format!("repaired: {defect}"))?;
        }
        match before.pending {
            0 if !repaired.is_empty() => say("triggers installed again"),
            0 => say(&format!("nothing to do: all {} migrations are applied", before.applied)),
            pending => say(&format!("{pending} migrations applied")),
        }
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn seed(config: &Config, overwrite: bool) -> anyhow::Result<ExitCode> {
    let seed = Seed::builtin().context("the seed compiled into this binary is damaged")?;
    let mode = if overwrite { SeedMode::Overwrite } else { SeedMode::Newer };
    with_database(config, async |store| {
        store.migrate().await.map_err(with_remedy)?;
        let mut report = app::seed(store, &seed, mode).await?;
        let is_empty = store.inspect_tables().await?.fault() == Some(DatabaseFault::Empty);
        if is_empty && matches!(report, SeedReport::UpToDate { .. }) {
            report = app::seed(store, &seed, SeedMode::Again).await?;
        }
        match report {
            SeedReport::Applied { to, .. } => {
                say(&format!("seed {to} applied: {} models", seed.models.len()))
            }
            SeedReport::UpToDate { version } => {
                say(&format!("the database already has seed {version}; `--overwrite` writes it again"))
            }
        }
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn with_remedy(error: StoreError) -> anyhow::Error {
    anyhow!("{error}: {}", error.fault().remedy())
}

/// Runs `work` on the configured database, and stops an embedded one afterwards in any case.
pub(super) async fn with_database<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (store, cluster) = app::open(&config.database).await.map_err(|error| match error {
        // The hint for a second server, another folder, would lead to another database.
        EmbeddedError::InUse { folder, pid } => {
            let process = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            let folder = folder.display();
            anyhow!(
                "a running chatchonk{process} uses the embedded database in {folder}: stop it, run this command again, \
                 and restart it"
            )
        }
        error => error.into(),
    })?;
    let worked = work(&store).await;
    store.close().await;
    if let Some(cluster) = cluster {
        Cluster::stop(cluster).await;
    }
    worked
}
