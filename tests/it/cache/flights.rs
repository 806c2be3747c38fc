//! Flights: callers share them where they may, and no flight brings an old value back.

use std::sync::Arc;
use std::time::Duration;

use chatchonk::cache::Outcome::{Memory, Origin, Stale};
use chatchonk::cache::{CATALOGUE, Cache, Scopes};
use chatchonk::clock::Clock;
use tokio::runtime::Handle;

use super::{Data, Key, MINUTE, Rig, SECOND, SimulatedOrigin, all_tasks_wait, rig};

/// Real threads and real time, since this looks for a race.
async fn cold_callers_share_one_load(callers: u64) {
    let scopes = Arc::new(Scopes::new(Clock::system()));
    let origin = SimulatedOrigin::default();
    let cache = Cache::new(CATALOGUE, origin.clone(), None, None, scopes, Clock::system(), Handle::current());
    let reads: Vec<_> = (0..callers)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.read(&Key(0)).await.unwrap().entry.version })
        })
        .collect();
    for read in reads {
        assert_eq!(read.await.unwrap(), 1);
    }
    assert_eq!(origin.calls(), (1, 0));
    let statistics = cache.statistics();
    assert_eq!((statistics.reads, statistics.loads), (callers, 1));
    assert_eq!(statistics.memory + statistics.origin, callers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_cold_callers_share_one_load() {
    cold_callers_share_one_load(10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn callers_at_the_landing_start_no_second_flight() {
    for _ in 0..1_000 {
        cold_callers_share_one_load(40).await;
    }
}

#[tokio::test]
async fn a_cancelled_caller_does_not_affect_the_others() {
    let rig = rig();
    rig.origin.hold();
    let (first, second) = (rig.begin().await, rig.begin().await);
    first.abort();
    all_tasks_wait().await;
    rig.origin.release();
    assert_eq!(second.end().await.unwrap(), (Origin, 1));
    assert_eq!(rig.origin.calls(), (1, 0));
}

#[tokio::test]
async fn an_abandoned_load_is_still_published() {
    let rig = rig();
    rig.origin.hold();
    rig.begin().await.abort();
    all_tasks_wait().await;
    rig.origin.release();
    all_tasks_wait().await;
    assert_eq!(rig.outcome().await, (Memory, 1));
}

#[tokio::test]
async fn a_load_older_than_the_fence_reaches_only_its_waiters() {
    let rig = rig();
    rig.origin.hold();
    let early = rig.begin().await;
    rig.origin.change();
    rig.advance(SECOND).await;
    rig.catch_up();
    let late = rig.begin().await;
    assert_eq!(rig.origin.waiting(), 2, "a later caller does not join the older flight");

    rig.origin.release_one();
    all_tasks_wait().await;
    assert_eq!(early.end().await.unwrap(), (Origin, 1));
    assert!(rig.cache.held(&Key(0)).is_none(), "the older value is not published");
    assert!(!late.is_finished());

    rig.origin.release();
    assert_eq!(late.end().await.unwrap(), (Origin, 2));
    assert_eq!(rig.outcome().await, (Memory, 2));
    assert_eq!(rig.origin.calls(), (2, 0));
}

#[tokio::test]
async fn an_older_load_that_arrives_last_does_not_replace_a_newer_one() {
    let rig = rig();
    rig.origin.hold();
    let early = rig.begin().await;
    rig.advance(SECOND).await;
    rig.origin.change();
    rig.catch_up();
    let late = rig.begin().await;
    rig.origin.release_newest();
    assert_eq!(late.end().await.unwrap(), (Origin, 2));
    rig.origin.release();
    assert_eq!(early.end().await.unwrap(), (Origin, 1));
    assert_eq!(rig.outcome().await, (Memory, 2));
    rig.advance(MINUTE).await;
    assert_eq!(rig.outcome().await, (Memory, 2));
}

#[tokio::test]
async fn an_older_version_read_does_not_validate_a_changed_value() {
    let rig = rig();
    rig.outcome().await;
    rig.advance(5 * MINUTE).await;
    rig.origin.hold();
    let caller = rig.begin().await;
    rig.advance(Duration::from_millis(10)).await;
    rig.origin.change();
    rig.catch_up();
    rig.origin.release();
    assert_eq!(caller.end().await.unwrap().1, 2, "the flight goes on and loads");
    assert_eq!(rig.outcome().await, (Memory, 2));
}

#[tokio::test]
async fn a_replaced_database_lowers_the_fence_and_drops_old_values() {
    let rig = rig();
    for _ in 0..9 {
        rig.origin.change();
    }
    assert_eq!(rig.outcome().await, (Origin, 10));
    rig.origin.replace(4);
    rig.advance(10 * SECOND).await;
    let mut changes = rig.scopes.changes();
    changes.mark_unchanged();
    rig.catch_up();
    assert!(changes.has_changed().unwrap(), "the change is announced");
    changes.mark_unchanged();

    let read = rig.read().await.unwrap();
    assert_eq!((read.outcome, read.entry.value), (Origin, Data { database: 1, version: 4 }));
    rig.advance(10 * SECOND).await;
    rig.catch_up();
    assert!(!changes.has_changed().unwrap(), "once");
    assert_eq!(rig.outcome().await, (Memory, 4));
}

#[tokio::test]
async fn a_value_of_a_replaced_database_is_never_fresh() {
    let rig = rig();
    for _ in 0..4 {
        rig.origin.change();
    }
    assert_eq!(rig.outcome().await, (Origin, 5));
    rig.origin.replace(4);
    rig.advance(SECOND).await;
    rig.catch_up();
    // The new database reaches its own version 5.
    rig.origin.change();
    rig.advance(SECOND).await;
    rig.catch_up();
    let read = rig.read().await.unwrap();
    assert_eq!((read.outcome, read.entry.value), (Origin, Data { database: 1, version: 5 }));
}

#[tokio::test]
async fn a_load_from_a_replaced_database_is_not_published() {
    let rig = rig();
    rig.origin.change();
    rig.outcome().await;
    rig.advance(5 * MINUTE).await;
    // The version read is in flight when the database is replaced.
    rig.origin.hold();
    let caller = rig.begin().await;
    rig.origin.replace(1);
    rig.advance(Duration::from_millis(10)).await;
    rig.catch_up();
    rig.origin.release();
    caller.end().await.unwrap();
    all_tasks_wait().await;
    let read = rig.read().await.unwrap();
    assert_eq!(read.entry.value, Data { database: 1, version: 1 });
}

#[tokio::test]
async fn different_keys_load_concurrently() {
    let rig = Rig::of(CATALOGUE, false);
    rig.origin.hold();
    let reads: Vec<_> = (0..3)
        .map(|key| {
            let cache = rig.cache.clone();
            tokio::spawn(async move { cache.read(&Key(key)).await.unwrap().outcome })
        })
        .collect();
    all_tasks_wait().await;
    assert_eq!(rig.origin.waiting(), 3);
    rig.origin.release();
    for read in reads {
        assert_eq!(read.await.unwrap(), Origin);
    }
    rig.origin.change();
    rig.catch_up();
    for key in 0..3 {
        assert_eq!(rig.cache.read(&Key(key)).await.unwrap().entry.version, 2, "one scope, one change");
    }
}

#[tokio::test]
async fn a_value_below_the_fence_is_not_followed_by_an_older_one() {
    let rig = rig();
    rig.outcome().await;
    rig.origin.change();
    rig.advance(SECOND).await;
    rig.catch_up();
    rig.origin.hold();
    let caller = rig.begin().await;
    rig.advance(SECOND).await;
    rig.origin.change();
    rig.catch_up();
    rig.origin.release();
    assert_eq!(caller.end().await.unwrap(), (Origin, 2));
    rig.origin.fail(true);
    assert_eq!(rig.outcome().await, (Stale, 2));
}
