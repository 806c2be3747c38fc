//! The tables of a database that answers: brings them up to date and inspects them at every look.

use crate::clock::Clock;
use crate::domain::seed::Seed;
use crate::status::DatabaseState;
use crate::store::{DatabaseFault, SeedMode, Store, StoreError, TableInspection};

use super::database::seed;

/// Looks between two attempts to write what a start could not: about a minute.
const LOOKS_WHEN_BEHIND: u32 = 12;

/// Keeps the tables up to date, and remembers what was logged about them.
pub(super) struct Tables<'s> {
    store: &'s Store,
    seed: &'s Seed,
    clock: &'s Clock,
    /// `MIGRATE_ON_START`.
    writes: bool,
    /// Why the last attempt to bring them up to date failed.
    behind: Option<DatabaseFault>,
    logged_failure: Option<String>,
    logged_restriction: bool,
    looks: u32,
}

impl<'s> Tables<'s> {
    /// Knows nothing about the tables yet. Writes to them only if `writes`.
    pub fn new(store: &'s Store, seed: &'s Seed, clock: &'s Clock, writes: bool) -> Self {
        Self {
            store,
            seed,
            clock,
            writes,
            behind: None,
            logged_failure: None,
            logged_restriction: false,
            looks: 0,
        }
    }

    /// Applies pending migrations and a newer seed, if this server may. Logs every new reason of a failure once.
    ///
    /// # Errors
    /// [`StoreError`] when one of them fails; the tables may still be good enough to load from.
    pub async fn bring_up_to_date(&mut self) -> Result<(), StoreError> {
        if !self.writes {
            return Ok(());
        }
        let result = self.write().await;
        let failure = result.as_ref().err().map(ToString::to_string);
        if let Some(error) = &failure
            && self.logged_failure != failure
        {
            tracing::warn!(%error, "the database could not be brought up to date; going on with what is there");
        }
        self.logged_failure = failure;
        self.behind = result.as_ref().err().map(StoreError::fault);
        result
    }

    async fn write(&self) -> Result<(), StoreError> {
        // Locks and writes nothing when there is nothing to do: a full disk must not matter then.
        if self.store.migrations().await?.pending > 0 {
            self.store.migrate().await?;
            tracing::info!("the tables are up to date");
        }
        seed(self.store, self.seed, SeedMode::Newer).await.map(drop)
    }

    /// Looks at a database that was brought up to date before.
    ///
    /// # Errors
    /// [`StoreError`] when it does not answer, or when its tables hold no catalogue.
    pub async fn look(&mut self) -> Result<DatabaseState, StoreError> {
        self.looks = self.looks.wrapping_add(1);
        if self.behind.is_some() && self.looks.is_multiple_of(LOOKS_WHEN_BEHIND) {
            // A failure is logged, and shows in what follows.
            let _ = self.bring_up_to_date().await;
        }
        let begun = self.clock.now();
        let probe = self.store.probe().await?;
        let latency = self.clock.now().saturating_duration_since(begun);
        let outdated = self.outdated().await?;
        self.inspect(outdated).await?;
        let fault = if probe.read_only { Some(DatabaseFault::ReadOnly) } else { outdated };
        Ok(DatabaseState::Up { latency, fault })
    }

    /// Returns why the tables are not those of this release.
    async fn outdated(&self) -> Result<Option<DatabaseFault>, StoreError> {
        match self.store.migrations().await {
            Ok(migrations) if migrations.failed => Ok(Some(DatabaseFault::MigrationFailed)),
            Ok(migrations) if migrations.pending > 0 => {
                Ok(Some(self.behind.unwrap_or(DatabaseFault::PendingMigrations)))
            }
            Ok(_) => Ok(None),
            // A role that may read the catalogue alone can serve it.
            Err(error) if error.fault() == DatabaseFault::Forbidden => Ok(Some(DatabaseFault::Forbidden)),
            Err(error) => Err(error),
        }
    }

    async fn inspect(&mut self, outdated: Option<DatabaseFault>) -> Result<(), StoreError> {
        let mut found = self.store.inspect_tables().await.map_err(|error| self.explain(error, outdated))?;
        if found.fault() == Some(DatabaseFault::Empty) && outdated.is_none() {
            // Another database, or the schema was dropped and migrated. Where the seed was applied before, it stays as
            // the operator left it.
            let _ = self.bring_up_to_date().await;
            found = self.store.inspect_tables().await?;
        }
        self.log_restriction(&found);
        match found.fault() {
            Some(fault) => Err(self.explain(StoreError::Unusable(fault), outdated)),
            None => Ok(()),
        }
    }

    /// Replaces a symptom, such as empty tables, by its cause, such as a migration that failed.
    pub fn explain(&self, error: StoreError, outdated: Option<DatabaseFault>) -> StoreError {
        use DatabaseFault::{Empty, NoVersion, NotMigrated, PendingMigrations};
        if !matches!(error.fault(), NotMigrated | Empty | NoVersion) {
            return error;
        }
        match self.behind.or(outdated) {
            Some(PendingMigrations) => StoreError::Unusable(NotMigrated),
            Some(cause) => StoreError::Unusable(cause),
            None => error,
        }
    }

    fn log_restriction(&mut self, found: &TableInspection) {
        let tables = found.restricted();
        if tables.is_empty() {
            self.logged_restriction = false;
        } else if !std::mem::replace(&mut self.logged_restriction, true) {
            let tables = tables.join(", ");
            tracing::warn!(tables, "row-level security applies to the database role; rows may be missing");
        }
    }
}
