//! PostgreSQL: the only module with SQL.

mod catalogue;
mod catalogue_json;
mod catalogue_row;
mod detail;
mod error;
mod inspection;
mod kv_ledger;
mod listener;
mod migrate;
mod pooler;
mod quarantine;
mod relay;
mod rights;
mod seed;
mod settings;
mod text_form;
mod tls;
mod triggers;
mod version;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Executor};

use relay::Relay;

pub use catalogue::LoadedCatalogue;
pub use detail::{IgnoredDetail, IgnoredDetails};
pub use error::{DatabaseFault, StoreError};
pub use inspection::{EditTraces, TableInspection};
pub use kv_ledger::{KvClaim, KvClaimed, KvDigest, KvKnownKey, KvSpending, KvUsed};
pub use listener::ChangeListener;
pub use migrate::Migrations;
pub use quarantine::QuarantinedValue;
pub use relay::Destination;
pub use rights::Rights;
pub use seed::{SeedMode, SeedReport};
pub use settings::{DatabaseSettings, InvalidDatabaseUrl};
pub use tls::{DatabaseTls, Roots, Verification};

/// Limit for a new connection, TLS included, while a caller waits for it.
const CONNECT_LIMIT: Duration = Duration::from_millis(2_500);
/// Limit where only the reason of a failure matters: Supabase's pooler reports it after 2.5 s or more.
const PATIENT_LIMIT: Duration = Duration::from_secs(8);

/// The database. Cheap to clone. Connects on demand, and again after an outage.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    settings: DatabaseSettings,
    /// The options of the settings, or of the relay.
    options: PgConnectOptions,
    /// Kept alive for databases over the network.
    _relay: Option<Arc<Relay>>,
    /// Whether every connection is known to have its own backend.
    has_sessions: Arc<AtomicBool>,
    /// Why the last [`Store::dial`] or [`Store::probe`] was refused; `None` after a success.
    refused: Arc<Mutex<Option<DatabaseFault>>>,
}

/// State of a database that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Such as `15.4`.
    pub server_version: String,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Server encoding, such as `UTF8`.
    pub encoding: String,
}

impl Probe {
    /// # Errors
    /// [`StoreError::Encoding`] unless the encoding is UTF-8: other encodings cannot hold every name, and `SQL_ASCII` may
    /// hold bytes that are not text.
    pub fn accept_encoding(&self) -> Result<(), StoreError> {
        if self.encoding == "UTF8" { Ok(()) } else { Err(StoreError::Encoding(self.encoding.clone())) }
    }
}

/// Connections of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Connections in use.
    pub in_use: u32,
    /// Idle connections.
    pub idle: u32,
    /// The pool's maximum.
    pub limit: u32,
}

impl Store {
    /// Describes the database without connecting.
    pub fn new(settings: DatabaseSettings) -> Self {
        let mut options = settings.options.clone();
        let relay = settings.destination.clone().and_then(|destination| match Relay::start(destination) {
            Ok(relay) => {
                options = options.clone().socket(relay.folder());
                Some(Arc::new(relay))
            }
            Err(error) => {
                // Without the relay nothing may be sent: no socket has this name.
                options = options.clone().socket("/nonexistent");
                tracing::error!(%error, "cannot open the socket that leads to the database");
                None
            }
        });
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_timeout)
            .idle_timeout(Duration::from_mins(10))
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // Not start-up options, because poolers drop them.
                    connection
                        .execute(
                            "set statement_timeout = '5s'; set lock_timeout = '3s'; \
                             set idle_in_transaction_session_timeout = '10s'",
                        )
                        .await
                        .map(drop)
                })
            })
            .after_release(|connection, _| {
                // After an `alter table`, a statement prepared before it fails on this connection ("cached plan must not
                // change result type").
                Box::pin(async move { Ok(connection.clear_cached_statements().await.is_ok()) })
            })
            .connect_lazy_with(options.clone());
        Self { pool, settings, options, _relay: relay, has_sessions: Arc::default(), refused: Arc::default() }
    }

    /// Opens a connection outside the pool.
    ///
    /// The pool retries a refused connection and then reports a timeout; this reports the reason at once.
    ///
    /// # Errors
    /// [`StoreError::Database`] with the reason, or [`StoreError::TimedOut`] after 2.5 s (5 s while the pooler is checked).
    pub async fn dial(&self) -> Result<PgConnection, StoreError> {
        self.note(self.connect(CONNECT_LIMIT).await)
    }

    /// Like [`Store::dial`], but waits longer for the reason.
    ///
    /// # Errors
    /// [`StoreError::Database`] with the reason, or [`StoreError::TimedOut`] after 8 s (16 s while the pooler is checked).
    pub async fn dial_patiently(&self) -> Result<PgConnection, StoreError> {
        self.note(self.connect(PATIENT_LIMIT).await)
    }

    async fn connect(&self, limit: Duration) -> Result<PgConnection, StoreError> {
        let connected = tokio::time::timeout(limit, PgConnection::connect_with(&self.options)).await;
        let mut connection = connected.map_err(|_| StoreError::TimedOut)??;
        if !self.has_sessions.load(Ordering::Relaxed) {
            // The check has its own limit, because it opens another connection.
            let checked = tokio::time::timeout(limit, pooler::check_sessions(&mut connection, &self.options));
            let certain = checked.await.map_err(|_| StoreError::TimedOut)??;
            self.has_sessions.store(certain, Ordering::Relaxed);
        }
        Ok(connection)
    }

    /// Remembers a refusal until a connection succeeds. Until then statements fail without connecting, so only callers of
    /// `dial` decide how often a wrong password is retried.
    fn note<T>(&self, tried: Result<T, StoreError>) -> Result<T, StoreError> {
        let refusal = tried.as_ref().err().map(StoreError::fault).filter(|fault| fault.is_refusal());
        if refusal == Some(DatabaseFault::TransactionPooler) {
            // The next dial checks again.
            self.has_sessions.store(false, Ordering::Relaxed);
        }
        // Other failures, such as timeouts, say nothing about the refusal.
        if tried.is_ok() || refusal.is_some() {
            *self.refused.lock() = refusal;
        }
        tried
    }

    /// Returns the pool for statements.
    ///
    /// # Errors
    /// [`StoreError::Refused`] after a refusal, until [`Store::dial`] succeeds.
    fn pool(&self) -> Result<&PgPool, StoreError> {
        match *self.refused.lock() {
            Some(fault) => Err(StoreError::Refused(fault)),
            None => Ok(&self.pool),
        }
    }

    /// Checks with one small statement whether the database answers and accepts writes.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be reached or does not answer within 2.5 s.
    pub async fn probe(&self) -> Result<Probe, StoreError> {
        let pool = self.pool()?;
        let question = sqlx::query!(
            r#"select current_setting('server_version') as "server_version!",
                      current_setting('transaction_read_only') = 'on' as "read_only!",
                      current_setting('server_encoding') as "encoding!""#
        )
        .fetch_one(pool);
        let answer = tokio::time::timeout(CONNECT_LIMIT, question).await;
        let row = self.note(answer.map_err(|_| StoreError::TimedOut).and_then(|answer| Ok(answer?)))?;
        let server_version = row.server_version.split(' ').next().unwrap_or_default().to_owned();
        Ok(Probe { server_version, read_only: row.read_only, encoding: row.encoding })
    }

    /// Counts the connections of the pool, without waiting.
    pub fn connections(&self) -> Connections {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        // The two counts are not read atomically.
        let in_use = self.pool.size().saturating_sub(idle);
        Connections { in_use, idle, limit: self.settings.max_connections }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &DatabaseSettings {
        &self.settings
    }

    /// Closes the pool after running statements end.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
