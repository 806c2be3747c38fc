//! Brings the database's tables up to date, and inspects them at every look.

use std::time::Duration;

use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::domain::seed::Seed;
use crate::outage::Outage;
use crate::status::DatabaseState;
use crate::store::{DatabaseFault, EditTraces, SeedMode, SeedReport, Store, StoreError, TableInspection};

/// Looks between two attempts to repair the tables, or to find lost edits: about a minute.
const LOOKS_PER_ATTEMPT: u32 = 12;

/// Applies the seed, and logs it.
///
/// # Errors
/// [`StoreError`] when a statement fails. Nothing has changed then.
pub async fn seed(store: &Store, seed: &Seed, mode: SeedMode) -> Result<SeedReport, StoreError> {
    let report = store.apply_seed(seed, mode).await?;
    if let SeedReport::Applied { from, to } = report {
        tracing::info!(from, to, models = seed.models.len(), "the seed was applied");
    }
    Ok(report)
}

pub(super) struct Tables<'s> {
    store: &'s Store,
    seed: &'s Seed,
    clock: &'s Clock,
    /// `MIGRATE_ON_START`: whether this server may write to the tables.
    writes: bool,
    /// Why the last [`bring_up_to_date`](Self::bring_up_to_date) failed.
    behind: Option<DatabaseFault>,
    failure: Outage<DatabaseFault>,
    restriction: Outage,
    lost_edit: Outage,
    looks: u32,
    /// The defects of the triggers at the last look.
    defects: Vec<String>,
    traces: Option<EditTraces>,
    /// Whether to compare the catalogue in memory with the database.
    suspects: bool,
}

impl<'s> Tables<'s> {
    /// Does not look at the tables yet.
    pub fn new(store: &'s Store, seed: &'s Seed, clock: &'s Clock, writes: bool) -> Self {
        Self {
            store,
            seed,
            clock,
            writes,
            behind: None,
            failure: Outage::new(Duration::ZERO),
            restriction: Outage::new(Duration::ZERO),
            lost_edit: Outage::new(Duration::ZERO),
            looks: 0,
            defects: Vec::new(),
            traces: None,
            suspects: false,
        }
    }

    /// Applies migrations and a newer seed, and repairs triggers. Logs each new fault once.
    ///
    /// # Errors
    /// [`StoreError`] when one of them fails. The tables may still be readable.
    pub async fn bring_up_to_date(&mut self) -> Result<(), StoreError> {
        if !self.writes {
            return Ok(());
        }
        let result = self.write().await.map(|repaired| self.suspects |= repaired);
        let now = self.clock.now();
        self.behind = result.as_ref().err().map(StoreError::fault);
        if let Err(error) = &result {
            if self.failure.record_failure(error.fault(), now) {
                tracing::warn!(%error, "the database could not be brought up to date; going on with what is there");
            }
        } else {
            self.failure.record_success(now);
        }
        result
    }

    /// Whether triggers were repaired; earlier edits may be lost.
    async fn write(&self) -> Result<bool, StoreError> {
        // Writes only if needed: a full disk must not matter otherwise.
        let migrations = self.store.migrations().await?;
        let mut migrated = Ok(Vec::new());
        if migrations.pending > 0 || (!migrations.newer && !self.store.trigger_defects().await?.is_empty()) {
            migrated = self.store.migrate().await;
            match &migrated {
                Ok(repaired) if !repaired.is_empty() => {
                    tracing::info!(defects = repaired.join("; "), "triggers were installed again");
                }
                Err(error) if error.fault() != DatabaseFault::Triggers => return migrated.map(|_| false),
                _ => {}
            }
        }
        seed(self.store, self.seed, SeedMode::Newer).await?;
        migrated.map(|repaired| !repaired.is_empty())
    }

    /// Inspects the database.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer, or its tables hold no catalogue.
    pub async fn look(&mut self) -> Result<DatabaseState, StoreError> {
        self.looks = self.looks.wrapping_add(1);
        // Triggers that a repair could not fix need the operator.
        if self.behind.is_some_and(|fault| fault != DatabaseFault::Triggers)
            && self.looks.is_multiple_of(LOOKS_PER_ATTEMPT)
        {
            let _ = self.bring_up_to_date().await;
        }
        let begun = self.clock.now();
        let probe = self.store.probe().await?;
        let latency = self.clock.now().saturating_duration_since(begun);
        let (outdated, has_own_triggers) = self.outdated().await?;
        let found = self.inspect(outdated).await?;
        self.inspect_triggers(&found, has_own_triggers).await?;
        let fault = if probe.read_only {
            Some(DatabaseFault::ReadOnly)
        } else {
            probe.accept_encoding().err().map(|error| error.fault()).or(outdated)
        };
        let defective = (!self.defects.is_empty()).then_some(DatabaseFault::Triggers);
        Ok(DatabaseState::Up { latency, fault: fault.or(defective) })
    }

    /// Compares the catalogue in memory with the database, if the last look found a reason. Raises the version for edits whose
    /// trigger was missing.
    pub async fn look_for_lost_edits(&mut self, catalogue: &Catalogue) {
        if !std::mem::take(&mut self.suspects) {
            return;
        }
        match catalogue.differs_at_its_version().await {
            Ok(true) => {}
            Ok(false) => return,
            // The next look reports the fault and compares again.
            Err(_) => {
                self.suspects = true;
                return;
            }
        }
        if self.lost_edit.record_failure((), self.clock.now()) {
            let fault = DatabaseFault::Triggers;
            tracing::warn!(
                defects = self.defects.join("; "),
                remedy = fault.remedy(),
                "edits did not raise the catalogue's version; they were found and are served"
            );
        }
        let _ = catalogue.reload_at_new_version().await;
    }

    async fn inspect_triggers(
        &mut self,
        found: &TableInspection,
        has_own_triggers: bool,
    ) -> Result<(), StoreError> {
        let defects = if has_own_triggers { self.store.trigger_defects().await? } else { Vec::new() };
        let traces = found.traces();
        let before = self.traces.replace(traces.clone());
        let is_edited = before.as_ref().is_some_and(|before| traces.show_an_edit_since(before));
        let is_raised = before.as_ref().is_some_and(|before| before.version != traces.version);
        if is_edited && is_raised && defects.is_empty() {
            self.lost_edit.record_success(self.clock.now());
        }
        // The defect is the only sign of edits before the first look.
        let is_due = before.is_none() || self.looks.is_multiple_of(LOOKS_PER_ATTEMPT);
        self.suspects |= is_edited || (is_due && !defects.is_empty());
        self.defects = defects;
        Ok(())
    }

    /// Returns why the tables are not those of this release, and whether its triggers are expected.
    async fn outdated(&self) -> Result<(Option<DatabaseFault>, bool), StoreError> {
        match self.store.migrations().await {
            Ok(migrations) if migrations.failed => Ok((Some(DatabaseFault::MigrationFailed), false)),
            Ok(migrations) if migrations.pending > 0 => {
                Ok((Some(self.behind.unwrap_or(DatabaseFault::PendingMigrations)), false))
            }
            Ok(migrations) => Ok((None, !migrations.newer)),
            // A role that may only read the catalogue can serve it.
            Err(error) if matches!(error.fault(), DatabaseFault::Forbidden | DatabaseFault::HiddenRows) => {
                Ok((Some(error.fault()), true))
            }
            Err(error) => Err(error),
        }
    }

    async fn inspect(&mut self, outdated: Option<DatabaseFault>) -> Result<TableInspection, StoreError> {
        let mut found = self.store.inspect_tables().await.map_err(|error| self.explain(error, outdated))?;
        if found.fault() == Some(DatabaseFault::Empty) && outdated.is_none() {
            // This is another database, or the schema was dropped and migrated.
            let _ = self.bring_up_to_date().await;
            found = self.store.inspect_tables().await?;
        }
        self.log_restriction(&found);
        match found.fault() {
            Some(fault) => Err(self.explain(StoreError::Unusable(fault), outdated)),
            None => Ok(found),
        }
    }

    /// Replaces a symptom, such as empty tables, by its cause, such as a failed migration.
    pub fn explain(&self, error: StoreError, outdated: Option<DatabaseFault>) -> StoreError {
        use DatabaseFault::{Empty, NoVersion, NotMigrated, PendingMigrations};
        if !matches!(error.fault(), NotMigrated | Empty | NoVersion) {
            return error;
        }
        // Triggers do not empty tables.
        match self.behind.filter(|fault| *fault != DatabaseFault::Triggers).or(outdated) {
            Some(PendingMigrations) => StoreError::Unusable(NotMigrated),
            Some(cause) => StoreError::Unusable(cause),
            None => error,
        }
    }

    fn log_restriction(&mut self, found: &TableInspection) {
        let tables = found.restricted();
        if tables.is_empty() {
            self.restriction.record_success(self.clock.now());
        } else if self.restriction.record_failure((), self.clock.now()) {
            let tables = tables.join(", ");
            tracing::warn!(tables, "row-level security applies to the database role; rows may be missing");
        }
    }
}
