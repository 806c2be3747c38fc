//! The ledger in the database: which instance writes a key of the shared cache, and how much of the day's budget is
//! used.

use std::time::Duration;

use chatchonk::store::{DatabaseSettings, KvClaim, KvClaimed, KvDigest, KvSpending, Store, Verification};
use sqlx::PgPool;

use crate::support::postgres::{TestDatabase, database, empty_database, run};

const KEY: &str = "chatchonk:test:catalogue.1:all";
/// The migration before the one that adds digests.
const LAST_WITHOUT_DIGESTS: i64 = 20_261_122_000_200;
/// 90 % of the free plan.
const LIMIT: u64 = 900;
const MINUTE: Duration = Duration::from_mins(1);

async fn ledger() -> (TestDatabase, Store, PgPool) {
    let database = database().await;
    let store = store(&database);
    let pool = database.pool().await;
    (database, store, pool)
}

/// Waits for a connection for up to a minute, since these tests open many at once.
fn store(database: &TestDatabase) -> Store {
    let settings = DatabaseSettings::from_url(&database.url(), Verification::ByDefault, 2).unwrap();
    Store::new(DatabaseSettings { acquire_timeout: MINUTE, ..settings })
}

fn wanted(version: u64) -> KvClaim {
    let rewrite_after = Duration::from_hours(15 * 24);
    KvClaim { key: KEY.to_owned(), version, digest: [7; 32], missing: None, rewrite_after }
}

async fn claim(store: &Store, claim: KvClaim) -> KvClaimed {
    store.claim_kv_writes(&[claim], LIMIT).await.unwrap().unwrap()[0]
}

async fn confirm(store: &Store, version: u64) {
    store.confirm_kv_writes(&[(KEY.to_owned(), version)]).await.unwrap();
}

/// Moves all recorded times into the past.
async fn passes(pool: &PgPool, minutes: i32) {
    sqlx::query(
        "update chatchonk.kv_keys set created_at = created_at - make_interval(mins => $1),
             claimed_at = claimed_at - make_interval(mins => $1),
             written_at = written_at - make_interval(mins => $1)",
    )
    .bind(minutes)
    .execute(pool)
    .await
    .unwrap();
}

fn is_later(claimed: KvClaimed, at_most: Duration) -> bool {
    matches!(claimed, KvClaimed::Later(wait) if wait <= at_most && wait + MINUTE > at_most)
}

#[tokio::test]
async fn one_of_many_instances_may_write_a_version() {
    let (database, ..) = ledger().await;
    let instances = (0..8).map(|_| {
        let store = store(&database);
        tokio::spawn(async move { claim(&store, wanted(7)).await })
    });
    let mut granted = 0;
    for instance in instances.collect::<Vec<_>>() {
        match instance.await.unwrap() {
            KvClaimed::Granted => granted += 1,
            claimed => assert!(is_later(claimed, 10 * MINUTE), "{claimed:?}"),
        }
    }
    assert_eq!(granted, 1);
    assert_eq!(store(&database).kv_used().await.unwrap().writes, 1);
}

#[tokio::test]
async fn an_unwritten_claim_expires_after_ten_minutes() {
    let (_database, store, pool) = ledger().await;
    assert_eq!(claim(&store, wanted(7)).await, KvClaimed::Granted);
    passes(&pool, 9).await;
    assert!(is_later(claim(&store, wanted(7)).await, MINUTE));
    passes(&pool, 1).await;
    assert_eq!(claim(&store, wanted(7)).await, KvClaimed::Granted);
}

#[tokio::test]
async fn a_version_is_rewritten_in_the_last_half_of_its_life() {
    let (_database, store, pool) = ledger().await;
    claim(&store, wanted(7)).await;
    confirm(&store, 7).await;
    passes(&pool, 20).await;
    let missing = |minutes| KvClaim { missing: Some(minutes * MINUTE), ..wanted(7) };
    for claim_of in [wanted(7), missing(21), missing(11)] {
        let KvClaimed::Written(good_for) = claim(&store, claim_of).await else { panic!("it was written") };
        assert!(good_for > Duration::from_hours(14 * 24), "{good_for:?}");
    }
    assert_eq!(claim(&store, missing(9)).await, KvClaimed::Granted, "KV should have shown it by then");
    assert!(is_later(claim(&store, missing(0)).await, 10 * MINUTE));
    confirm(&store, 7).await;
    passes(&pool, 15 * 24 * 60).await;
    assert_eq!(claim(&store, wanted(7)).await, KvClaimed::Granted);
}

#[tokio::test]
async fn newer_versions_wait_a_minute_and_older_ones_are_dropped() {
    let (_database, store, pool) = ledger().await;
    claim(&store, wanted(7)).await;
    confirm(&store, 7).await;
    assert!(is_later(claim(&store, wanted(8)).await, MINUTE));
    passes(&pool, 1).await;
    assert_eq!(claim(&store, wanted(8)).await, KvClaimed::Granted);
    assert_eq!(claim(&store, wanted(7)).await, KvClaimed::Superseded);
    // A late confirmation of the older version does not count for the newer one.
    confirm(&store, 7).await;
    passes(&pool, 10).await;
    assert_eq!(claim(&store, wanted(8)).await, KvClaimed::Granted);
}

#[tokio::test]
async fn a_key_that_was_deleted_may_be_written_at_once() {
    let (_database, store, _pool) = ledger().await;
    claim(&store, wanted(7)).await;
    confirm(&store, 7).await;
    let known = store.kv_keys("chatchonk:test:").await.unwrap();
    assert_eq!(known.iter().map(|known| known.key.as_str()).collect::<Vec<_>>(), [KEY]);
    assert_eq!(store.kv_keys("chatchonk:other:").await.unwrap(), []);
    store.forget_kv_keys(&[KEY.to_owned()]).await.unwrap();
    assert_eq!(claim(&store, wanted(7)).await, KvClaimed::Granted);
}

#[tokio::test]
async fn all_instances_together_stay_within_the_budget() {
    let (database, store, pool) = ledger().await;
    let instances = [(); 8].map(|()| self::store(&database));
    let many = (0..40).map(|n| {
        let store = instances[n % 8].clone();
        let limit = 100 + n as u64 % 2;
        tokio::spawn(async move { store.spend_kv(KvSpending::Delete, 7, limit).await.unwrap() })
    });
    let mut spent = 0;
    for spending in many.collect::<Vec<_>>() {
        spent += u64::from(spending.await.unwrap());
    }
    assert_eq!((spent, store.kv_used().await.unwrap().deletes), (14, 98));

    assert!(store.spend_kv(KvSpending::Write, LIMIT - 1, LIMIT).await.unwrap());
    let two = [wanted(7), KvClaim { key: format!("{KEY}2"), ..wanted(7) }];
    assert_eq!(store.claim_kv_writes(&two, LIMIT).await.unwrap(), None);
    assert_eq!(store.kv_keys("chatchonk:").await.unwrap(), [], "a dropped write leaves no key");
    assert_eq!(claim(&store, wanted(7)).await, KvClaimed::Granted);
    assert!(!store.spend_kv(KvSpending::Write, 1, LIMIT).await.unwrap());
    store.refund_kv(KvSpending::Write, 1).await.unwrap();
    assert!(store.spend_kv(KvSpending::Write, 1, LIMIT).await.unwrap());
    assert!(!store.spend_kv(KvSpending::Write, LIMIT + 1, LIMIT).await.unwrap());

    run(&pool, "update chatchonk.kv_budget set day = day - 1").await;
    let used = store.kv_used().await.unwrap();
    assert_eq!((used.writes, used.deletes), (0, 0), "a new day");
    assert!(store.spend_kv(KvSpending::Write, LIMIT, LIMIT).await.unwrap());
}

#[tokio::test]
async fn days_of_the_budget_are_kept_for_a_week() {
    let (_database, store, pool) = ledger().await;
    run(
        &pool,
        "insert into chatchonk.kv_budget (day, kind, used)
         select (clock_timestamp() at time zone 'utc')::date - ago, 'write', 1 from unnest(array[7, 8, 400]) ago",
    )
    .await;
    assert!(store.spend_kv(KvSpending::Delete, 1, LIMIT).await.unwrap());
    let ages =
        "select (clock_timestamp() at time zone 'utc')::date - day from chatchonk.kv_budget order by day";
    let kept: Vec<i32> = sqlx::query_scalar(ages).fetch_all(&pool).await.unwrap();
    assert_eq!(kept, [7, 0]);
}

async fn proof(store: &Store, pool: &PgPool, version: i64) -> Option<KvDigest> {
    sqlx::query("update chatchonk.cache_version set version = $1").bind(version).execute(pool).await.unwrap();
    store.version_and_digest("catalogue", KEY).await.unwrap().unwrap().1
}

#[tokio::test]
async fn a_digest_proves_the_claimed_version_and_no_other() {
    let (_database, store, pool) = ledger().await;
    assert_eq!(proof(&store, &pool, 7).await, None, "not written");
    assert_eq!(claim(&store, wanted(7)).await, KvClaimed::Granted);
    assert_eq!(proof(&store, &pool, 7).await, Some([7; 32]));
    assert_eq!(proof(&store, &pool, 8).await, None, "of the version before");
    passes(&pool, 1).await;
    assert_eq!(claim(&store, KvClaim { digest: [8; 32], ..wanted(8) }).await, KvClaimed::Granted);
    assert_eq!(proof(&store, &pool, 8).await, Some([8; 32]));
    store.forget_kv_keys(&[KEY.to_owned()]).await.unwrap();
    assert_eq!(proof(&store, &pool, 8).await, None);
}

#[tokio::test]
async fn a_claim_of_the_previous_release_clears_the_digest() {
    let (_database, store, pool) = ledger().await;
    for (first, second) in [(7, 7), (8, 9)] {
        passes(&pool, 1).await;
        let digest = [7; 32];
        assert_eq!(claim(&store, KvClaim { digest, ..wanted(first) }).await, KvClaimed::Granted);
        // As the previous release claims, without a digest.
        sqlx::query(
            "update chatchonk.kv_keys held set version = $1, claimed_at = clock_timestamp(), written_at = null",
        )
        .bind(i64::try_from(second).unwrap())
        .execute(&pool)
        .await
        .unwrap();
        assert_eq!(proof(&store, &pool, i64::try_from(second).unwrap()).await, None);
        confirm(&store, second).await;
        assert!(
            is_later(claim(&store, wanted(second)).await, MINUTE),
            "without a digest the version is written again"
        );
        passes(&pool, 1).await;
        assert_eq!(claim(&store, wanted(second)).await, KvClaimed::Granted);
        assert_eq!(proof(&store, &pool, i64::try_from(second).unwrap()).await, Some([7; 32]));
        passes(&pool, 1).await;
    }
}

#[tokio::test]
async fn keys_of_the_previous_release_are_kept_and_rewritten() {
    let database = empty_database().await;
    let (store, pool) = (store(&database), database.pool().await);
    sqlx::migrate!().run_to(LAST_WITHOUT_DIGESTS, &pool).await.unwrap();
    sqlx::query(
        "insert into chatchonk.kv_keys (key, version, claimed_at, written_at)
         values ($1, 7, now() - interval '2 minutes', now())",
    )
    .bind(KEY)
    .execute(&pool)
    .await
    .unwrap();
    store.migrate().await.unwrap();
    assert_eq!(store.kv_keys(KEY).await.unwrap().len(), 1);
    assert_eq!(proof(&store, &pool, 7).await, None);
    assert_eq!(claim(&store, wanted(7)).await, KvClaimed::Granted);
    assert_eq!(proof(&store, &pool, 7).await, Some([7; 32]));
}
