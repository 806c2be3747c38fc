//! The connection on which Postgres announces changes.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};

use super::{CONNECT_LIMIT, DatabaseFault, Store, StoreError, version};

/// The channel of the triggers.
const CHANNEL: &str = "chatchonk_cache";

/// A session-mode connection of its own that hears every change committed after it was opened.
#[derive(Debug)]
pub struct ChangeListener {
    listener: PgListener,
    pool: PgPool,
}

impl Drop for ChangeListener {
    /// A closed pool takes its connection back without a word, even when the database is gone already.
    fn drop(&mut self) {
        // It is closed from here on; what is not waited for is the goodbye.
        drop(self.pool.close());
    }
}

impl ChangeListener {
    /// Connects, listens, and waits until an announcement came back.
    ///
    /// # Errors
    /// [`StoreError`] when that fails or takes longer than 5 s.
    pub async fn connect(store: &Store) -> Result<Self, StoreError> {
        let statements = store.pool()?;
        // The pool would try a refused connection again and then report its time-out; this reports the reason.
        store.dial().await.map(drop)?;
        let connect = async {
            // A pool of one keeps it out of the statements' pool. Not eager: a lost connection must be seen by the
            // caller, who has to read the versions again.
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
            // The next dial finds out whether a pooler is why.
            store.has_sessions.store(false, Ordering::Relaxed);
            return Err(StoreError::TimedOut);
        };
        heard?;
        Ok(connected)
    }

    /// Waits for the next announcement. It says no more than that something may have changed: any role may send one, with
    /// any text. Cancelling the wait loses nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the connection is broken. Make a new listener then, and read the versions: changes may have been
    /// missed.
    pub async fn next(&mut self) -> Result<(), StoreError> {
        match self.listener.try_recv().await? {
            Some(_) => Ok(()),
            None => Err(sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into()).into()),
        }
    }

    /// Reads the versions of the scopes on this very connection: it proves that the connection lives, which a silent
    /// half-open one does not show otherwise.
    ///
    /// # Errors
    /// [`StoreError`] when the connection is broken.
    pub async fn versions(&mut self, scopes: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        match version::versions(&mut self.listener, scopes).await {
            // Its pool of one is never full: a connection that was lost did not come back.
            Err(StoreError::Database { fault: DatabaseFault::PoolFull, .. }) => Err(StoreError::TimedOut),
            versions => versions,
        }
    }
}

/// Waits for an announcement of this server's own, as some poolers take LISTEN and do nothing. Drops other announcements
/// that come before it: the caller reads the versions after this.
async fn hear_echo(listener: &mut PgListener, statements: &PgPool) -> Result<(), sqlx::Error> {
    let channel = format!("{CHANNEL}_echo_{}", uuid::Uuid::now_v7().simple());
    listener.listen(&channel).await?;
    // Over another connection: such a pooler does pass on what a connection announces to itself.
    sqlx::query("select pg_notify($1, '')").bind(&channel).execute(statements).await?;
    while listener.recv().await?.channel() != channel {}
    listener.unlisten(&channel).await
}
