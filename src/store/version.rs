//! Versions of scopes, for caches.

use std::collections::HashMap;

use sqlx::postgres::PgExecutor;

use super::{KvDigest, Store, StoreError};

/// What proves a value of the shared cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionProof {
    /// The version of the scope.
    pub version: u64,
    /// SHA-256 of the value that was written to the shared cache for that very version, if a writer left it.
    pub digest: Option<KvDigest>,
}

impl Store {
    /// The versions of the given scopes; a scope that has never changed is absent.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
    pub async fn versions(&self, scopes: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        versions(self.pool()?, scopes).await
    }

    /// Reads the version of a scope and what proves a value of it under `key`, from one state; nothing for a scope that has
    /// never changed.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
    pub async fn version_proof(&self, scope: &str, key: &str) -> Result<Option<VersionProof>, StoreError> {
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
        Ok(row.map(|row| VersionProof {
            version: row.version.unsigned_abs(),
            digest: row.digest.and_then(|digest| digest.try_into().ok()),
        }))
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
