//! The one API that handlers call for models and providers.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::runtime::Handle;

use crate::cache::{
    CATALOGUE, Cache, Entry, LoadError, Loaded, Meter, Origin, Outcome, Proof, Read, ReadError, ScopeName,
    Scopes, Source, Statistics, Tier,
};
use crate::clock::Clock;
use crate::domain::closed::closed_enum;
use crate::domain::snapshot::Snapshot;
use crate::outage::Outage;
use crate::status::Status;
use crate::store::{Connections, DatabaseFault, IgnoredDetails, Store, StoreError};

/// The scope of everything in the catalogue, as the triggers name it.
pub const SCOPE: &str = "catalogue";
/// How many left-out rows or ignored details a line of the log names. `chatchonk check` names more.
const EXAMPLES: usize = 20;

closed_enum!(
    /// Where an instance has the catalogue from, best first.
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
    pub fn snapshot(&self) -> &Snapshot {
        &self.entry.value
    }

    /// Whether both reads found the very same value in memory, so that what was made of one holds for the other.
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry)
    }

    /// Where this instance has it from.
    pub fn source(&self) -> CatalogueSource {
        self.entry.source.into()
    }

    /// The version of the scope `catalogue`; 0 when builtin.
    pub fn revision(&self) -> u64 {
        self.entry.version
    }
}

impl Catalogue {
    /// A catalogue that serves `builtin` until a database is connected. Loads run on `runtime`.
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

    /// Returns why the database gives no catalogue, until a load succeeds.
    pub fn failure(&self) -> Option<DatabaseFault> {
        *self.failure.lock()
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
    pub fn report(&self) -> Option<CatalogueReport> {
        self.cache.held(&Whole).map(|held| CatalogueReport {
            loaded_at: held.entry.loaded_at,
            validated_at: held.validated_at,
            stale: held.stale,
            read: CatalogueRead { entry: held.entry, outcome: Outcome::Memory, fresh_for: Duration::ZERO },
        })
    }

    /// A reader of the cache's counters.
    pub fn meter(&self) -> Meter {
        self.cache.meter()
    }

    /// The connections to its database; `None` before one is connected.
    pub fn connections(&self) -> Option<Connections> {
        self.store.get().map(Store::connections)
    }

    /// The counters of the cache.
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
    /// Why the last load failed.
    failure: Arc<Mutex<Option<DatabaseFault>>>,
    /// The version loaded last, and how many models it lists.
    listed: Mutex<Option<(u64, usize)>>,
    clock: Clock,
    /// Loads that leave out rows: how many, with examples.
    left_out: Mutex<Outage<(usize, String)>>,
    /// Loads that ignore details: how many, with examples.
    ignored: Mutex<Outage<(usize, String)>>,
}

impl Database {
    fn store(&self) -> Result<&Store, LoadError> {
        self.store.get().ok_or(LoadError::NoOrigin)
    }

    /// Remembers how many models a version lists. Returns how many the version before listed, if those were more.
    fn lists(&self, version: u64, listed: usize) -> Option<usize> {
        let mut last = self.listed.lock();
        let (_, before) = last.replace((version, listed)).filter(|(of, _)| *of != version)?;
        (before > listed).then_some(before)
    }

    /// Logs the rows that were left out, in other words than before, once while rows are broken and corrected in turn.
    fn log_left_out(&self, rows: &[String], now: Instant) {
        let (skipped, examples) = (rows.len(), examples(rows));
        match news(&self.left_out, (skipped, &examples), now) {
            News::Fault => tracing::warn!(skipped, examples, "left out rows that cannot be understood"),
            News::Recovery => tracing::info!("every row can be understood again"),
            News::None => {}
        }
    }

    /// Logs the ignored details, likewise.
    fn log_ignored(&self, ignored: &IgnoredDetails, now: Instant) {
        let (details_ignored, examples) = (ignored.count(), examples(ignored.named()));
        match news(&self.ignored, (details_ignored, &examples), now) {
            News::Fault => {
                tracing::warn!(details_ignored, examples, "ignored details that cannot be understood");
            }
            News::Recovery => tracing::info!("every detail can be understood again"),
            News::None => {}
        }
    }
}

/// What a load is worth in the log.
enum News {
    None,
    Fault,
    Recovery,
}

/// Records how many rows or details a load could not understand, with examples. The lock is released before the caller
/// logs.
fn news(outage: &Mutex<Outage<(usize, String)>>, found: (usize, &str), now: Instant) -> News {
    let mut outage = outage.lock();
    match found {
        (0, _) if outage.works(now).is_some() => News::Recovery,
        (1.., examples) if outage.fails((found.0, examples.to_owned()), now) => News::Fault,
        _ => News::None,
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
        if let Some(before) = self.lists(loaded.version, listed) {
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
            // A role that may read the catalogue alone, or a database that was not migrated: then nothing proves a value.
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
