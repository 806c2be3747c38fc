//! Latest results of the background checks, which the health routes read without I/O or waiting.

mod history;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::cache::ListenerState;
use crate::clock::Clock;
use crate::domain::closed::closed_enum;
use crate::store::{DatabaseFault, DatabaseTls};

pub use history::{
    Change, Condition, History, MAX_CHANGES, MAX_SAMPLES, Part, PartName, SAMPLE_INTERVAL, Sample, Totals,
};

closed_enum!(
    /// Kind of database.
    DatabaseKind {
        /// The database of `DATABASE_URL`.
        Postgres = "postgres",
        /// A private PostgreSQL on this machine.
        Embedded = "embedded",
        /// None: only the builtin catalogue.
        None = "none",
    }
);

/// State of the database.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DatabaseState {
    /// Not checked yet.
    Unknown,
    /// The database answers.
    Up {
        /// Round trip of the last check.
        latency: Duration,
        /// A fault that still allows loading the catalogue, such as refused writes.
        fault: Option<DatabaseFault>,
    },
    /// The database does not answer, or is unusable.
    Down(DatabaseFault),
    /// There is no database.
    NotConfigured,
}

/// Last check of the database.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DatabaseReport {
    /// Its kind.
    pub kind: DatabaseKind,
    /// Protection of the connection; `None` without a database.
    pub tls: Option<DatabaseTls>,
    /// Its state.
    pub state: DatabaseState,
    /// When it was checked.
    pub checked_at: Option<OffsetDateTime>,
}

impl DatabaseState {
    /// Returns the fault, if any.
    pub fn fault(self) -> Option<DatabaseFault> {
        match self {
            Self::Up { fault, .. } => fault,
            Self::Down(fault) => Some(fault),
            Self::Unknown | Self::NotConfigured => None,
        }
    }
}

impl DatabaseReport {
    /// Returns the last round trip in milliseconds, with two decimals; `None` when the database does not answer.
    pub fn latency_ms(&self) -> Option<f64> {
        let DatabaseState::Up { latency, .. } = self.state else { return None };
        Some((latency.as_secs_f64() * 1e5).round() / 1e2)
    }
}

/// Written by the background checks, read by the health routes.
#[derive(Debug)]
pub struct Status {
    clock: Clock,
    started: Instant,
    started_at: OffsetDateTime,
    database: RwLock<DatabaseReport>,
    listener: Arc<RwLock<ListenerState>>,
    misconfigured: AtomicBool,
    draining: AtomicBool,
    decided: watch::Sender<bool>,
    history: RwLock<History>,
}

impl Status {
    /// Creates the status of a starting process.
    pub fn new(clock: Clock, kind: DatabaseKind) -> Self {
        Self {
            started: clock.now(),
            started_at: clock.utc(),
            clock,
            database: RwLock::new(DatabaseReport {
                kind,
                tls: (kind != DatabaseKind::None).then_some(DatabaseTls::Local),
                state: DatabaseState::Unknown,
                checked_at: None,
            }),
            listener: Arc::new(RwLock::new(ListenerState { listening: false, last_event: None })),
            misconfigured: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            decided: watch::channel(false).0,
            history: RwLock::default(),
        }
    }

    /// Sets the protection of a connection that is not local.
    pub fn with_tls(mut self, tls: DatabaseTls) -> Self {
        self.database.get_mut().tls = Some(tls);
        self
    }

    /// Returns the last check of the database.
    pub fn database(&self) -> DatabaseReport {
        *self.database.read()
    }

    /// Records a check of the database. Returns the previous state.
    pub fn set_database(&self, state: DatabaseState) -> DatabaseState {
        let mut report = self.database.write();
        report.checked_at = Some(self.clock.utc());
        if state == DatabaseState::NotConfigured {
            report.kind = DatabaseKind::None;
            report.tls = None;
        }
        std::mem::replace(&mut report.state, state)
    }

    /// Returns the state that the listener updates.
    pub fn listener(&self) -> &Arc<RwLock<ListenerState>> {
        &self.listener
    }

    /// Whether the first connection was refused due to configuration, and none has succeeded since.
    pub fn is_misconfigured(&self) -> bool {
        self.misconfigured.load(Ordering::Relaxed)
    }

    /// Sets [`Self::is_misconfigured`].
    pub fn set_misconfigured(&self, misconfigured: bool) {
        self.misconfigured.store(misconfigured, Ordering::Relaxed);
    }

    /// Whether the process is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Makes readiness fail from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the first source of the catalogue is decided.
    pub fn is_decided(&self) -> bool {
        *self.decided.borrow()
    }

    /// Releases callers that wait for the first source.
    pub fn decide(&self) {
        self.decided.send_replace(true);
    }

    /// Waits until the first source is decided.
    pub async fn decided(&self) {
        // The wait cannot fail, because `self` owns the sender.
        let _ = self.decided.subscribe().wait_for(|decided| *decided).await;
    }

    /// Returns the last hour and the last changes. Held locked only for moments.
    pub fn history(&self) -> &RwLock<History> {
        &self.history
    }

    /// Returns when the process started.
    pub fn started_at(&self) -> OffsetDateTime {
        self.started_at
    }

    /// Returns how long the process has run.
    pub fn uptime(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.started)
    }

    /// Returns the current time.
    pub fn utc(&self) -> OffsetDateTime {
        self.clock.utc()
    }
}
