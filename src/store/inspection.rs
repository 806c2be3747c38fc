//! Finds out why the catalogue's tables look empty: rows may be hidden or may never have been written.

use super::{DatabaseFault, LoadedCatalogue, Store, StoreError};

/// What this role sees of the catalogue's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInspection {
    tables: Vec<TableState>,
}

/// Traces that edits leave besides the version. A change means that an edit may have been missed. The edit may also have
/// raised the version, been rolled back, changed nothing, or been counted late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditTraces {
    /// The version that the traces go with.
    pub version: Option<i64>,
    /// Identity, file and row counters of each table. The counters lag by seconds.
    pub traces: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct TableState {
    name: String,
    /// Whether row-level security applies to this role.
    is_restricted: bool,
    /// Whether a row is visible; for `cache_version`, the catalogue's row.
    has_rows: bool,
    traces: String,
    version: Option<i64>,
}

impl EditTraces {
    /// Whether the traces differ. Ignores the version, which may have risen before an edit that did not raise it.
    pub fn show_an_edit_since(&self, before: &Self) -> bool {
        self.traces != before.traces
    }
}

impl TableInspection {
    /// Returns the fault that makes a load meaningless, if any.
    pub fn fault(&self) -> Option<DatabaseFault> {
        let is_empty = |name| self.tables.iter().any(|table| table.name == name && !table.has_rows);
        if !self.hidden().is_empty() {
            Some(DatabaseFault::HiddenRows)
        } else if is_empty("cache_version") {
            Some(DatabaseFault::NoVersion)
        } else if is_empty("providers") || is_empty("models") {
            Some(DatabaseFault::Empty)
        } else {
            None
        }
    }

    /// Names the tables whose rows row-level security hides completely.
    pub fn hidden(&self) -> Vec<&str> {
        self.named(|table| table.is_restricted && !table.has_rows)
    }

    /// Names the tables of which row-level security may hide some rows.
    pub fn restricted(&self) -> Vec<&str> {
        self.named(|table| table.is_restricted && table.has_rows)
    }

    /// Returns the traces of edits so far.
    pub fn traces(&self) -> EditTraces {
        let edited = self.tables.iter().filter(|table| table.name != "cache_version");
        EditTraces {
            version: self.tables.first().and_then(|table| table.version),
            traces: edited.map(|table| table.traces.clone()).collect(),
        }
    }

    fn named(&self, wanted: impl Fn(&TableState) -> bool) -> Vec<&str> {
        self.tables.iter().filter(|table| wanted(table)).map(|table| table.name.as_str()).collect()
    }
}

impl Store {
    /// Reads, in one small statement, what this role sees of the catalogue's tables.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails; its fault is `NotMigrated` where a table is missing.
    pub async fn inspect_tables(&self) -> Result<TableInspection, StoreError> {
        let tables = sqlx::query_as!(
            TableState,
            r#"
            select name as "name!", row_security_active('chatchonk.' || name) as "is_restricted!",
                   has_rows as "has_rows!",
                   concat_ws(' ', name, c.oid, c.relfilenode, pg_stat_get_tuples_inserted(c.oid),
                       pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid)) as "traces!",
                   (select version::bigint from chatchonk.cache_version where scope = 'catalogue') as version
            from (
                select 'providers' as name, exists (select from chatchonk.providers) as has_rows
                union all select 'models', exists (select from chatchonk.models)
                union all select 'task_types', exists (select from chatchonk.task_types)
                union all select 'model_tasks', exists (select from chatchonk.model_tasks)
                union all select 'cache_version',
                    exists (select from chatchonk.cache_version where scope = 'catalogue' and version::bigint > 0)
            ) tables
            join pg_class c on c.oid = ('chatchonk.' || name)::regclass
            order by name
            "#
        )
        .fetch_all(self.pool()?)
        .await?;
        Ok(TableInspection { tables })
    }

    /// Returns the loaded catalogue unless it lacks providers, models or a version, or row-level security hides its tasks.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] or [`StoreError::Unreadable`] with the reason; any other from the inspection.
    pub(super) async fn usable(&self, loaded: LoadedCatalogue) -> Result<LoadedCatalogue, StoreError> {
        let catalogue = &loaded.snapshot;
        let lacks_providers = catalogue.providers().is_empty();
        let lacks_rows = lacks_providers || catalogue.models().is_empty();
        let lacks_tasks =
            catalogue.tasks().is_empty() || catalogue.models().iter().all(|model| model.tasks.is_empty());
        if loaded.version > 0 && !lacks_tasks && !lacks_rows {
            return Ok(loaded);
        }
        // Models rejected for a missing provider say nothing of the cause.
        let cause = if lacks_providers { "provider " } else { "model " };
        match self.inspect_tables().await?.fault() {
            Some(fault) => Err(StoreError::Unusable(fault)),
            // The rows were committed after the load.
            None if loaded.version == 0 => Err(StoreError::Unusable(DatabaseFault::NoVersion)),
            None if lacks_rows => match loaded.rejected.into_iter().find(|row| row.starts_with(cause)) {
                Some(example) => Err(StoreError::Unreadable(example)),
                None => Err(StoreError::Unusable(DatabaseFault::Empty)),
            },
            None => Ok(loaded),
        }
    }
}
