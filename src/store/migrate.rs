//! Migrations, run at start or by `chatchonk migrate`.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{Connection, Executor};

use super::{Store, StoreError, accept_encoding, triggers};

/// How long all migrations may take.
const LIMIT: Duration = Duration::from_mins(2);

/// The migrations of this release, with the schema and table names of `sqlx.toml`.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.set_ignore_missing(true);
    migrator
}

/// How the tables of the database compare with this release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrations {
    /// Migrations of this release that have been applied.
    pub applied: usize,
    /// Migrations of this release still to apply.
    pub pending: usize,
    /// Whether one of them began and did not end.
    pub failed: bool,
    /// Whether a newer release has applied migrations of its own.
    pub newer: bool,
}

impl Store {
    /// Brings the tables up to this release, under a lock that only one instance holds at a time.
    ///
    /// Migrations that a newer release applied are left alone: during a deploy both run side by side. Otherwise triggers
    /// that are missing, disabled or altered are installed again; returns what was wrong with them.
    ///
    /// # Errors
    /// [`StoreError`]; its fault is `Locked` when another instance held the lock for 3 s, `Forbidden` without CREATE on
    /// the database, `Encoding` when the database is not in UTF-8, `HiddenRows` when it hides which migrations are applied,
    /// `Triggers` when a trigger stays defective.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let mut connection = self.dial().await?;
        let encoding = sqlx::query_scalar!(r#"select current_setting('server_encoding') as "encoding!""#)
            .fetch_one(&mut connection)
            .await?;
        accept_encoding(&encoding)?;
        // Hidden rows look like migrations that were never applied.
        self.migrations().await?;
        // lock_timeout also bounds the wait for sqlx's advisory lock; no statement of ours may queue behind a long
        // transaction and block the readers that come after it.
        connection.execute("set lock_timeout = '3s'; set statement_timeout = '100s'").await?;
        let migrator = migrator();
        // `run` takes an `Acquire`, for which no future that spans it is `Send`; this is what it calls.
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
    /// [`StoreError`] when the database cannot be asked; its fault is `HiddenRows` when row-level security may hide the rows
    /// of applied migrations.
    pub async fn migrations(&self) -> Result<Migrations, StoreError> {
        let known: Vec<i64> = migrator().iter().map(|migration| migration.version).collect();
        let (total, newest) = (known.len(), known.iter().max().copied().unwrap_or_default());
        // Not a checked query: the table belongs to sqlx and may not exist yet.
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
                return Err(StoreError::Unusable(super::DatabaseFault::HiddenRows));
            }
            Ok((count, failed, newer, _)) => (usize::try_from(count).unwrap_or(total), failed, newer),
            Err(error) if error.fault() == super::DatabaseFault::NotMigrated => (0, false, false),
            Err(error) => return Err(error),
        };
        Ok(Migrations { applied, pending: total.saturating_sub(applied), failed, newer })
    }
}
