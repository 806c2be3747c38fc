//! Reads while the origin answers: what is served, and what it costs.

use chatchonk::cache::Outcome::{Memory, Origin, Stale};
use chatchonk::cache::Source;
use std::time::Duration;

use super::{MINUTE, Rig, SECOND, all_tasks_wait, rig};

#[tokio::test]
async fn the_first_read_loads_and_the_next_is_a_hit() {
    let rig = rig();
    assert_eq!(rig.outcome().await, (Origin, 1));
    let hit = rig.read().await.unwrap();
    assert_eq!((hit.outcome, hit.entry.source, hit.fresh_for), (Memory, Source::Origin, 5 * MINUTE));
    all_tasks_wait().await;
    assert_eq!(rig.origin.calls(), (1, 0));
}

#[tokio::test]
async fn background_validation_starts_at_75_to_85_percent() {
    let mut refreshed_at = Vec::new();
    for loaded_after in 0..40 {
        let rig = rig();
        rig.advance(loaded_after * SECOND).await;
        rig.outcome().await;
        // 224 s are 74.7 % of 5 min.
        rig.advance(224 * SECOND).await;
        let mut age = 224;
        while rig.origin.calls().1 == 0 {
            assert_eq!(rig.outcome().await, (Memory, 1), "no caller waits for it");
            all_tasks_wait().await;
            rig.advance(SECOND).await;
            age += 1;
        }
        refreshed_at.push(age - 1);
    }
    assert!(refreshed_at.iter().all(|age| (225..=255).contains(age)), "{refreshed_at:?}");
    refreshed_at.sort_unstable();
    refreshed_at.dedup();
    assert!(refreshed_at.len() > 3, "values loaded at different times are not refreshed together");
}

#[tokio::test]
async fn a_background_validation_refreshes_without_a_load() {
    let rig = rig();
    rig.outcome().await;
    rig.advance(260 * SECOND).await;
    assert_eq!(rig.outcome().await, (Memory, 1));
    all_tasks_wait().await;
    assert_eq!(rig.origin.calls(), (1, 1));
    rig.advance(200 * SECOND).await;
    assert_eq!(rig.outcome().await, (Memory, 1), "fresh since the validation, not since the load");
    assert_eq!(rig.origin.calls(), (1, 1));
}

#[tokio::test]
async fn an_expired_value_is_validated_by_its_version_without_a_load() {
    let rig = rig();
    rig.outcome().await;
    rig.advance(5 * MINUTE).await;
    assert_eq!(rig.outcome().await, (Memory, 1));
    assert_eq!(rig.origin.calls(), (1, 1));
    assert_eq!(rig.cache.statistics().validations, 1);
}

#[tokio::test]
async fn a_changed_expired_value_is_loaded_again() {
    let rig = rig();
    rig.outcome().await;
    rig.origin.change();
    assert_eq!(rig.outcome().await, (Memory, 1), "fresh, and nothing was announced");
    rig.advance(5 * MINUTE).await;
    assert_eq!(rig.outcome().await, (Origin, 2));
    assert_eq!(rig.origin.calls(), (2, 1));
}

#[tokio::test]
async fn the_old_value_is_never_served_after_an_announced_change() {
    let rig = rig();
    rig.outcome().await;
    rig.origin.change();
    rig.catch_up();
    assert_eq!(rig.outcome().await, (Origin, 2));
    assert_eq!(rig.origin.calls(), (2, 0), "outdated: its version need not be read");
}

#[tokio::test]
async fn version_reads_by_the_listener_keep_values_fresh() {
    let rig = rig();
    rig.outcome().await;
    for _ in 0..100 {
        rig.advance(10 * SECOND).await;
        rig.catch_up();
        assert_eq!(rig.outcome().await, (Memory, 1));
    }
    assert_eq!(rig.origin.calls(), (1, 0), "with a healthy listener no value expires");
    rig.origin.change();
    rig.catch_up();
    assert_eq!(rig.outcome().await, (Origin, 2));
}

#[tokio::test]
async fn an_unchanged_value_is_loaded_again_once_a_day() {
    let rig = rig();
    rig.outcome().await;
    for _ in 0..24 * 60 {
        rig.advance(MINUTE).await;
        rig.catch_up();
        assert_eq!(rig.outcome().await, (Memory, 1), "no caller waits for it");
    }
    all_tasks_wait().await;
    assert_eq!(rig.origin.calls(), (2, 0));
    for _ in 0..23 * 60 {
        rig.advance(MINUTE).await;
        rig.catch_up();
        rig.outcome().await;
    }
    assert_eq!(rig.origin.calls(), (2, 0), "not again for another day");
}

#[tokio::test]
async fn an_expired_value_is_served_after_waiting_100_ms() {
    let rig = rig();
    rig.outcome().await;
    rig.advance(5 * MINUTE).await;
    rig.origin.hold();
    let caller = rig.begin().await;
    rig.advance(Duration::from_millis(99)).await;
    assert!(!caller.is_finished());
    let late = rig.begin().await;
    rig.advance(Duration::from_millis(1)).await;
    assert_eq!(caller.end().await.unwrap(), (Stale, 1));
    assert_eq!(late.end().await.unwrap(), (Stale, 1), "100 ms per flight, not per caller");

    rig.origin.release();
    all_tasks_wait().await;
    assert_eq!(rig.outcome().await, (Memory, 1), "the flight went on without them");
    assert_eq!(rig.origin.calls(), (1, 1));
}

#[tokio::test]
async fn an_outdated_value_is_served_after_waiting_3_s() {
    let rig = rig();
    rig.outcome().await;
    rig.origin.change();
    rig.catch_up();
    rig.origin.hold();
    let caller = rig.begin().await;
    rig.advance(Duration::from_millis(2_999)).await;
    assert!(!caller.is_finished(), "the origin may still answer");
    rig.advance(Duration::from_millis(1)).await;
    assert_eq!(caller.end().await.unwrap(), (Stale, 1));
}

#[tokio::test]
async fn a_caller_without_a_value_gets_an_error_after_3_s() {
    let rig = rig();
    rig.origin.hold();
    let caller = rig.begin().await;
    rig.advance(Duration::from_millis(2_999)).await;
    assert!(!caller.is_finished());
    rig.advance(Duration::from_millis(1)).await;
    assert!(caller.end().await.is_err());

    rig.advance(6 * SECOND).await;
    rig.origin.release();
    all_tasks_wait().await;
    assert_eq!(rig.outcome().await, (Memory, 1), "the flight went on, for less than its 10 s");
}

#[tokio::test]
async fn a_flight_is_abandoned_after_10_s() {
    let rig = rig();
    rig.origin.hold();
    let caller = rig.begin().await;
    rig.advance(3 * SECOND).await;
    assert!(caller.end().await.is_err());
    let refreshed = tokio::spawn({
        let cache = rig.cache.clone();
        async move { cache.refresh(&super::Key(0)).await.unwrap_err().to_string() }
    });
    all_tasks_wait().await;
    assert_eq!(rig.origin.calls(), (1, 0), "it joins the flight");
    rig.advance(7 * SECOND).await;
    assert_eq!(refreshed.await.unwrap(), "loading took too long");
}

#[tokio::test]
async fn the_floor_is_served_last_and_counts_as_stale() {
    let rig = Rig::of(chatchonk::cache::CATALOGUE, true);
    rig.origin.fail(true);
    let floor = rig.read().await.unwrap();
    assert_eq!((floor.outcome, floor.entry.source, floor.entry.version), (Stale, Source::Builtin, 0));
    assert_eq!(floor.fresh_for, Duration::ZERO);
    assert!(rig.cache.held(&super::Key(0)).unwrap().stale);

    rig.origin.fail(false);
    rig.advance(SECOND).await;
    let _ = rig.read().await.unwrap();
    all_tasks_wait().await;
    assert_eq!(rig.outcome().await, (Memory, 1), "the origin takes over as soon as it answers");
    assert!(!rig.cache.held(&super::Key(0)).unwrap().stale);
}
