//! Versions of scopes, by which caches validate.

use std::collections::HashMap;

use sqlx::postgres::PgExecutor;

use super::{KvDigest, Store, StoreError};

impl Store {
    /// Returns the versions of the given scopes; a scope that has never changed is absent.
    ///
    /// # Errors
    /// [`StoreError`] on failure.
    pub async fn versions(&self, scopes: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        versions(self.pool()?, scopes).await
    }

    /// Reads, in one statement, the version of a scope and the digest recorded for `key` at this version, if any. Returns
    /// `None` for a scope that has never changed.
    ///
    /// # Errors
    /// [`StoreError`] on failure.
    pub async fn version_and_digest(
        &self,
        scope: &str,
        key: &str,
    ) -> Result<Option<(u64, Option<KvDigest>)>, StoreError> {
        let row = sqlx::query!(
            r#"select scopes.version::bigint as "version!", keys.digest as "digest?"
               from chatchonk.cache_version scopes
               left join chatchonk.kv_keys keys on keys.key = $2 and keys.version = scopes.version
               where scopes.scope = $1 and scopes.version::bigint > 0"#,
            scope,
            key
        )
        .fetch_optional(self.pool()?)
        .await?;
        Ok(row.map(|row| (row.version.unsigned_abs(), row.digest.and_then(|digest| digest.try_into().ok()))))
    }

    /// Raises and announces the version of a scope, so that every instance reads its data again. Returns the new version.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails, such as for an invalid scope name; then nothing has changed.
    pub async fn raise_version(&self, scope: &str) -> Result<u64, StoreError> {
        let version = sqlx::query_scalar!(
            r#"with raised as (
                insert into chatchonk.cache_version as held (scope, version)
                values ($1::text, (extract(epoch from clock_timestamp()) * 1000)::bigint)
                on conflict (scope) do update
                    set version = greatest(held.version + 1, excluded.version), updated_at = clock_timestamp()
                returning scope, version
            )
            select version::bigint as "version!" from raised, pg_notify('chatchonk_cache', scope || ' ' || version)"#,
            scope
        )
        .fetch_one(self.pool()?)
        .await?;
        Ok(version.unsigned_abs())
    }
}

/// [`Store::versions`] over any connection. Reads versions, not times: a long transaction commits older times after newer
/// ones.
pub(super) async fn versions(
    connection: impl PgExecutor<'_>,
    scopes: &[String],
) -> Result<HashMap<String, u64>, StoreError> {
    let rows = sqlx::query!(
        r#"select scope, version::bigint as "version!"
           from chatchonk.cache_version where scope = any($1) and version::bigint > 0"#,
        scopes
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.scope, row.version.unsigned_abs())).collect())
}
