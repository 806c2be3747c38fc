//! Supervises the database: connects, migrates, seeds, loads, and starts again after an outage.

use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{SetOnce, oneshot};
use tokio_util::sync::CancellationToken;

use crate::catalogue::{Catalogue, CatalogueSource};
use crate::clock::Clock;
use crate::config::{Config, DatabaseChoice};
use crate::domain::seed::Seed;
use crate::embedded::{Cluster, EmbeddedError, Installation, Options};
use crate::kv_tier::SharedTier;
use crate::outage::Outage;
use crate::status::{DatabaseState, Status};
use crate::store::{DatabaseFault, DatabaseSettings, DatabaseTls, Store, StoreError};

use super::check::check_start;
use super::tables::Tables;

/// Pause between looks at a database that answers.
const WHEN_UP: Duration = Duration::from_secs(5);
/// Pause while it does not.
const WHEN_DOWN: Duration = Duration::from_secs(2);
/// Pause while it refuses this server. Two tries at the start and then one a minute are below the ten in five minutes
/// after which Supabase's pooler blocks an address, even with the right password.
const WHEN_REFUSED: Duration = Duration::from_mins(1);
/// Pause between starts of a private cluster.
const WHEN_NOT_STARTED: Duration = Duration::from_secs(30);
/// Limit for finding out why the pool gave no connection. With the pool's 2 s and the pause between looks, an outage
/// shows within 10 s.
const DIAGNOSIS_LIMIT: Duration = Duration::from_secs(1);
/// Time limit for the end of all connections.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// Opens the configured database: describes `DATABASE_URL`, or starts the private cluster, which the caller must stop.
///
/// # Errors
/// [`EmbeddedError`] when PostgreSQL is not installed or the cluster does not start.
pub async fn open(choice: &DatabaseChoice) -> Result<(Store, Option<Cluster>), EmbeddedError> {
    match choice {
        DatabaseChoice::Url(settings) => Ok((Store::new(settings.as_ref().clone()), None)),
        DatabaseChoice::Embedded { data_dir, path, max_connections } => {
            let installation = Installation::find(path.as_deref())?;
            let cluster = Cluster::start(&installation, data_dir, &Options::default()).await?;
            let settings = DatabaseSettings::from_options(cluster.connect_options(), *max_connections);
            Ok((Store::new(settings), Some(cluster)))
        }
    }
}

/// Faults in the log, each logged once.
struct Logged {
    /// It does not answer.
    down: Outage<DatabaseFault>,
    /// It answers, with a fault.
    degraded: Outage<DatabaseFault>,
    /// The private cluster does not start again.
    unrevived: Outage<Discriminant<EmbeddedError>>,
}

impl Logged {
    const NOTHING: Self = Self {
        down: Outage::new(Duration::ZERO),
        degraded: Outage::new(Duration::ZERO),
        unrevived: Outage::new(Duration::ZERO),
    };
}

/// Progress with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No look has ended.
    First,
    /// The first look timed out. The server may give its reason later, so the second is patient.
    Second,
    /// It does not answer, or its tables may be outdated.
    Away,
    /// Its tables were brought up to date since it came back.
    Prepared,
}

impl Phase {
    /// Returns the phase after a look. A database that comes back may be another one. Tables that vanish while it
    /// answers are left to the operator, who may be restoring a backup.
    fn after(self, look: DatabaseState) -> Self {
        match (self, look) {
            (_, DatabaseState::Up { .. }) => Self::Prepared,
            (Self::Prepared, DatabaseState::Down(fault)) if fault.is_of_tables() => Self::Prepared,
            (Self::First, DatabaseState::Down(DatabaseFault::Timeout)) => Self::Second,
            _ => Self::Away,
        }
    }

    /// Whether it has never worked, so that a fault is one of configuration.
    fn is_start(self) -> bool {
        matches!(self, Self::First | Self::Second)
    }
}

pub(super) struct Supervisor {
    pub config: Config,
    pub seed: Seed,
    pub catalogue: Catalogue,
    pub status: Arc<Status>,
    pub shared: Option<SharedTier>,
    pub clock: Clock,
    /// Set once the database is prepared for the first time.
    pub prepared: Arc<SetOnce<Store>>,
    /// Gets the reason why the server must stop.
    pub refuse: oneshot::Sender<EmbeddedError>,
}

impl Supervisor {
    /// Runs until cancelled, then closes the connections and stops the private cluster.
    pub async fn run(self, cancel: CancellationToken) {
        let Some(opened) = cancel.run_until_cancelled(self.open()).await else { return };
        match opened {
            Ok((store, mut cluster)) => {
                cancel.run_until_cancelled(self.look_after(&store, &mut cluster)).await;
                // A connection that hangs must not keep the process from ending.
                let _ = tokio::time::timeout(CLOSE_LIMIT, store.close()).await;
                if let Some(cluster) = cluster {
                    cluster.stop().await;
                }
            }
            Err(error @ EmbeddedError::InUse { .. }) => {
                // Without a receiver the server is stopping already.
                let _ = self.refuse.send(error);
            }
            Err(_) => self.log_checks(None).await,
        }
    }

    /// Opens the database. Repeats the start of a private cluster until it succeeds.
    ///
    /// # Errors
    /// [`EmbeddedError::InUse`], because a second server on one folder would show the wrong catalogue;
    /// [`EmbeddedError::NotInstalled`].
    async fn open(&self) -> Result<(Store, Option<Cluster>), EmbeddedError> {
        if let DatabaseChoice::Url(settings) = &self.config.database {
            if settings.tls == DatabaseTls::Unverified {
                tracing::warn!("TLS with the database is not verified, as DATABASE_TLS says");
            }
            if let Some(warning) = settings.roots().and_then(|roots| roots.ageing(self.clock.utc())) {
                tracing::warn!("{warning}");
            }
        }
        let mut outage = Outage::new(Duration::ZERO);
        loop {
            let error = match open(&self.config.database).await {
                Err(error) if !matches!(error, EmbeddedError::InUse { .. }) => error,
                opened => return opened,
            };
            if outage.record_failure(discriminant(&error), self.clock.now()) {
                tracing::warn!("{error}; serving the builtin catalogue");
                // KV may have a newer catalogue.
                let _ = self.catalogue.refresh().await;
            }
            let is_installed = !matches!(error, EmbeddedError::NotInstalled { .. });
            self.status.set_database(if is_installed {
                DatabaseState::Down(DatabaseFault::NotStarted)
            } else {
                DatabaseState::NotConfigured
            });
            self.status.decide();
            if !is_installed {
                return Err(error);
            }
            self.clock.sleep(WHEN_NOT_STARTED).await;
        }
    }

    async fn look_after(&self, store: &Store, cluster: &mut Option<Cluster>) {
        let mut logged = Logged::NOTHING;
        let mut tables = Tables::new(store, &self.seed, &self.clock, self.config.migrate_on_start);
        let mut phase = Phase::First;
        loop {
            let (state, error) = self.look(store, &mut tables, phase).await;
            let is_up = matches!(state, DatabaseState::Up { .. });
            if phase == Phase::First && !is_up {
                // KV may have a newer catalogue than this binary.
                let _ = self.catalogue.refresh().await;
            }
            self.report(state, error.as_ref(), phase, &mut logged);
            if is_up {
                tables.look_for_lost_edits(&self.catalogue).await;
            }
            self.status.decide();
            if state == DatabaseState::Down(DatabaseFault::Unreachable) {
                self.revive(cluster, &mut logged).await;
            }
            if phase == Phase::First {
                self.log_checks(Some(store)).await;
            }
            phase = phase.after(state);
            if phase == Phase::Prepared {
                // It may be set already.
                let _ = self.prepared.set(store.clone());
            }
            let pause = match state {
                DatabaseState::Up { .. } => WHEN_UP,
                DatabaseState::Down(fault) if fault.is_refusal() => WHEN_REFUSED,
                _ => WHEN_DOWN,
            };
            self.clock.sleep(pause).await;
        }
    }

    async fn log_checks(&self, store: Option<&Store>) {
        for line in check_start(&self.config, store, &self.catalogue).await {
            line.log();
        }
    }

    /// Looks at the database; prepares it and loads the catalogue when due.
    async fn look(
        &self,
        store: &Store,
        tables: &mut Tables<'_>,
        phase: Phase,
    ) -> (DatabaseState, Option<StoreError>) {
        let look = match phase {
            Phase::Prepared => tables.look().await,
            _ => self.prepare(store, tables, phase).await,
        };
        let look = match look {
            Ok(state) => self.load(state, tables, phase).await,
            failed => failed,
        };
        match look {
            Ok(state) => (state, None),
            Err(error) => {
                let error = self.diagnose(store, error).await;
                (DatabaseState::Down(error.fault()), Some(error))
            }
        }
    }

    /// First contact: tables, seed. If the tables exist, a failed migration or seed does not keep the catalogue from
    /// being served.
    async fn prepare(
        &self,
        store: &Store,
        tables: &mut Tables<'_>,
        phase: Phase,
    ) -> Result<DatabaseState, StoreError> {
        // Lists wait for the first look only.
        let dialled = if phase == Phase::First { store.dial().await } else { store.dial_patiently().await };
        dialled.map(drop)?;
        // Not earlier: lists must not wait for a database that has never answered.
        self.catalogue.connect(store.clone());
        if let Some(shared) = &self.shared {
            shared.connect(store.clone());
        }
        // A failure is logged and shows in the look; the supervisor repeats it.
        let _ = tables.bring_up_to_date().await;
        tables.look().await
    }

    /// Loads the catalogue when due. A database that answers without a catalogue is at fault.
    async fn load(
        &self,
        state: DatabaseState,
        tables: &Tables<'_>,
        phase: Phase,
    ) -> Result<DatabaseState, StoreError> {
        // Its version may be unchanged, and the last load may have failed.
        let was_of_tables = self.status.database().state.fault().is_some_and(DatabaseFault::is_of_tables);
        let is_stale = || self.catalogue.report().is_none_or(|report| report.stale);
        if phase == Phase::Prepared && !was_of_tables && !is_stale() {
            return Ok(state);
        }
        let failure = match self.catalogue.refresh().await {
            // A value from KV is stale.
            Ok(()) => self.catalogue.failure().filter(|_| is_stale()),
            // A load that times out proves nothing.
            Err(_) => self.catalogue.failure().or(Some(DatabaseFault::Timeout)),
        };
        // The cache has logged it.
        failure.map_or(Ok(state), |fault| Err(tables.explain(StoreError::Unusable(fault), state.fault())))
    }

    /// Returns why a look failed. The pool only says that it timed out; a separate connection gives the reason.
    async fn diagnose(&self, store: &Store, error: StoreError) -> StoreError {
        match error.fault() {
            DatabaseFault::PoolFull => match self.clock.timeout(DIAGNOSIS_LIMIT, store.dial()).await {
                Ok(Ok(_)) => error,
                Ok(Err(reason)) => reason,
                Err(_) => StoreError::TimedOut,
            },
            _ => error,
        }
    }

    /// Starts the private PostgreSQL again.
    async fn revive(&self, cluster: &mut Option<Cluster>, logged: &mut Logged) {
        if matches!(self.config.database, DatabaseChoice::Url(_)) {
            return;
        }
        if let Some(dead) = cluster.take() {
            dead.stop().await;
        }
        match open(&self.config.database).await {
            Ok((_, revived)) => {
                *cluster = revived;
                logged.unrevived.record_success(self.clock.now());
            }
            Err(error) => {
                if logged.unrevived.record_failure(discriminant(&error), self.clock.now()) {
                    tracing::warn!("{error}");
                }
            }
        }
    }

    /// Publishes a look and logs its news. The status changes at once; the log has each fault of an unstable database
    /// once.
    fn report(&self, state: DatabaseState, error: Option<&StoreError>, phase: Phase, logged: &mut Logged) {
        let now = self.clock.now();
        let before = self.status.set_database(state);
        let is_down = is_down(state);
        if !is_down {
            if self::is_down(before) {
                self.status.set_misconfigured(false);
            }
            if logged.down.record_success(now).is_some() {
                tracing::info!("the database answers again");
            }
        }
        let Some(fault) = state.fault() else {
            match logged.degraded.record_success(now).as_deref() {
                Some([DatabaseFault::ReadOnly]) => tracing::info!("the database takes writes again"),
                Some(faults) => {
                    let reasons: Vec<_> = faults.iter().map(|fault| fault.reason()).collect();
                    tracing::info!("no longer at fault: {}", reasons.join("; "));
                }
                None => {}
            }
            return;
        };
        let outage = if is_down { &mut logged.down } else { &mut logged.degraded };
        if outage.record_failure(fault, now) {
            let words = error.map_or_else(|| fault.reason().to_owned(), ToString::to_string);
            tracing::warn!(remedy = fault.remedy(), "{words}");
        }
        if is_down && phase.is_start() {
            let has_nothing =
                self.catalogue.report().is_none_or(|held| held.read.source() == CatalogueSource::Builtin);
            self.status.set_misconfigured(fault.is_configuration() && has_nothing);
        }
    }
}

fn is_down(state: DatabaseState) -> bool {
    matches!(state, DatabaseState::Down(_))
}
