//! Poolers: whether one gives each connection a backend of its own.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::error::{DatabaseFault, StoreError};

/// How long a second connection is waited for. A pooler without a free backend makes it wait far longer.
const SECOND_LIMIT: Duration = Duration::from_secs(1);

/// Refuses a pooler that lends a backend for a transaction or a statement only. There LISTEN does nothing, and settings
/// and prepared statements of one client reach another. It shows in the backends' numbers: two connections that are open
/// at once have one backend, or one connection has two. Sets nothing on `first`.
///
/// Returns whether connections are certain to be sessions. They are not where no second connection is available.
///
/// # Errors
/// [`StoreError`] for such a pooler, or when `first` breaks.
pub(super) async fn check_sessions(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<bool, StoreError> {
    // In a row, for a pooler that takes its backends in turn.
    let backends = [backend(first).await?, backend(first).await?];
    let other = tokio::time::timeout(SECOND_LIMIT, async {
        let mut second = PgConnection::connect_with(options).await?;
        let backend = backend(&mut second).await;
        // The answer counts, not the goodbye.
        let _ = second.close().await;
        backend
    });
    let other = other.await;
    let again = backend(first).await?;
    let is_shared = matches!(&other, Ok(Ok(other)) if *other == again);
    if is_shared || backends.iter().any(|backend| *backend != again) {
        return Err(StoreError::Refused(DatabaseFault::TransactionPooler));
    }
    Ok(matches!(other, Ok(Ok(_))))
}

/// Returns which backend answers this connection, by a statement that prepares nothing. Two servers behind one name may use
/// the same number.
async fn backend(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    use sqlx::Row;
    let which = "select pg_backend_pid() || ' of ' || pg_postmaster_start_time()";
    sqlx::raw_sql(which).fetch_one(connection).await?.try_get(0)
}
