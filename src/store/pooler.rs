//! Detects poolers that share backends between clients.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::error::{DatabaseFault, StoreError};

/// Limit for the second connection. A pooler without a free backend makes it wait far longer.
const SECOND_LIMIT: Duration = Duration::from_secs(1);

/// Refuses a pooler in transaction or statement mode, where LISTEN does nothing, and settings and prepared statements
/// of one client reach another. Detects it by backend: two open connections share one, or one connection changes it.
/// Sets nothing on `first`.
///
/// Returns whether sessions are certain, which needs a second connection.
///
/// # Errors
/// [`StoreError`] for such a pooler, or when `first` breaks.
pub(super) async fn check_sessions(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<bool, StoreError> {
    // Twice, because some poolers assign backends in turn.
    let backends = [backend(first).await?, backend(first).await?];
    let other = tokio::time::timeout(SECOND_LIMIT, async {
        let mut second = PgConnection::connect_with(options).await?;
        let backend = backend(&mut second).await;
        // Whether it closes cleanly does not matter.
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

/// Identifies the backend of a connection, without preparing a statement. Two servers behind one name may share a PID.
async fn backend(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    use sqlx::Row;
    let which = "select pg_backend_pid() || ' of ' || pg_postmaster_start_time()";
    sqlx::raw_sql(which).fetch_one(connection).await?.try_get(0)
}
