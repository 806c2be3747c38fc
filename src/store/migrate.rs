//! Migrations, run at start or by `chatchonk migrate`.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{Connection, Executor};

use super::{DatabaseFault, Store, StoreError, triggers};

/// Limit for all migrations together.
const LIMIT: Duration = Duration::from_mins(2);

/// The migrations of this release.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.set_ignore_missing(true);
    migrator
}

/// Compares the database's migrations with this release's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrations {
    /// Migrations of this release that have been applied.
    pub applied: usize,
    /// Migrations of this release that are pending.
    pub pending: usize,
    /// Whether one of them failed.
    pub failed: bool,
    /// Whether a newer release has applied its own migrations.
    pub newer: bool,
}

impl Store {
    /// Applies the migrations under a lock, then installs missing, disabled or altered triggers again. Returns the defects
    /// that the triggers had.
    ///
    /// Leaves the triggers alone if a newer release has migrated: during a deploy both run side by side.
    ///
    /// # Errors
    /// [`StoreError`]; its fault is `Locked` when another instance held the lock for 3 s, `Forbidden` without CREATE on
    /// the database, `Encoding` when the database is not in UTF-8, `HiddenRows` when applied migrations may be hidden,
    /// `Triggers` when a trigger stays defective.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let mut connection = self.dial().await?;
        self.probe().await?.accept_encoding()?;
        // Hidden rows would look like pending migrations.
        self.migrations().await?;
        // Also bounds the wait for sqlx's advisory lock. A statement that waits behind a long transaction would block readers.
        connection.execute("set lock_timeout = '3s'; set statement_timeout = '100s'").await?;
        let migrator = migrator();
        // `run` takes an `Acquire`, which makes the future not `Send`; this is what `run` calls.
        tokio::time::timeout(LIMIT, migrator.run_direct(None, &mut connection, false))
            .await
            .map_err(|_| StoreError::TimedOut)??;
        let repaired = match self.migrations().await? {
            Migrations { newer: true, .. } => Vec::new(),
            _ => triggers::repair(&mut connection).await?,
        };
        connection.close().await?;
        Ok(repaired)
    }

    /// Counts applied and pending migrations without changing anything.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails; its fault is `HiddenRows` when row-level security may hide applied migrations.
    pub async fn migrations(&self) -> Result<Migrations, StoreError> {
        let known: Vec<i64> = migrator().iter().map(|migration| migration.version).collect();
        let (total, newest) = (known.len(), known.iter().max().copied().unwrap_or_default());
        // Not a checked query: sqlx owns the table, which may not exist yet.
        let counted: Result<(i64, bool, bool, bool), _> = sqlx::query_as(
            "select count(*) filter (where success and version = any($1)),
                    coalesce(bool_or(not success and version = any($1)), false),
                    coalesce(max(version) > $2, false),
                    row_security_active('chatchonk._sqlx_migrations')
             from chatchonk._sqlx_migrations",
        )
        .bind(known)
        .bind(newest)
        .fetch_one(self.pool()?)
        .await;
        let (applied, failed, newer) = match counted.map_err(StoreError::from) {
            Ok((count, _, _, true)) if usize::try_from(count).unwrap_or(total) < total => {
                return Err(StoreError::Unusable(DatabaseFault::HiddenRows));
            }
            Ok((count, failed, newer, _)) => (usize::try_from(count).unwrap_or(total), failed, newer),
            Err(error) if error.fault() == DatabaseFault::NotMigrated => (0, false, false),
            Err(error) => return Err(error),
        };
        Ok(Migrations { applied, pending: total.saturating_sub(applied), failed, newer })
    }
}
