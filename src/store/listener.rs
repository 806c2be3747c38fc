//! The connection on which PostgreSQL announces changes.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};

use super::{CONNECT_LIMIT, DatabaseFault, Store, StoreError, version};

/// The channel that the triggers notify.
const CHANNEL: &str = "chatchonk_cache";

/// A dedicated session that receives every change committed after it was opened.
#[derive(Debug)]
pub struct ChangeListener {
    listener: PgListener,
    pool: PgPool,
}

impl Drop for ChangeListener {
    /// Closes the pool first, so that returning the connection logs nothing, even if the database is gone.
    fn drop(&mut self) {
        // The call itself closes the pool; the future only waits for the connections to end.
        drop(self.pool.close());
    }
}

impl ChangeListener {
    /// Connects, listens, and waits for an announcement to prove that LISTEN works.
    ///
    /// # Errors
    /// [`StoreError`] when that fails or takes longer than 5 s.
    pub async fn connect(store: &Store) -> Result<Self, StoreError> {
        let statements = store.pool()?;
        // Reports why a connection is refused; the pool would only report a timeout.
        store.dial().await.map(drop)?;
        let connect = async {
            // A separate pool of one connection. Not eager: the caller must see a lost connection, to read the versions again.
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(CONNECT_LIMIT)
                .connect_with(store.options.clone())
                .await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok::<_, sqlx::Error>(Self { listener, pool })
        };
        let connected = tokio::time::timeout(CONNECT_LIMIT, connect).await;
        let mut connected = connected.map_err(|_| StoreError::TimedOut)??;
        let echo = hear_echo(&mut connected.listener, statements);
        let Ok(heard) = tokio::time::timeout(CONNECT_LIMIT, echo).await else {
            // The next dial checks whether a pooler is the cause.
            store.has_sessions.store(false, Ordering::Relaxed);
            return Err(StoreError::TimedOut);
        };
        heard?;
        Ok(connected)
    }

    /// Waits for the next announcement. It is only a hint that something may have changed, because any role can send one.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] when the connection is broken. Then open a new listener and read the versions: announcements may have
    /// been missed.
    pub async fn next(&mut self) -> Result<(), StoreError> {
        match self.listener.try_recv().await? {
            Some(_) => Ok(()),
            None => Err(sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into()).into()),
        }
    }

    /// Reads the versions of the scopes on this connection, which also detects a half-open connection.
    ///
    /// # Errors
    /// [`StoreError`] when the connection is broken.
    pub async fn versions(&mut self, scopes: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        match version::versions(&mut self.listener, scopes).await {
            // The pool of one is never full: the timeout means that a lost connection was not replaced.
            Err(StoreError::Database { fault: DatabaseFault::PoolFull, .. }) => Err(StoreError::TimedOut),
            versions => versions,
        }
    }
}

/// Sends an announcement and waits for it, because some poolers accept LISTEN and do nothing. Drops announcements that
/// arrive earlier: the caller reads the versions afterwards.
async fn hear_echo(listener: &mut PgListener, statements: &PgPool) -> Result<(), sqlx::Error> {
    let channel = format!("{CHANNEL}_echo_{}", uuid::Uuid::now_v7().simple());
    listener.listen(&channel).await?;
    // Sent over another connection, because such a pooler does deliver a connection's own announcements.
    sqlx::query("select pg_notify($1, '')").bind(&channel).execute(statements).await?;
    while listener.recv().await?.channel() != channel {}
    listener.unlisten(&channel).await
}
