//! Versions of scopes, for caches.

use std::collections::HashMap;

use sqlx::postgres::PgExecutor;

use super::{KvDigest, Store, StoreError};

impl Store {
    /// The versions of the given scopes; a scope that has never changed is absent.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
    pub async fn versions(&self, scopes: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        versions(self.pool()?, scopes).await
    }

    /// Reads from one state the version of a scope and, if a writer recorded one, the digest of the value that was written
    /// under `key` for this version. `None` for a scope that has never changed.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
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

    /// Raises the version of a scope and announces it, as a change of its data would, so that every instance reads them
    /// anew. Returns the new version.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails, also for a name that no scope can have; nothing has changed then.
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

/// The same over any connection. The statement holds no time: a long transaction commits rows that were stamped
/// before others that are already visible.
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
