//! The API by which handlers read models and providers.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::runtime::Handle;

use crate::cache::{
    CATALOGUE, Cache, LoadError, Loaded, Meter, Origin, Outcome, Proof, Read, ReadError, ScopeName, Scopes,
    Source, Statistics, Tier,
};
use crate::clock::Clock;
use crate::domain::closed::closed_enum;
use crate::domain::snapshot::Snapshot;
use crate::outage::Outage;
use crate::status::Status;
use crate::store::{Connections, DatabaseFault, IgnoredDetails, Store, StoreError};

/// The catalogue's scope, as in the triggers.
pub const SCOPE: &str = "catalogue";
/// Maximum of rejected rows or ignored details in a log line; `chatchonk check` shows more.
const EXAMPLES: usize = 20;

closed_enum!(
    /// Where an instance got the catalogue from, best first.
    CatalogueSource {
        /// Loaded from the database.
        Postgres = "postgres",
        /// Found in Cloudflare KV.
        Kv = "kv",
        /// Compiled into the binary.
        Builtin = "builtin",
    }
);

impl From<Source> for CatalogueSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Origin => Self::Postgres,
            Source::Kv => Self::Kv,
            Source::Builtin => Self::Builtin,
        }
    }
}

/// The catalogue of this instance. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Catalogue {
    cache: Cache<Database>,
    store: Arc<OnceLock<Store>>,
    failure: Arc<Mutex<Option<DatabaseFault>>>,
    status: Arc<Status>,
    scopes: Arc<Scopes>,
}

/// The catalogue for one request: one snapshot, one revision.
pub type CatalogueRead = Read<Snapshot>;

/// What this instance holds, for health.
#[derive(Debug, Clone)]
pub struct CatalogueReport {
    /// The catalogue.
    pub read: CatalogueRead,
    /// When it was last known to be current; `None` when builtin.
    pub validated_at: Option<OffsetDateTime>,
    /// Whether it is past its freshness, known to be outdated, or builtin.
    pub stale: bool,
}

impl CatalogueRead {
    /// Returns the catalogue.
    pub fn snapshot(&self) -> &Snapshot {
        &self.entry.value
    }

    /// Whether both reads share one value in memory.
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry)
    }

    /// Returns where this instance got the catalogue from.
    pub fn source(&self) -> CatalogueSource {
        self.entry.source.into()
    }

    /// Returns the version of the scope `catalogue`; 0 when builtin.
    pub fn revision(&self) -> u64 {
        self.entry.version
    }
}

impl Catalogue {
    /// Creates a catalogue that serves `builtin` until a database is connected. Loads run on `runtime`.
    pub fn new(
        builtin: Snapshot,
        shared: Option<Arc<dyn Tier>>,
        status: Arc<Status>,
        scopes: Arc<Scopes>,
        clock: Clock,
        runtime: Handle,
    ) -> Self {
        let store = Arc::new(OnceLock::new());
        let failure = Arc::default();
        let origin = Database {
            store: Arc::clone(&store),
            failure: Arc::clone(&failure),
            listed: Mutex::default(),
            clock: clock.clone(),
            left_out: Mutex::new(Outage::new(Duration::ZERO)),
            ignored: Mutex::new(Outage::new(Duration::ZERO)),
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
        Self { cache, store, failure, status, scopes }
    }

    /// Sets the database to load from. Only the first call counts.
    pub fn connect(&self, store: Store) {
        // A second call is the caller's bug; readers are unaffected.
        let _ = self.store.set(store);
    }

    /// Reads the catalogue for one request. Waits until the first source is decided, then reads the cache.
    ///
    /// # Errors
    /// Never [`ReadError`] with a builtin catalogue; handlers still map it to a 503.
    pub async fn read(&self) -> Result<CatalogueRead, ReadError> {
        if !self.status.is_decided() {
            let _waits = self.cache.register_waiter();
            self.status.decided().await;
        }
        self.cache.read(&Whole).await
    }

    /// Passes the catalogue to `take` if it is fresh in memory. Counts as a read only if `take` returns a value.
    pub fn hit<T>(&self, take: impl FnOnce(CatalogueRead) -> Option<T>) -> Option<T> {
        if !self.status.is_decided() {
            return None;
        }
        self.cache.hit(&Whole, take)
    }

    /// Loads or validates the catalogue now. On failure the one held stays.
    ///
    /// # Errors
    /// Why it could not be loaded.
    pub async fn refresh(&self) -> Result<(), LoadError> {
        self.cache.refresh(&Whole).await.map(drop)
    }

    /// Like [`Catalogue::refresh`], but waits for the back-off after failures.
    ///
    /// # Errors
    /// Why it could not be loaded.
    pub async fn refresh_when_due(&self) -> Result<(), LoadError> {
        self.cache.refresh_when_due(&Whole).await.map(drop)
    }

    /// Returns why the last load failed.
    pub fn failure(&self) -> Option<DatabaseFault> {
        *self.failure.lock()
    }

    /// Compares the catalogue held with the tables. Returns whether they differ at the same version, which happens if an edit
    /// did not raise it.
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

    /// Raises the version, so that all instances load the unannounced edit, and loads it here. If the version cannot be
    /// raised, only this instance loads it.
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

    /// Returns what is held now, without waiting or counting a read.
    pub fn report(&self) -> Option<CatalogueReport> {
        self.cache.held(&Whole).map(|held| CatalogueReport {
            validated_at: held.validated_at,
            stale: held.stale,
            read: CatalogueRead { entry: held.entry, outcome: Outcome::Memory, fresh_for: Duration::ZERO },
        })
    }

    /// Returns a reader of the cache's counters.
    pub fn meter(&self) -> Meter {
        self.cache.meter()
    }

    /// Counts the database connections; `None` before [`Catalogue::connect`].
    pub fn connections(&self) -> Option<Connections> {
        self.store.get().map(Store::connections)
    }

    /// Returns the cache's counters.
    pub fn statistics(&self) -> Statistics {
        self.cache.statistics()
    }
}

/// The family's only key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Whole;

/// The database as the cache's origin.
struct Database {
    store: Arc<OnceLock<Store>>,
    /// Why the last load failed, if it did.
    failure: Arc<Mutex<Option<DatabaseFault>>>,
    /// Version and number of listed models of the last load.
    listed: Mutex<Option<(u64, usize)>>,
    clock: Clock,
    /// Loads that reject rows: the count and examples.
    left_out: Mutex<Outage<(usize, String)>>,
    /// Loads that ignore details: the count and examples.
    ignored: Mutex<Outage<(usize, String)>>,
}

impl Database {
    fn store(&self) -> Result<&Store, LoadError> {
        self.store.get().ok_or(LoadError::NoOrigin)
    }

    /// Records how many models a version lists. Returns the previous version's number if it was higher.
    fn record_listed(&self, version: u64, listed: usize) -> Option<usize> {
        let mut last = self.listed.lock();
        let (_, before) = last.replace((version, listed)).filter(|(of, _)| *of != version)?;
        (before > listed).then_some(before)
    }

    /// Logs rejected rows when they differ, but only once while they break and recover in turn.
    fn log_left_out(&self, rows: &[String], now: Instant) {
        let (skipped, examples) = (rows.len(), examples(rows));
        if skipped == 0 {
            if self.left_out.lock().record_success(now).is_some() {
                tracing::info!("every row can be understood again");
            }
        } else if self.left_out.lock().record_failure((skipped, examples.clone()), now) {
            tracing::warn!(skipped, examples, "left out rows that cannot be understood");
        }
    }

    /// Logs ignored details likewise.
    fn log_ignored(&self, ignored: &IgnoredDetails, now: Instant) {
        let (details_ignored, examples) = (ignored.count(), examples(ignored.named()));
        if details_ignored == 0 {
            if self.ignored.lock().record_success(now).is_some() {
                tracing::info!("every detail can be understood again");
            }
        } else if self.ignored.lock().record_failure((details_ignored, examples.clone()), now) {
            tracing::warn!(details_ignored, examples, "ignored details that cannot be understood");
        }
    }
}

fn examples(all: impl IntoIterator<Item = impl ToString>) -> String {
    all.into_iter().take(EXAMPLES).map(|one| one.to_string()).collect::<Vec<_>>().join("; ")
}

impl Origin for Database {
    type Key = Whole;
    type Value = Snapshot;

    fn scope(&self, _: &Whole) -> Option<ScopeName> {
        Some(ScopeName::new(SCOPE))
    }

    async fn load(&self, _: &Whole) -> Result<Loaded<Snapshot>, LoadError> {
        let loaded = self.store()?.load_catalogue().await;
        let failure = loaded.as_ref().err().map(StoreError::fault);
        *self.failure.lock() = failure;
        let loaded = loaded?;
        let now = self.clock.now();
        self.log_left_out(&loaded.rejected, now);
        self.log_ignored(&loaded.ignored, now);
        let listed = loaded.snapshot.listed();
        if let Some(before) = self.record_listed(loaded.version, listed) {
            tracing::warn!(before, listed, "models: {before} → {listed}");
        }
        Ok(Loaded { value: loaded.snapshot, version: loaded.version })
    }

    async fn version(&self, _: &Whole) -> Result<u64, LoadError> {
        let versions = self.store()?.versions(&[SCOPE.to_owned()]).await?;
        versions.get(SCOPE).copied().ok_or_else(|| StoreError::Unusable(DatabaseFault::NoVersion).into())
    }

    async fn proof(&self, key: &Whole, shared_key: &str) -> Result<Proof, LoadError> {
        match self.store()?.version_and_digest(SCOPE, shared_key).await {
            Ok(Some((version, digest))) => Ok(Proof { version, digest }),
            Ok(None) => Err(StoreError::Unusable(DatabaseFault::NoVersion).into()),
            // The role may lack access to the digests, or the table may be missing: then no value can be verified.
            Err(error) if matches!(error.fault(), DatabaseFault::Forbidden | DatabaseFault::NotMigrated) => {
                Ok(Proof { version: self.version(key).await?, digest: None })
            }
            Err(error) => Err(error.into()),
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

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string().into())
    }
}
