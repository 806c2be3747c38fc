//! `cache`: shows the counters of a running server, and purges the cache.

use std::process::ExitCode;

use anyhow::{Context, bail, ensure};

use crate::app;
use crate::catalogue::SCOPE;
use crate::config::{Config, DatabaseChoice, KV_VARIABLES};
use crate::embedded;
use crate::kv_client::KvSettings;

use super::database::with_database;
use super::output::{report, say};
use super::running::RunningServer;
use super::table;

pub(super) async fn stats(address: &str, json: bool) -> anyhow::Result<ExitCode> {
    let health = RunningServer::at(address)?.health().await?;
    let cache = health.cache.context("the server does not report its cache; it runs another release")?;
    let text = if json { cache.get().to_owned() } else { table::of_cache(&health.json["cache"]) };
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Deletes first and raises the version afterwards, even if the deletion failed: the new version keeps servers from using
/// old values, and values written under it must not be deleted.
pub(super) async fn purge(config: &Config, scope: &str, hard: bool) -> anyhow::Result<ExitCode> {
    ensure!(scope == SCOPE, "--scope: expected `{SCOPE}`, the only scope there is");
    let connection = match &config.kv {
        _ if !hard => None,
        KvSettings::Configured(connection) => Some(connection),
        KvSettings::NotConfigured { missing } => {
            let missing = if missing.is_empty() { KV_VARIABLES.to_vec() } else { missing.clone() };
            bail!(
                "KV not configured: {} missing; set all three variables, or leave out --hard",
                missing.join(", ")
            );
        }
    };
    if let DatabaseChoice::Embedded { data_dir, .. } = &config.database {
        let folder = data_dir.display();
        ensure!(
            embedded::was_used(data_dir),
            "DATABASE_URL is missing, and there is no embedded database in {folder}; set the DATABASE_URL of the servers"
        );
    }
    let lines = with_database(config, async |store| {
        let mut lines = Vec::new();
        if let Some(connection) = connection {
            let environment = &config.http.environment;
            lines = app::delete_from_kv(store, connection, environment, config.kv_limits).await;
        }
        lines.push(app::raise_version(store, scope).await);
        Ok(lines)
    })
    .await?;
    report(&lines)
}
