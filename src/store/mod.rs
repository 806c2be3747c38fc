//! Postgres: the only place with SQL. Concrete on purpose: there is one database.

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

/// How long a new connection may take, TLS included, while somebody waits for it.
const CONNECT_LIMIT: Duration = Duration::from_millis(2_500);
/// How long it may take where only the reason is waited for: Supabase's pooler tells it after 2.5 s and more.
const PATIENT_LIMIT: Duration = Duration::from_secs(8);

/// The database. Cheap to clone; opens connections only when they are needed, and again after every outage.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    settings: DatabaseSettings,
    /// Those of the settings, or those that lead to the relay.
    options: PgConnectOptions,
    /// The way to a database over the network.
    _relay: Option<Arc<Relay>>,
    /// Whether each connection is known to have a backend of its own.
    has_sessions: Arc<AtomicBool>,
    /// Why the last [`Store::dial`] or [`Store::probe`] was refused, until one succeeds.
    refused: Arc<Mutex<Option<DatabaseFault>>>,
}

/// What a look at the database found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Such as `15.4`.
    pub server_version: String,
    /// Whether writes are refused.
    pub read_only: bool,
    /// The encoding of its texts, such as `UTF8`.
    pub encoding: String,
}

impl Probe {
    /// # Errors
    /// [`StoreError::Encoding`] when the database is not in UTF-8.
    pub fn accept_encoding(&self) -> Result<(), StoreError> {
        accept_encoding(&self.encoding)
    }
}

/// # Errors
/// [`StoreError::Encoding`] for any encoding but UTF-8: the others cannot hold every name, and a database without an
/// encoding holds bytes that are no text.
fn accept_encoding(encoding: &str) -> Result<(), StoreError> {
    if encoding == "UTF8" { Ok(()) } else { Err(StoreError::Encoding(encoding.to_owned())) }
}

/// The connections of the pool at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Those in use.
    pub in_use: u32,
    /// Those that wait for use.
    pub idle: u32,
    /// How many there may be.
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
                // Without it nothing may be sent: no socket has this name.
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
                    // Not as start-up options: poolers do not pass them on.
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
                // A statement that was prepared before an `alter table` fails for as long as its connection lives
                // ("cached plan must not change result type"), so that none is kept for the next use.
                Box::pin(async move { Ok(connection.clear_cached_statements().await.is_ok()) })
            })
            .connect_lazy_with(options.clone());
        Self { pool, settings, options, _relay: relay, has_sessions: Arc::default(), refused: Arc::default() }
    }

    /// Opens a connection outside the pool.
    ///
    /// The pool tries a refused connection again until its time-out and then reports the time-out; this tells the
    /// reason at once.
    ///
    /// # Errors
    /// [`StoreError::Database`] with the reason, or [`StoreError::TimedOut`] after 2.5 s; after 5 s where the connection
    /// must first show that it is a session.
    pub async fn dial(&self) -> Result<PgConnection, StoreError> {
        self.dial_within(CONNECT_LIMIT).await
    }

    /// The same for whom the reason is worth a longer wait.
    ///
    /// # Errors
    /// [`StoreError::Database`] with the reason, or [`StoreError::TimedOut`] after 8 s, or twice that.
    pub async fn dial_patiently(&self) -> Result<PgConnection, StoreError> {
        self.dial_within(PATIENT_LIMIT).await
    }

    async fn dial_within(&self, limit: Duration) -> Result<PgConnection, StoreError> {
        self.note(self.connect(limit).await)
    }

    async fn connect(&self, limit: Duration) -> Result<PgConnection, StoreError> {
        let connected = tokio::time::timeout(limit, PgConnection::connect_with(&self.options)).await;
        let mut connection = connected.map_err(|_| StoreError::TimedOut)??;
        if !self.has_sessions.load(Ordering::Relaxed) {
            // A limit of its own: this takes another connection, which is slow where the first one was.
            let checked = tokio::time::timeout(limit, pooler::check_sessions(&mut connection, &self.options));
            let certain = checked.await.map_err(|_| StoreError::TimedOut)??;
            self.has_sessions.store(certain, Ordering::Relaxed);
        }
        Ok(connection)
    }

    /// Remembers a refusal until a connection is made. In between statements fail at once without one, so that how often
    /// a wrong password is tried is up to whoever dials.
    fn note<T>(&self, tried: Result<T, StoreError>) -> Result<T, StoreError> {
        let refusal = tried.as_ref().err().map(StoreError::fault).filter(|fault| fault.is_refusal());
        if refusal == Some(DatabaseFault::TransactionPooler) {
            // The next dial looks again.
            self.has_sessions.store(false, Ordering::Relaxed);
        }
        // What fails in another way, such as by being slow, says nothing of the refusal.
        if tried.is_ok() || refusal.is_some() {
            *self.refused.lock() = refusal;
        }
        tried
    }

    /// The pool for statements.
    ///
    /// # Errors
    /// [`StoreError::Refused`] after a refusal, until [`Store::dial`] succeeds.
    fn pool(&self) -> Result<&PgPool, StoreError> {
        match *self.refused.lock() {
            Some(fault) => Err(StoreError::Refused(fault)),
            None => Ok(&self.pool),
        }
    }

    /// One small statement over the pool: is the database there, and may it be written to?
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

    /// The connections of the pool. Counts them without waiting.
    pub fn connections(&self) -> Connections {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        // The two are read one after the other.
        let in_use = self.pool.size().saturating_sub(idle);
        Connections { in_use, idle, limit: self.settings.max_connections }
    }

    /// How the database is reached.
    pub fn settings(&self) -> &DatabaseSettings {
        &self.settings
    }

    /// Closes the pool; statements that are running may finish.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
