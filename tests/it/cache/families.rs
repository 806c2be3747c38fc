//! The families' policies: how long a value is fresh, what is served while the origin fails, and what reaches KV.

use std::time::Duration;

use chatchonk::cache::Outcome::{Kv, Memory, Origin, Stale};
use chatchonk::cache::{CATALOGUE, FAMILIES, PREFERENCES, PROVIDER_CONFIGS, RESPONSES, Source};
use chatchonk::clock::Clock;
use time::OffsetDateTime;

use super::memory_kv::MemoryKv;
use super::origin::SimulatedOrigin;
use super::{Key, MINUTE, Rig, SECOND, all_tasks_wait};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn families_have_their_documented_lifetimes() {
    let documented = FAMILIES.map(|family| (family.name, family.fresh, family.keep_shared));
    let expected = [
        ("catalogue", 5 * MINUTE, Some(30 * 24 * HOUR)),
        ("responses", 15 * MINUTE, Some(24 * HOUR)),
        ("preferences", 30 * MINUTE, None),
        ("provider_configs", HOUR, None),
    ];
    assert_eq!(documented, expected);
}

#[tokio::test]
async fn each_family_is_fresh_until_its_period_ends() {
    for family in FAMILIES {
        let rig = Rig::of(family, false);
        assert_eq!(rig.outcome().await, (Origin, 1));
        rig.advance(family.fresh * 7 / 10).await;
        assert_eq!(rig.outcome().await, (Memory, 1), "{}", family.name);
        assert_eq!(rig.origin.calls(), (1, 0), "{}", family.name);
        rig.advance(family.fresh * 3 / 10).await;
        rig.outcome().await;
        assert_eq!(rig.origin.calls(), (1, 1), "{}: the version is read", family.name);
    }
}

#[tokio::test]
async fn the_catalogue_is_kept_at_any_weight() {
    let rig = Rig::of(CATALOGUE, true);
    rig.origin.weigh(u32::MAX);
    assert_eq!(rig.outcome().await, (Origin, 1));
    // As many as the store needs to check the weight.
    for _ in 0..2_000 {
        assert_eq!(rig.cache.held(&Key(0)).unwrap().entry.source, Source::Origin);
    }
    assert_eq!(rig.outcome().await, (Memory, 1));
    assert_eq!(rig.origin.calls(), (1, 0));
}

#[tokio::test]
async fn families_of_many_keys_stay_within_their_byte_limits() {
    for family in [RESPONSES, PREFERENCES, PROVIDER_CONFIGS] {
        let (rig, bound) = (Rig::of(family, false), family.max_bytes.unwrap());
        rig.origin.weigh(u32::try_from(bound / 8).unwrap());
        for key in 0..1_000 {
            rig.cache.read(&Key(key)).await.unwrap();
        }
        let held = (0..1_000).filter(|key| rig.cache.held(&Key(*key)).is_some()).count();
        assert!((1..500).contains(&held), "{}: {held}", family.name);
    }
}

#[tokio::test]
async fn preferences_serve_for_a_day_but_never_below_the_fence() {
    let rig = Rig::of(PREFERENCES, false);
    rig.outcome().await;
    rig.origin.fail(true);
    for _ in 0..24 {
        rig.advance(HOUR).await;
        assert_eq!(rig.outcome().await, (Stale, 1));
    }
    rig.advance(MINUTE).await;
    rig.read().await.unwrap_err();

    let rig = Rig::of(PREFERENCES, false);
    rig.outcome().await;
    rig.origin.change();
    rig.catch_up();
    rig.origin.fail(true);
    rig.read().await.unwrap_err();
}

#[tokio::test]
async fn unconfirmed_provider_configs_are_refused() {
    let rig = Rig::of(PROVIDER_CONFIGS, false);
    rig.outcome().await;
    rig.origin.fail(true);
    rig.advance(59 * MINUTE).await;
    assert_eq!(rig.outcome().await, (Memory, 1));
    rig.advance(MINUTE).await;
    rig.read().await.unwrap_err();
}

#[tokio::test]
async fn personal_and_secret_values_never_reach_kv() {
    let kv = MemoryKv::default();
    for family in [PREFERENCES, PROVIDER_CONFIGS] {
        let (clock, hand) = Clock::manual(OffsetDateTime::UNIX_EPOCH);
        let tier = kv.tier(&clock);
        let rig = Rig::on(family, SimulatedOrigin::default(), None, Some(tier.clone()), (clock, hand));
        rig.outcome().await;
        rig.origin.fail(true);
        rig.advance(family.fresh).await;
        let _ = rig.read().await;
        tier.flush().await;
    }
    assert_eq!((kv.calls(), kv.keys()), (0, Vec::new()));
}

/// Instances that share a clock, a shared tier, and an origin that announces nothing.
struct Upstream {
    kv: MemoryKv,
    time: (Clock, chatchonk::clock::ClockHand),
    origin: SimulatedOrigin,
}

impl Upstream {
    fn new() -> Self {
        let time = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::from_hours(24));
        Self { kv: MemoryKv::default(), time, origin: SimulatedOrigin::unscoped() }
    }

    /// A new instance, and its tier.
    fn instance(&self) -> (Rig, chatchonk::kv_tier::SharedTier) {
        let tier = self.kv.tier(&self.time.0);
        (Rig::on(RESPONSES, self.origin.clone(), None, Some(tier.clone()), self.time.clone()), tier)
    }

    /// Returns the value that the origin had at the load, and the outcome of the read.
    async fn read(rig: &Rig) -> Option<(chatchonk::cache::Outcome, u64)> {
        rig.read().await.ok().map(|read| (read.outcome, read.entry.value.version))
    }
}

#[tokio::test]
async fn upstream_answers_are_reloaded_after_fifteen_minutes() {
    let upstream = Upstream::new();
    let (rig, _) = upstream.instance();
    assert_eq!(Upstream::read(&rig).await, Some((Origin, 1)));
    upstream.origin.change();
    rig.advance(11 * MINUTE).await;
    assert_eq!(Upstream::read(&rig).await, Some((Memory, 1)));
    rig.advance(4 * MINUTE).await;
    assert_eq!(Upstream::read(&rig).await, Some((Origin, 2)));
    assert_eq!(upstream.origin.calls(), (2, 0), "there is no version to read");
}

#[tokio::test]
async fn a_young_answer_from_kv_counts_its_age_from_the_load() {
    let upstream = Upstream::new();
    let (first, tier) = upstream.instance();
    Upstream::read(&first).await;
    tier.flush().await;
    assert_eq!(upstream.kv.keys(), ["chatchonk:test:responses.1:only"]);
    first.advance(10 * MINUTE).await;

    let (second, _) = upstream.instance();
    assert_eq!(Upstream::read(&second).await, Some((Kv, 1)));
    assert_eq!(Upstream::read(&second).await, Some((Memory, 1)));
    assert_eq!(upstream.origin.calls(), (1, 0));
    second.advance(5 * MINUTE).await;
    assert_eq!(Upstream::read(&second).await, Some((Origin, 1)));
}

#[tokio::test]
async fn an_old_answer_in_kv_serves_for_a_day_of_upstream_failure() {
    let upstream = Upstream::new();
    let (first, tier) = upstream.instance();
    Upstream::read(&first).await;
    tier.flush().await;
    first.advance(23 * HOUR).await;

    let (second, _) = upstream.instance();
    upstream.origin.fail(true);
    assert_eq!(Upstream::read(&second).await, Some((Stale, 1)));
    upstream.origin.fail(false);
    let (third, _) = upstream.instance();
    assert_eq!(Upstream::read(&third).await, Some((Origin, 1)));

    upstream.origin.fail(true);
    second.advance(HOUR + SECOND).await;
    let (fourth, _) = upstream.instance();
    assert_eq!(Upstream::read(&fourth).await, None);
}

/// A writer, and what it left in a shared tier.
async fn written_by_another(
    family: chatchonk::cache::Family,
    origin: &SimulatedOrigin,
    at: OffsetDateTime,
) -> MemoryKv {
    let (kv, time) = (MemoryKv::default(), Clock::manual(at));
    let tier = kv.tier(&time.0);
    Rig::on(family, origin.clone(), None, Some(tier.clone()), time).read().await.unwrap();
    tier.flush().await;
    kv
}

#[tokio::test]
async fn a_slow_clock_serves_kv_stale_while_the_database_is_dead() {
    let noon = OffsetDateTime::UNIX_EPOCH + 12 * HOUR;
    for slow in [5 * MINUTE + SECOND, 11 * HOUR] {
        let origin = SimulatedOrigin::default();
        let kv = written_by_another(CATALOGUE, &origin, noon).await;
        let time = Clock::manual(noon - slow);
        let floor = Some((&Key(0), origin.data_now()));
        let rig = Rig::on(CATALOGUE, origin.clone(), floor, Some(kv.tier(&time.0)), time);
        origin.fail(true);
        assert_eq!(rig.outcome().await, (Kv, 1), "{slow:?}");
        let held = rig.cache.held(&Key(0)).unwrap();
        assert_eq!((held.entry.source, held.stale), (Source::Kv, true), "{slow:?}");
    }
}

#[tokio::test]
async fn an_answer_dated_ahead_is_never_fresh_by_its_age() {
    let noon = OffsetDateTime::UNIX_EPOCH + 12 * HOUR;
    for (slow, fresh) in [(4 * MINUTE, true), (5 * MINUTE + SECOND, false), (11 * HOUR, false)] {
        let origin = SimulatedOrigin::unscoped();
        let kv = written_by_another(RESPONSES, &origin, noon).await;
        let instance = || {
            let time = Clock::manual(noon - slow);
            Rig::on(RESPONSES, origin.clone(), None, Some(kv.tier(&time.0)), time)
        };
        let ends = if fresh { Kv } else { Origin };
        assert_eq!(Upstream::read(&instance()).await, Some((ends, 1)), "{slow:?}");
        origin.fail(true);
        let ends = if fresh { Kv } else { Stale };
        assert_eq!(Upstream::read(&instance()).await, Some((ends, 1)), "{slow:?}");
    }
}

#[tokio::test]
async fn kv_may_be_newer_when_the_database_fails_after_a_change() {
    let (kv, time) = (MemoryKv::default(), Clock::manual(OffsetDateTime::UNIX_EPOCH));
    let origin = SimulatedOrigin::default();
    let on = |tier| Rig::on(CATALOGUE, origin.clone(), None, Some(tier), time.clone());
    let tiers = [kv.tier(&time.0), kv.tier(&time.0)];
    let (first, second) = (on(tiers[0].clone()), on(tiers[1].clone()));
    first.outcome().await;
    second.outcome().await;
    // They remember the key as absent for a while.
    first.advance(30 * SECOND).await;
    origin.change();
    second.catch_up();
    assert_eq!(second.outcome().await, (Origin, 2));
    tiers[1].flush().await;

    origin.fail(true);
    first.catch_up();
    all_tasks_wait().await;
    assert_eq!(first.outcome().await, (Kv, 2));
}

#[tokio::test]
async fn a_newer_upstream_answer_is_served_at_once() {
    let upstream = Upstream::new();
    let (rig, _) = upstream.instance();
    Upstream::read(&rig).await;
    assert_eq!(Upstream::read(&rig).await, Some((Memory, 1)));
    upstream.origin.change();
    rig.advance(SECOND).await;
    rig.cache.refresh(&Key(0)).await.unwrap();
    assert_eq!(Upstream::read(&rig).await, Some((Memory, 2)));
}

#[tokio::test]
async fn the_database_overrides_kv_at_the_same_version() {
    let (kv, time) = (MemoryKv::default(), Clock::manual(OffsetDateTime::UNIX_EPOCH));
    let (tier, origin) = (kv.tier(&time.0), SimulatedOrigin::default());
    let instance = || Rig::on(CATALOGUE, origin.clone(), None, Some(tier.clone()), time.clone());
    instance().outcome().await;
    tier.flush().await;

    let rig = instance();
    origin.hold();
    let first = rig.begin().await;
    // A caller after this waits for a flight that started with it.
    rig.catch_up();
    let second = rig.begin().await;
    rig.advance(Duration::from_millis(80)).await;
    origin.release_one();
    assert_eq!(first.end().await.unwrap(), (Kv, 1));
    assert_eq!(rig.outcome().await, (Memory, 1));
    assert_eq!(rig.read().await.unwrap().entry.source, Source::Kv);
    origin.release_newest();
    assert_eq!(second.end().await.unwrap(), (Origin, 1));
    assert_eq!(rig.read().await.unwrap().entry.source, Source::Origin);
}

#[tokio::test]
async fn a_version_alone_never_makes_a_value_from_kv_fresh() {
    let (kv, time) = (MemoryKv::default(), Clock::manual(OffsetDateTime::UNIX_EPOCH));
    let (tier, origin) = (kv.tier(&time.0), SimulatedOrigin::default());
    let instance = || Rig::on(CATALOGUE, origin.clone(), None, Some(tier.clone()), time.clone());
    instance().outcome().await;
    tier.flush().await;

    origin.fail(true);
    let rig = instance();
    let read = rig.read().await.unwrap();
    assert_eq!((read.outcome, read.entry.source, read.fresh_for), (Kv, Source::Kv, Duration::ZERO));
    origin.fail(false);
    rig.advance(SECOND).await;
    rig.catch_up();
    assert!(rig.cache.held(&super::Key(0)).unwrap().stale, "the version is the same");
    assert_eq!(rig.outcome().await, (Origin, 1));
    assert_eq!(rig.read().await.unwrap().entry.source, Source::Origin);
}

/// Overwrites the value in the shared tier, as a foreign process could.
fn forge(kv: &MemoryKv, version: u64, value: &str) {
    kv.rewrite(|bytes| {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, rest) = text.split_once("\"version\":").unwrap();
        let (date, _) = rest.split_once(',').unwrap().1.split_once("\"value\":").unwrap();
        format!("{head}\"version\":{version},{date}\"value\":{value}}}").into_bytes()
    });
}

#[tokio::test]
async fn a_forged_version_does_not_outlast_the_databases_first_answer() {
    for version in [1, 2, i64::MAX.unsigned_abs()] {
        let origin = SimulatedOrigin::default();
        let kv = written_by_another(CATALOGUE, &origin, OffsetDateTime::UNIX_EPOCH).await;
        forge(&kv, version, "[7,7]");
        let time = Clock::manual(OffsetDateTime::UNIX_EPOCH);
        let rig = Rig::on(CATALOGUE, origin.clone(), None, Some(kv.tier(&time.0)), time);
        // The version read takes over 1 s, so the load of the second flight has started by then.
        origin.hold();
        let first = rig.begin().await;
        rig.advance(SECOND / 2).await;
        rig.catch_up();
        let second = rig.begin().await;
        rig.advance(Duration::from_millis(80)).await;
        assert_eq!(origin.waiting(), 4, "each flight reads the version and loads");
        rig.advance(Duration::from_millis(420)).await;
        assert_eq!(first.end().await.unwrap(), (Kv, version));
        assert!(rig.cache.held(&Key(0)).unwrap().stale);
        origin.release_newest();
        assert_eq!(second.end().await.unwrap(), (Origin, 1));
        let held = rig.cache.held(&Key(0)).unwrap();
        assert_eq!(
            (held.entry.source, held.entry.version, held.stale),
            (Source::Origin, 1, false),
            "{version}"
        );
    }
}

#[tokio::test]
async fn an_unconfirmed_value_evicts_no_confirmed_one() {
    for version in [1, 2, i64::MAX.unsigned_abs()] {
        let origin = SimulatedOrigin::default();
        let kv = written_by_another(CATALOGUE, &origin, OffsetDateTime::UNIX_EPOCH).await;
        forge(&kv, version, "[7,7]");
        let time = Clock::manual(OffsetDateTime::UNIX_EPOCH);
        let rig = Rig::on(CATALOGUE, origin.clone(), None, Some(kv.tier(&time.0)), time);
        // The version read takes over 1 s; the load ends.
        origin.hold();
        let first = rig.begin().await;
        rig.advance(Duration::from_millis(80)).await;
        assert_eq!(origin.waiting(), 2);
        origin.release_newest();
        all_tasks_wait().await;
        assert_eq!(first.end().await.unwrap(), (Origin, 1));
        // A start looks into the shared tier by itself.
        rig.cache.recall(&Key(0)).await;
        let held = rig.cache.held(&Key(0)).unwrap();
        assert_eq!(
            (held.entry.source, held.entry.version, held.stale),
            (Source::Origin, 1, false),
            "{version}"
        );
    }
}

#[tokio::test]
async fn an_answer_from_kv_evicts_no_answer_of_the_api() {
    let upstream = Upstream::new();
    let (first, tier) = upstream.instance();
    Upstream::read(&first).await;
    tier.flush().await;
    forge(&upstream.kv, i64::MAX.unsigned_abs(), "[7,7]");

    let (second, _) = upstream.instance();
    second.advance(RESPONSES.fresh).await;
    assert_eq!(Upstream::read(&second).await, Some((Origin, 1)));
    second.cache.recall(&Key(0)).await;
    let held = second.cache.held(&Key(0)).unwrap();
    assert_eq!((held.entry.value, held.stale), (upstream.origin.data_now(), false));
}
