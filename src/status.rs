//! What the background checks last saw: the facts behind the health routes, read without I/O and without waiting.

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
    /// What kind of database this instance uses.
    DatabaseKind {
        /// The one of `DATABASE_URL`.
        Postgres = "postgres",
        /// A private PostgreSQL on this machine.
        Embedded = "embedded",
        /// None: the builtin catalogue alone.
        None = "none",
    }
);

/// How the database stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DatabaseState {
    /// No look at it has ended yet.
    Unknown,
    /// Answers.
    Up {
        /// The round trip of the last look.
        latency: Duration,
        /// A fault that does not keep the catalogue from being loaded, such as refused writes.
        fault: Option<DatabaseFault>,
    },
    /// Does not answer, or not usefully.
    Down(DatabaseFault),
    /// There is none.
    NotConfigured,
}

/// The last look at the database.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DatabaseReport {
    /// What kind it is.
    pub kind: DatabaseKind,
    /// How the connection to it is protected; `None` where there is none.
    pub tls: Option<DatabaseTls>,
    /// How it stands.
    pub state: DatabaseState,
    /// When that was seen.
    pub checked_at: Option<OffsetDateTime>,
}

impl DatabaseState {
    /// What is wrong with it, if it answers or is expected to.
    pub fn fault(self) -> Option<DatabaseFault> {
        match self {
            Self::Up { fault, .. } => fault,
            Self::Down(fault) => Some(fault),
            Self::Unknown | Self::NotConfigured => None,
        }
    }
}

impl DatabaseReport {
    /// The round trip of the last look, in milliseconds with two decimals; `None` when it does not answer.
    pub fn latency_ms(&self) -> Option<f64> {
        let DatabaseState::Up { latency, .. } = self.state else { return None };
        Some((latency.as_secs_f64() * 1e5).round() / 1e2)
    }
}

/// Shared by the background checks, which write it, and the health routes, which read it.
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
    /// The status at the start of the process: nothing has been looked at yet.
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

    /// Sets how the connection to the database is protected, where that is not local.
    pub fn with_tls(mut self, tls: DatabaseTls) -> Self {
        self.database.get_mut().tls = Some(tls);
        self
    }

    /// The last look at the database.
    pub fn database(&self) -> DatabaseReport {
        *self.database.read()
    }

    /// Takes in a new look at the database; returns the state before.
    pub fn set_database(&self, state: DatabaseState) -> DatabaseState {
        let mut report = self.database.write();
        report.checked_at = Some(self.clock.utc());
        if state == DatabaseState::NotConfigured {
            report.kind = DatabaseKind::None;
            report.tls = None;
        }
        std::mem::replace(&mut report.state, state)
    }

    /// Where the listener reports.
    pub fn listener(&self) -> &Arc<RwLock<ListenerState>> {
        &self.listener
    }

    /// Whether the very first connection was refused for a fault of configuration and none has worked since.
    pub fn is_misconfigured(&self) -> bool {
        self.misconfigured.load(Ordering::Relaxed)
    }

    /// Sets or clears what [`Self::is_misconfigured`] tells.
    pub fn set_misconfigured(&self, misconfigured: bool) {
        self.misconfigured.store(misconfigured, Ordering::Relaxed);
    }

    /// Whether the process is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From here on readiness is refused.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the first source of the catalogue is decided.
    pub fn is_decided(&self) -> bool {
        *self.decided.borrow()
    }

    /// Lets those go on who wait for the first source.
    pub fn decide(&self) {
        self.decided.send_replace(true);
    }

    /// Waits until the first source is decided.
    pub async fn decided(&self) {
        // The sender lives in `self`, so the wait can only end well.
        let _ = self.decided.subscribe().wait_for(|decided| *decided).await;
    }

    /// What became of all this: the last hour, and the last changes. Locked for moments only.
    pub fn history(&self) -> &RwLock<History> {
        &self.history
    }

    /// When the process began.
    pub fn started_at(&self) -> OffsetDateTime {
        self.started_at
    }

    /// How long the process has run.
    pub fn uptime(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.started)
    }

    /// Now.
    pub fn utc(&self) -> OffsetDateTime {
        self.clock.utc()
    }
}
