//! Reads while the origin fails: which callers wait, what they get, and how often the origin is called.

use chatchonk::cache::Outcome::{Memory, Origin, Stale};
use chatchonk::cache::{LoadError, OnOriginFailure};
use std::time::Duration;

use super::{Key, MINUTE, Rig, SECOND, all_tasks_wait, family, rig};

#[tokio::test]
async fn no_caller_with_a_value_waits_for_a_failing_origin() {
    let rig = rig();
    rig.outcome().await;
    rig.origin.fail(true);
    rig.advance(5 * MINUTE).await;
    assert_eq!(rig.outcome().await, (Stale, 1), "the first read finds the failure");

    rig.origin.hold();
    rig.advance(SECOND).await;
    // No time passes from here on, so a caller that waited would never end.
    assert_eq!(rig.outcome().await, (Stale, 1), "it starts the next attempt without waiting");
    all_tasks_wait().await;
    assert_eq!(rig.origin.waiting(), 1);
    assert_eq!(rig.outcome().await, (Stale, 1));
    rig.origin.release();
}

#[tokio::test]
async fn a_failing_origin_is_retried_after_1_s_up_to_30_s() {
    let rig = rig();
    rig.outcome().await;
    rig.origin.fail(true);
    rig.advance(5 * MINUTE).await;
    let mut pauses = Vec::new();
    let (mut asked, mut pause) = (rig.origin.calls().1, 0);
    while pauses.len() < 9 {
        assert_eq!(rig.outcome().await, (Stale, 1));
        all_tasks_wait().await;
        if rig.origin.calls().1 > asked {
            asked = rig.origin.calls().1;
            pauses.push(pause);
            pause = 0;
        }
        rig.advance(Duration::from_millis(50)).await;
        pause += 50;
    }
    for (pause, full) in pauses[1..].iter().zip([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000])
    {
        assert!((full * 3 / 4..=full + 50).contains(pause), "{pauses:?}");
    }

    rig.origin.fail(false);
    rig.advance(30 * SECOND).await;
    rig.outcome().await;
    all_tasks_wait().await;
    assert_eq!(rig.outcome().await, (Memory, 1));
    rig.origin.fail(true);
    rig.advance(5 * MINUTE).await;
    rig.outcome().await;
    let before = rig.origin.calls().1;
    rig.advance(SECOND).await;
    rig.outcome().await;
    all_tasks_wait().await;
    assert_eq!(rig.origin.calls().1, before + 1, "after a success the pauses start again");
}

#[tokio::test]
async fn without_a_value_the_error_is_remembered_for_500_ms() {
    let rig = rig();
    rig.origin.fail(true);
    for _ in 0..100 {
        let error = rig.read().await.unwrap_err();
        assert_eq!(error.to_string(), "the test made the origin fail");
    }
    assert_eq!(rig.origin.calls(), (1, 0));
    rig.advance(Duration::from_millis(499)).await;
    assert!(rig.read().await.is_err());
    assert_eq!(rig.origin.calls(), (1, 0));
    rig.advance(Duration::from_millis(1)).await;
    assert!(rig.read().await.is_err());
    assert_eq!(rig.origin.calls(), (2, 0));
    rig.origin.fail(false);
    rig.advance(Duration::from_millis(500)).await;
    assert_eq!(rig.outcome().await, (Origin, 1));
}

#[tokio::test]
async fn a_refresh_ignores_the_pause() {
    let rig = rig();
    rig.origin.fail(true);
    assert!(rig.read().await.is_err());
    rig.origin.fail(false);
    rig.cache.refresh(&Key(0)).await.unwrap();
    assert_eq!(rig.outcome().await, (Memory, 1));
}

#[tokio::test]
async fn a_refresh_when_due_waits_for_the_pause_and_then_loads() {
    let rig = rig();
    rig.origin.fail(true);
    assert!(rig.read().await.is_err());
    let asked = rig.origin.calls();
    rig.origin.fail(false);
    let cache = rig.cache.clone();
    let refresh = tokio::spawn(async move { cache.refresh_when_due(&Key(0)).await.is_ok() });
    all_tasks_wait().await;
    assert_eq!(rig.origin.calls(), asked, "within the pause");
    rig.advance(SECOND).await;
    assert!(refresh.await.unwrap());
    assert_eq!(rig.outcome().await, (Memory, 1));
}

#[tokio::test]
async fn the_catalogue_is_served_at_any_age_and_when_outdated() {
    let rig = Rig::of(family(OnOriginFailure::ServeAnyAge), true);
    rig.outcome().await;
    rig.origin.fail(true);
    rig.advance(Duration::from_hours(24 * 365)).await;
    assert_eq!(rig.outcome().await, (Stale, 1));
    rig.origin.change();
    rig.catch_up();
    assert_eq!(rig.outcome().await, (Stale, 1), "the value in memory, not the floor");
}

#[tokio::test]
async fn an_age_limit_bounds_stale_values_and_excludes_outdated_ones() {
    let limit = Duration::from_hours(24);
    let rig = Rig::of(family(OnOriginFailure::ServeUpTo(limit)), false);
    rig.outcome().await;
    rig.origin.fail(true);
    rig.advance(limit).await;
    assert_eq!(rig.outcome().await, (Stale, 1));
    rig.advance(SECOND).await;
    assert!(rig.read().await.is_err(), "older than its limit");

    rig.origin.fail(false);
    rig.cache.refresh(&Key(0)).await.unwrap();
    rig.origin.fail(true);
    rig.origin.change();
    rig.catch_up();
    assert!(rig.read().await.is_err(), "known to be outdated");
}

#[tokio::test]
async fn a_family_that_refuses_stale_serves_only_fresh_values() {
    let rig = Rig::of(family(OnOriginFailure::Refuse), false);
    rig.outcome().await;
    rig.origin.fail(true);
    assert_eq!(rig.outcome().await, (Memory, 1));
    rig.advance(5 * MINUTE).await;
    assert!(rig.read().await.is_err());
}

#[tokio::test]
async fn a_panicking_load_fails_all_waiters_and_frees_the_slot() {
    let rig = rig();
    rig.origin.panic(true);
    rig.origin.hold();
    let callers = [rig.begin().await, rig.begin().await, rig.begin().await];
    rig.origin.release();
    for caller in callers {
        let error = caller.end().await.unwrap_err();
        assert!(matches!(error.0, LoadError::Panicked), "{error:?}");
    }
    assert_eq!(rig.origin.calls(), (1, 0));

    rig.origin.panic(false);
    rig.advance(Duration::from_millis(500)).await;
    assert_eq!(rig.outcome().await, (Origin, 1));
}

#[tokio::test]
async fn a_panic_while_a_value_is_held_costs_no_answer() {
    let rig = rig();
    rig.outcome().await;
    rig.advance(5 * MINUTE).await;
    rig.origin.panic(true);
    assert_eq!(rig.outcome().await, (Stale, 1));
    rig.origin.panic(false);
    rig.advance(SECOND).await;
    rig.outcome().await;
    all_tasks_wait().await;
    assert_eq!(rig.outcome().await, (Memory, 1));
}
