//! The one API that handlers call for models and providers.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::runtime::Handle;

use crate::cache::{
    CATALOGUE, Cache, Entry, LoadError, Loaded, Meter, Origin, Outcome, Read, ReadError, ScopeName, Scopes,
    SharedTier, Source, Statistics,
};
use crate::clock::Clock;
use crate::domain::snapshot::Snapshot;
use crate::status::Status;
use crate::store::{Connections, DatabaseFault, IgnoredDetails, Store, StoreError, VersionProof};

/// The scope of everything in the catalogue, as the triggers name it.
pub const SCOPE: &str = "catalogue";
/// How many left-out rows or ignored details a line of the log names. `chatchonk check` names more.
const EXAMPLES: usize = 20;

/// The catalogue of this instance. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Catalogue {
    cache: Cache<Database>,
    store: Arc<OnceLock<Store>>,
    status: Arc<Status>,
    scopes: Arc<Scopes>,
}

/// The catalogue as one request sees it: one snapshot, one revision.
#[derive(Debug, Clone)]
pub struct CatalogueRead {
    entry: Arc<Entry<Snapshot>>,
    /// How the read ended.
    pub outcome: Outcome,
    /// How long the catalogue stays fresh; zero when it is stale.
    pub fresh_for: Duration,
}

/// What this instance holds, for health.
#[derive(Debug, Clone)]
pub struct CatalogueReport {
    /// The catalogue itself.
    pub read: CatalogueRead,
    /// When it was read from its source.
    pub loaded_at: OffsetDateTime,
    /// When it was last known to be current; `None` when builtin.
    pub validated_at: Option<OffsetDateTime>,
    /// Whether it is past its freshness, known to be outdated, or builtin.
    pub stale: bool,
}

impl From<Read<Snapshot>> for CatalogueRead {
    fn from(read: Read<Snapshot>) -> Self {
        Self { entry: read.entry, outcome: read.outcome, fresh_for: read.fresh_for }
    }
}

impl CatalogueRead {
    /// The catalogue.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.entry.value
    }

    /// Whether both reads found the very same value in memory, so that what was made of one holds for the other.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry)
    }

    /// Where this instance has it from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.entry.source
    }

    /// The version of the scope `catalogue`; 0 when builtin.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.entry.version
    }
}

impl Catalogue {
    /// A catalogue that serves `builtin` until a database is connected. Loads run on `runtime`.
    #[must_use]
    pub fn new(
        builtin: Snapshot,
        shared: Option<SharedTier>,
        status: Arc<Status>,
        scopes: Arc<Scopes>,
        clock: Clock,
        runtime: Handle,
    ) -> Self {
        let store = Arc::new(OnceLock::new());
        let origin = Database {
            store: Arc::clone(&store),
            listed: Mutex::default(),
            left_out: Mutex::default(),
            ignored: Mutex::default(),
        };
        let cache = Cache::new(
            CATALOGUE,
            origin,
            Some((&Whole, builtin)),
            shared,
            Arc::clone(&scopes),
            clock,
            runtime,
        );
        Self { cache, store, status, scopes }
    }

    /// Names the database to load from. The first call counts.
    pub fn connect(&self, store: Store) {
        // A second database in one process is a fault of the caller that changes nothing for those who read.
        let _ = self.store.set(store);
    }

    /// The catalogue for one request. Waits for the first source of the process, and as the cache says after that.
    ///
    /// # Errors
    /// [`ReadError`] never, as long as there is a builtin catalogue; handlers still turn it into a 503.
    pub async fn read(&self) -> Result<CatalogueRead, ReadError> {
        if !self.status.is_decided() {
            let _waits = self.cache.wait();
            self.status.decided().await;
        }
        Ok(self.cache.read(&Whole).await?.into())
    }

    /// The catalogue for one request, if it is fresh in memory and `take` has a use for it. Only then it counts as a read.
    pub fn hit<T>(&self, take: impl FnOnce(CatalogueRead) -> Option<T>) -> Option<T> {
        if !self.status.is_decided() {
            return None;
        }
        self.cache.hit(&Whole, |read| take(CatalogueRead::from(read)))
    }

    /// Loads or validates it now; what is held serves on when that fails.
    ///
    /// # Errors
    /// Why it could not be loaded.
    pub async fn refresh(&self) -> Result<(), LoadError> {
        self.cache.refresh(&Whole).await.map(drop)
    }

    /// As [`Catalogue::refresh`], but not before earlier failures allow it.
    ///
    /// # Errors
    /// Why it could not be loaded.
    pub async fn refresh_when_due(&self) -> Result<(), LoadError> {
        self.cache.refresh_when_due(&Whole).await.map(drop)
    }

    /// Loads the catalogue aside and compares it with the one held. Equal version means equal data, unless an edit did not
    /// raise the version: returns whether that happened.
    ///
    /// # Errors
    /// [`StoreError`] when the load fails.
    pub async fn differs_at_its_version(&self) -> Result<bool, StoreError> {
        let Some(store) = self.store.get() else { return Ok(false) };
        let loaded = store.load_catalogue().await?;
        let held = self.cache.held(&Whole).filter(|held| held.entry.version == loaded.version);
        let text = |snapshot: &Snapshot| serde_json::to_string(snapshot).ok();
        Ok(held.is_some_and(|held| text(&held.entry.value) != text(&loaded.snapshot)))
    }

    /// Raises the version, so that every instance loads what was edited without a raise, and loads it here. Where the
    /// version cannot be written, only this instance loads it, at the old version.
    ///
    /// # Errors
    /// Why it could not be loaded.
    pub async fn reload_at_new_version(&self) -> Result<(), LoadError> {
        let store = self.store.get().ok_or(LoadError::NoOrigin)?;
        if store.raise_version(SCOPE).await.is_err() {
            self.scopes.outdate(&ScopeName::new(SCOPE));
        }
        self.refresh().await
    }

    /// What is held now. Not a read; waits for nothing.
    #[must_use]
    pub fn report(&self) -> Option<CatalogueReport> {
        self.cache.held(&Whole).map(|held| CatalogueReport {
            loaded_at: held.entry.loaded_at,
            validated_at: held.validated_at,
            stale: held.stale,
            read: CatalogueRead { entry: held.entry, outcome: Outcome::Memory, fresh_for: Duration::ZERO },
        })
    }

    /// A reader of the cache's counters.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.cache.meter()
    }

    /// The connections to its database; `None` before one is connected.
    #[must_use]
    pub fn connections(&self) -> Option<Connections> {
        self.store.get().map(Store::connections)
    }

    /// The counters of the cache.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.cache.statistics()
    }
}

/// The only key of the family: the whole catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Whole;

/// The database as the cache's origin.
struct Database {
    store: Arc<OnceLock<Store>>,
    /// The version loaded last, and how many models it lists.
    listed: Mutex<Option<(u64, usize)>>,
    /// The rows that the last load left out.
    left_out: Mutex<Vec<String>>,
    /// The details that the last load ignored.
    ignored: Mutex<IgnoredDetails>,
}

impl Database {
    fn store(&self) -> Result<&Store, LoadError> {
        self.store.get().ok_or(LoadError::NoOrigin)
    }

    /// Remembers how many models a version lists. Returns how many the version before listed, if those were more.
    fn lists(&self, version: u64, listed: usize) -> Option<usize> {
        let mut last = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, before) = last.replace((version, listed)).filter(|(of, _)| *of != version)?;
        (before > listed).then_some(before)
    }

    /// Logs the rows that were left out when they are other rows than in the last load.
    fn log_left_out(&self, rows: &[String]) {
        let before = {
            let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
            if *left_out == rows {
                return;
            }
            std::mem::replace(&mut *left_out, rows.to_vec())
        };
        if !rows.is_empty() {
            let examples = rows.iter().take(EXAMPLES).map(String::as_str).collect::<Vec<_>>().join("; ");
            tracing::warn!(skipped = rows.len(), examples, "left out rows that cannot be understood");
        } else if !before.is_empty() {
            tracing::info!("every row can be understood again");
        }
    }

    /// Logs the ignored details when they are others than in the last load.
    fn log_ignored(&self, ignored: IgnoredDetails) {
        let examples: Vec<_> = ignored.named().iter().take(EXAMPLES).map(ToString::to_string).collect();
        let details_ignored = ignored.count();
        let before = {
            let mut held = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
            if *held == ignored {
                return;
            }
            std::mem::replace(&mut *held, ignored)
        };
        if details_ignored > 0 {
            let examples = examples.join("; ");
            tracing::warn!(details_ignored, examples, "ignored details that cannot be understood");
        } else if before.count() > 0 {
            tracing::info!("every detail can be understood again");
        }
    }
}

impl Origin for Database {
    type Key = Whole;
    type Value = Snapshot;

    fn scope(&self, _: &Whole) -> Option<ScopeName> {
        Some(ScopeName::new(SCOPE))
    }

    async fn load(&self, _: &Whole) -> Result<Loaded<Snapshot>, LoadError> {
        let loaded = self.store()?.load_catalogue().await.map_err(failed)?;
        // One bad row costs itself; when no row at all can be understood, the tables are not those of this release, and
        // what is held is worth more than an empty list.
        if loaded.snapshot.models().is_empty() && !loaded.rejected.is_empty() {
            let example = loaded.rejected.first().map_or("", String::as_str);
            return Err(LoadError::Failed(format!("no model can be understood, such as {example}").into()));
        }
        self.log_left_out(&loaded.rejected);
        self.log_ignored(loaded.ignored);
        let listed = loaded.snapshot.listed();
        if let Some(before) = self.lists(loaded.version, listed) {
            tracing::warn!(before, listed, "models: {before} → {listed}");
        }
        Ok(Loaded { value: loaded.snapshot, version: loaded.version })
    }

    async fn version(&self, _: &Whole) -> Result<u64, LoadError> {
        let versions = self.store()?.versions(&[SCOPE.to_owned()]).await.map_err(failed)?;
        versions.get(SCOPE).copied().ok_or_else(|| failed(StoreError::Unusable(DatabaseFault::NoVersion)))
    }

    async fn proof(&self, key: &Whole, shared_key: &str) -> Result<VersionProof, LoadError> {
        match self.store()?.version_proof(SCOPE, shared_key).await {
            Ok(proof) => proof.ok_or_else(|| failed(StoreError::Unusable(DatabaseFault::NoVersion))),
            // A role that may read the catalogue alone, or a database that was not migrated: then nothing proves a value.
            Err(error) if matches!(error.fault(), DatabaseFault::Forbidden | DatabaseFault::NotMigrated) => {
                Ok(VersionProof { version: self.version(key).await?, digest: None })
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn id(&self, _: &Whole) -> String {
        "all".to_owned()
    }

    fn encode(&self, snapshot: &Snapshot) -> Option<Box<RawValue>> {
        serde_json::value::to_raw_value(snapshot).ok()
    }

    fn decode(&self, json: &str) -> Option<Snapshot> {
        serde_json::from_str(json).ok()
    }

    fn weight(&self, snapshot: &Snapshot) -> u32 {
        u32::try_from(snapshot.bytes()).unwrap_or(u32::MAX)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: StoreError) -> LoadError {
    LoadError::Failed(error.to_string().into())
}
