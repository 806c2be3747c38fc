//! The ledger by which instances share Cloudflare KV: who writes which key, and how much of the day's quota is used.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgExecutor};
use time::Date;

use crate::domain::closed::closed_enum;

use super::{Store, StoreError};

/// SHA-256 of a value in the form written to KV.
pub type KvDigest = [u8; 32];

/// A request to write a version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvClaim {
    /// The key.
    pub key: String,
    /// The version of its value.
    pub version: u64,
    /// Lets readers verify the value they find in KV.
    pub digest: KvDigest,
    /// How long ago KV was seen without the key. Counts only from 10 minutes after a write, because KV may not show the key
    /// until then.
    pub missing: Option<Duration>,
    /// After this long the same version may be written again.
    pub rewrite_after: Duration,
}

/// Outcome of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvClaimed {
    /// The caller may write it; other instances wait 10 minutes.
    Granted,
    /// Another instance is writing it, or it was written less than a minute ago. Claim again after this long.
    Later(Duration),
    /// That version is already written, and valid for this long.
    Written(Duration),
    /// Another instance claimed a newer version.
    Superseded,
}

closed_enum!(
    /// Operations with a daily limit, which all instances count together.
    KvSpending {
        /// Pairs written.
        Write = "write",
        /// Keys deleted.
        Delete = "delete",
    }
);

/// Operations used on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvUsed {
    /// The day in UTC, by the database's clock.
    pub day: Date,
    /// Pairs written.
    pub writes: u64,
    /// Keys deleted.
    pub deletes: u64,
}

/// A key that an instance has claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvKnownKey {
    /// The key.
    pub key: String,
    /// How long ago it was first claimed.
    pub known_for: Duration,
}

impl Store {
    /// Claims keys and spends one write for each granted claim, in one transaction. Returns the outcomes in order, or `None`
    /// (nothing is claimed) when that would exceed `limit` writes today.
    ///
    /// # Errors
    /// [`StoreError`] when a statement fails. Nothing is claimed then, unless only the answer to the commit was lost: then
    /// other instances wait 10 minutes in vain.
    pub async fn claim_kv_writes(
        &self,
        claims: &[KvClaim],
        limit: u64,
    ) -> Result<Option<Vec<KvClaimed>>, StoreError> {
        let mut transaction = self.pool()?.begin().await?;
        let claimed = claim(&mut transaction, claims).await?;
        let granted = claimed.iter().filter(|claimed| **claimed == KvClaimed::Granted).count() as u64;
        if granted > 0 && !spend(&mut *transaction, KvSpending::Write, granted, limit).await? {
            transaction.rollback().await?;
            return Ok(None);
        }
        transaction.commit().await?;
        Ok(Some(claimed))
    }

    /// Spends `count` of today's operations, all or none, and deletes days more than a week old. Returns false when that
    /// would exceed `limit`.
    ///
    /// # Errors
    /// [`StoreError`] on failure.
    pub async fn spend_kv(&self, kind: KvSpending, count: u64, limit: u64) -> Result<bool, StoreError> {
        spend(self.pool()?, kind, count, limit).await
    }

    /// Refunds operations that Cloudflare refused, at most as many as were spent today.
    ///
    /// # Errors
    /// [`StoreError`] on failure.
    pub async fn refund_kv(&self, kind: KvSpending, count: u64) -> Result<(), StoreError> {
        sqlx::query!(
            "update chatchonk.kv_budget set used = greatest(used - $2, 0)
             where day = (clock_timestamp() at time zone 'utc')::date and kind = $1",
            kind.as_str(),
            number(count),
        )
        .execute(self.pool()?)
        .await?;
        Ok(())
    }

    /// Records that these versions were written.
    ///
    /// # Errors
    /// [`StoreError`] on failure.
    pub async fn confirm_kv_writes(&self, written: &[(String, u64)]) -> Result<(), StoreError> {
        let (keys, versions): (Vec<_>, Vec<_>) =
            written.iter().map(|(key, version)| (key.clone(), number(*version))).unzip();
        sqlx::query!(
            "update chatchonk.kv_keys held set written_at = clock_timestamp()
             from unnest($1::text[], $2::bigint[]) as written(key, version)
             where held.key = written.key and held.version = written.version",
            &keys,
            &versions,
        )
        .execute(self.pool()?)
        .await?;
        Ok(())
    }

    /// Removes keys that were deleted or are about to be, so that any instance may write them at once.
    ///
    /// # Errors
    /// [`StoreError`] on failure.
    pub async fn forget_kv_keys(&self, keys: &[String]) -> Result<(), StoreError> {
        sqlx::query!("delete from chatchonk.kv_keys where key = any($1)", keys).execute(self.pool()?).await?;
        Ok(())
    }

    /// Returns all claimed keys with this prefix.
    ///
    /// # Errors
    /// [`StoreError`] on failure.
    pub async fn kv_keys(&self, prefix: &str) -> Result<Vec<KvKnownKey>, StoreError> {
        let rows = sqlx::query!(
            r#"select key, extract(epoch from clock_timestamp() - created_at)::float8 as "known_for!"
               from chatchonk.kv_keys where starts_with(key, $1) order by key"#,
            prefix
        )
        .fetch_all(self.pool()?)
        .await?;
        let known =
            rows.into_iter().map(|row| KvKnownKey { key: row.key, known_for: seconds(row.known_for) });
        Ok(known.collect())
    }

    /// Returns what was used today.
    ///
    /// # Errors
    /// [`StoreError`] on failure.
    pub async fn kv_used(&self) -> Result<KvUsed, StoreError> {
        let row = sqlx::query!(
            r#"select today.day as "day!",
                      coalesce(sum(used) filter (where kind = 'write'), 0)::bigint as "writes!",
                      coalesce(sum(used) filter (where kind = 'delete'), 0)::bigint as "deletes!"
               from (select (clock_timestamp() at time zone 'utc')::date as day) today
               left join chatchonk.kv_budget held on held.day = today.day
               group by today.day"#
        )
        .fetch_one(self.pool()?)
        .await?;
        Ok(KvUsed { day: row.day, writes: row.writes.unsigned_abs(), deletes: row.deletes.unsigned_abs() })
    }
}

async fn claim(connection: &mut PgConnection, claims: &[KvClaim]) -> Result<Vec<KvClaimed>, StoreError> {
    let keys: Vec<_> = claims.iter().map(|claim| claim.key.clone()).collect();
    let versions: Vec<_> = claims.iter().map(|claim| number(claim.version)).collect();
    let missing: Vec<_> =
        claims.iter().map(|claim| claim.missing.map(|missing| missing.as_secs_f64())).collect();
    let rewrite_after: Vec<_> = claims.iter().map(|claim| claim.rewrite_after.as_secs_f64()).collect();

    // Ordered by key: two instances that lock rows in different orders would deadlock.
    let granted = sqlx::query_scalar!(
        r#"
        insert into chatchonk.kv_keys as held (key, version)
        select key, version from unnest($1::text[], $2::bigint[]) as wanted(key, version) order by key
        on conflict (key) do nothing
        returning held.key
        "#,
        &keys,
        &versions,
    )
    .fetch_all(&mut *connection)
    .await?;
    // Any two writes of a key are a minute apart; a claim of a version holds for 10 minutes.
    let taken_over = sqlx::query_scalar!(
        r#"
        with free as (
            select held.key, wanted.version
            from chatchonk.kv_keys held
            join unnest($1::text[], $2::bigint[], $3::float8[], $4::float8[])
                as wanted(key, version, missing, rewrite_after) on wanted.key = held.key
            where held.claimed_at <= clock_timestamp() - interval '1 minute' and (
                held.version < wanted.version
                or held.version = wanted.version and (
                    held.digest is null
                    or held.written_at is null and held.claimed_at <= clock_timestamp() - interval '10 minutes'
                    or held.written_at <= clock_timestamp() - make_interval(mins => 10, secs => wanted.missing)
                    or held.written_at <= clock_timestamp() - make_interval(secs => wanted.rewrite_after)))
            order by held.key
            for update of held
        )
        update chatchonk.kv_keys held
        set version = free.version, claimed_at = clock_timestamp(), written_at = null
        from free where held.key = free.key
        returning held.key
        "#,
        &keys,
        &versions,
        &missing as &[Option<f64>],
        &rewrite_after,
    )
    .fetch_all(&mut *connection)
    .await?;
    let granted = [granted, taken_over].concat();
    store_digests(connection, claims, &granted).await?;
    let held = sqlx::query!(
        r#"
        select key, version::bigint as "version!", extract(epoch from clock_timestamp() - claimed_at)::float8 as "claimed!",
               extract(epoch from clock_timestamp() - written_at)::float8 as written,
               digest is not null as "is_proven!"
        from chatchonk.kv_keys where key = any($1)
        "#,
        &keys,
    )
    .fetch_all(&mut *connection)
    .await?;

    let outcome = |claim: &KvClaim| {
        if granted.contains(&claim.key) {
            return KvClaimed::Granted;
        }
        let Some(held) = held.iter().find(|held| held.key == claim.key) else {
            return KvClaimed::Later(Duration::ZERO);
        };
        let pause = |minutes| Duration::from_mins(minutes).saturating_sub(seconds(held.claimed));
        match held.version.unsigned_abs().cmp(&claim.version) {
            std::cmp::Ordering::Greater => KvClaimed::Superseded,
            std::cmp::Ordering::Less => KvClaimed::Later(pause(1)),
            std::cmp::Ordering::Equal => match held.written {
                // Claimed by a release without digests.
                _ if !held.is_proven => KvClaimed::Later(pause(1)),
                Some(written) => KvClaimed::Written(claim.rewrite_after.saturating_sub(seconds(written))),
                None => KvClaimed::Later(pause(10)),
            },
        }
    };
    Ok(claims.iter().map(outcome).collect())
}

/// Stores the digests of granted claims, which the claim has cleared.
async fn store_digests(
    connection: &mut PgConnection,
    claims: &[KvClaim],
    granted: &[String],
) -> Result<(), StoreError> {
    let granted = claims.iter().filter(|claim| granted.contains(&claim.key));
    let (keys, digests): (Vec<_>, Vec<_>) =
        granted.map(|claim| (claim.key.clone(), claim.digest.to_vec())).unzip();
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update chatchonk.kv_keys held set digest = claimed.digest
         from unnest($1::text[], $2::bytea[]) as claimed(key, digest) where held.key = claimed.key",
        &keys,
        &digests,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn spend(
    connection: impl PgExecutor<'_>,
    kind: KvSpending,
    count: u64,
    limit: u64,
) -> Result<bool, StoreError> {
    let spent = sqlx::query!(
        "with expired as (
             delete from chatchonk.kv_budget where day < (clock_timestamp() at time zone 'utc')::date - 7)
         insert into chatchonk.kv_budget as held (day, kind, used)
         select (clock_timestamp() at time zone 'utc')::date, $1::text, $2::bigint where $2 <= $3::bigint
         on conflict (day, kind) do update set used = held.used + excluded.used
             where held.used + excluded.used <= $3",
        kind.as_str(),
        number(count),
        number(limit),
    )
    .execute(connection)
    .await?;
    Ok(spent.rows_affected() == 1)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Negative ages, from clocks that were set back, count as zero.
fn seconds(age: f64) -> Duration {
    Duration::try_from_secs_f64(age).unwrap_or_default()
}
