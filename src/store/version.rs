//! Versions of scopes, for caches.

use std::collections::HashMap;

use sqlx::postgres::PgExecutor;

use super::{Store, StoreError};

impl Store {
    /// The versions of the given scopes; a scope that has never changed is absent.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
    pub async fn versions(&self, scopes: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        versions(&self.pool, scopes).await
    }
}

/// The same over any connection. The statement holds no time: a long transaction commits rows that were stamped
/// before others that are already visible.
pub(super) async fn versions(
    connection: impl PgExecutor<'_>,
    scopes: &[String],
) -> Result<HashMap<String, u64>, StoreError> {
    let rows =
        sqlx::query!("select scope, version from chatchonk.cache_version where scope = any($1)", scopes)
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|row| (row.scope, row.version.unsigned_abs())).collect())
}
