//! What instances agree on about the shared cache: who writes what, and what is used of the day's quota.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgExecutor};
use time::Date;

use super::{Store, StoreError};

/// SHA-256 of a value as it is written to the shared cache.
pub type KvDigest = [u8; 32];

/// A version of a key that an instance would like to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvClaim {
    /// The key.
    pub key: String,
    /// The version of its value.
    pub version: u64,
    /// Proves the value to those who find it in the shared cache.
    pub digest: KvDigest,
    /// How long ago the shared cache was seen without the key, if it was. It counts 10 minutes after a write: until then
    /// the shared cache may not show it.
    pub missing: Option<Duration>,
    /// How long after it was written the same version may be written again.
    pub rewrite_after: Duration,
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvClaimed {
    /// It is the caller's to write, and nobody else's for 10 minutes.
    Granted,
    /// Somebody else is at it, or the key was written less than a minute ago: ask again after this long.
    Later(Duration),
    /// That version was written already, and is good for this long.
    Written(Duration),
    /// Somebody took on a newer version.
    Superseded,
}

/// Operations that Cloudflare limits by the day and that all instances count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvSpending {
    /// Pairs written.
    Write,
    /// Keys deleted.
    Delete,
}

impl KvSpending {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Delete => "delete",
        }
    }
}

/// What was used of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvUsed {
    /// The day, in UTC and by the database's clock.
    pub day: Date,
    /// Pairs written.
    pub writes: u64,
    /// Keys deleted.
    pub deletes: u64,
}

/// A key that some instance has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvKnownKey {
    /// The key.
    pub key: String,
    /// How long ago an instance first took it on.
    pub known_for: Duration,
}

impl Store {
    /// Takes on keys and spends one write for each that is granted, in one transaction. Returns what became of each
    /// claim, in order; `None` when that would go beyond `limit` writes today, and then nothing is taken on.
    ///
    /// # Errors
    /// [`StoreError`] when a statement fails; nothing is taken on then, unless it was the commit whose answer was lost:
    /// then others wait 10 minutes in vain.
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

    /// Spends `count` operations of today, all or none, and forgets days more than a week ago. Returns whether that many
    /// were left below `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
    pub async fn spend_kv(&self, kind: KvSpending, count: u64, limit: u64) -> Result<bool, StoreError> {
        spend(self.pool()?, kind, count, limit).await
    }

    /// Gives back what Cloudflare refused to do, at most as much as was spent today.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
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

    /// Notes that these versions were written.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
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

    /// Forgets keys that were deleted, or are about to be: whoever has their values may write them at once.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
    pub async fn forget_kv_keys(&self, keys: &[String]) -> Result<(), StoreError> {
        sqlx::query!("delete from chatchonk.kv_keys where key = any($1)", keys).execute(self.pool()?).await?;
        Ok(())
    }

    /// All keys that begin like this and were taken on by some instance.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
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

    /// What was used today.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
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

    // In the order of the keys: two instances that lock rows in different orders would deadlock.
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
    // A minute between any two writes of a key, whoever makes them; 10 minutes for whoever took a version on.
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
                // A release without digests wrote it, or is about to.
                _ if !held.is_proven => KvClaimed::Later(pause(1)),
                Some(written) => KvClaimed::Written(claim.rewrite_after.saturating_sub(seconds(written))),
                None => KvClaimed::Later(pause(10)),
            },
        }
    };
    Ok(claims.iter().map(outcome).collect())
}

/// After the claim, which clears the digest of the one before.
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

/// Clocks that were set back give negative ages.
fn seconds(age: f64) -> Duration {
    Duration::try_from_secs_f64(age).unwrap_or_default()
}
