use time::macros::datetime;

use super::*;
use ProviderStatus::{Degraded, Down, Healthy, Unknown};

const START: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const QUICK: Look = Look::Answered(Duration::from_millis(200));
const SLOWLY: Look = Look::Answered(Duration::from_secs(4));
const REFUSED: Look = Look::Failed(Reason::Unauthorized);
const BUSY: Look = Look::Failed(Reason::RateLimited);
const BROKEN: Look = Look::Failed(Reason::Http5xx);

/// Returns the standing after these looks, each taken as soon as it is due.
fn after(looks: &[Look]) -> Standing {
    let (mut standing, mut now) = (Standing::from(Unknown), START);
    for look in looks {
        now += standing.due_in(now);
        standing.record(*look, now);
    }
    standing
}

/// Returns whole minutes, without jitter.
fn minutes_to_next(standing: &Standing) -> u64 {
    (standing.due_in(standing.last_checked.unwrap()).as_secs() + 30) / 60
}

#[test]
fn each_look_has_its_verdict() {
    assert_eq!(verdict(Look::Answered(SLOW)), (Healthy, None));
    assert_eq!(verdict(SLOWLY), (Degraded, Some(Reason::Slow)));
    assert_eq!(verdict(BUSY), (Degraded, Some(Reason::RateLimited)));
    let untrusted = Reason::UntrustedAddress;
    assert_eq!(verdict(Look::Failed(untrusted)), (Unknown, Some(untrusted)));
    let others =
        Reason::ALL.iter().filter(|reason| !matches!(reason, Reason::RateLimited | Reason::UntrustedAddress));
    for reason in others {
        assert_eq!(verdict(Look::Failed(*reason)), (Down, Some(*reason)));
    }
}

#[test]
fn two_looks_in_a_row_change_a_status_and_one_hastens_the_next() {
    for (looks, status, minutes) in [
        (&[QUICK][..], Healthy, 5),
        (&[BROKEN], Down, 1),
        (&[BROKEN, QUICK], Healthy, 5),
        (&[BROKEN, BUSY], Degraded, 1),
        (&[BROKEN, BROKEN], Down, 5),
        (&[QUICK, BROKEN], Healthy, 1),
        (&[QUICK, BROKEN, QUICK], Healthy, 5),
        (&[QUICK, BROKEN, QUICK, BROKEN], Healthy, 1),
        (&[QUICK, BROKEN, BROKEN], Down, 5),
        (&[QUICK, BROKEN, BUSY], Degraded, 1),
        (&[QUICK, SLOWLY, SLOWLY], Degraded, 5),
        (&[REFUSED, REFUSED, QUICK], Down, 1),
        (&[REFUSED, REFUSED, QUICK, REFUSED], Down, 5),
        (&[REFUSED, REFUSED, QUICK, QUICK], Healthy, 5),
        (&[BUSY, BUSY, BROKEN], Degraded, 1),
        (&[BUSY, BUSY, BROKEN, QUICK], Healthy, 5),
    ] {
        let standing = after(looks);
        assert_eq!((standing.status, minutes_to_next(&standing)), (status, minutes), "{looks:?}");
    }
}

#[test]
fn reason_and_since_belong_to_the_current_status() {
    let standing = after(&[REFUSED, REFUSED, BROKEN]);
    assert_eq!((standing.reason, standing.since), (Some(Reason::Http5xx), Some(START)));
    let blip = after(&[QUICK, BROKEN]);
    assert_eq!((blip.reason, blip.since), (None, Some(START)));
    let recovered = after(&[REFUSED, REFUSED, QUICK, QUICK]);
    assert_eq!((recovered.reason, recovered.since), (None, recovered.last_checked));
}

#[test]
fn one_good_look_replaces_an_adopted_bad_status() {
    let mut bad = after(&[REFUSED, REFUSED]).adopted();
    assert_eq!((bad.status, minutes_to_next(&bad)), (Down, 1));
    bad.record(QUICK, START + Duration::from_hours(1));
    assert_eq!(bad.status, Healthy);
    let mut healthy = after(&[QUICK]).adopted();
    assert_eq!((healthy.status, minutes_to_next(&healthy)), (Healthy, 5));
    healthy.record(BROKEN, START + Duration::from_hours(1));
    assert_eq!(healthy.status, Healthy);
}

#[test]
fn looks_are_at_least_a_minute_apart_and_spread() {
    let mut waits = Vec::new();
    for second in 0..500 {
        let at = START + Duration::from_secs(second);
        let (mut healthy, mut broken) = (Standing::from(Unknown), Standing::from(Unknown));
        healthy.record(QUICK, at);
        broken.record(BROKEN, at);
        assert!((270..=330).contains(&healthy.due_in(at).as_secs()), "{:?}", healthy.due_in(at));
        assert!((60..=66).contains(&broken.due_in(at).as_secs()), "{:?}", broken.due_in(at));
        waits.push(healthy.due_in(at).as_secs());
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 40, "{waits:?}");
}

#[test]
fn the_shared_form_has_exactly_these_bytes() {
    let mut standing = after(&[QUICK]);
    standing.record(BROKEN, START + Duration::from_mins(5));
    let standings = Standings::from_iter([("openai".parse().unwrap(), standing)]);
    let golden = r#"{"openai":{"status":"healthy","reason":null,"since":"2026-11-22T12:00:00Z","last_checked":"2026-11-22T12:05:00Z","settled":true,"contrary":"down","latencies":[200]}}"#;
    let json = serde_json::to_string(&standings).unwrap();
    assert_eq!(json, golden, "raise the family's schema with every change");
    assert_eq!(serde_json::from_str::<Standings>(&json).unwrap(), standings);
}

#[test]
fn a_clock_set_back_does_not_stop_the_looks() {
    let standing = after(&[QUICK]);
    assert_eq!(standing.due_in(START - Duration::from_hours(3)), Duration::ZERO);
    assert_eq!(standing.due_in(START + Duration::from_hours(3)), Duration::ZERO);
    assert!(
        standing.due_in(START - Duration::from_secs(5)) >= INTERVAL * 9 / 10,
        "clocks may differ a little"
    );
    assert_eq!(Standing::from(Unknown).due_in(START), Duration::ZERO);
}

#[test]
fn percentiles_cover_the_last_twenty_answers() {
    let took = |milliseconds: &[u64]| {
        let mut standing = Standing::from(Unknown);
        for milliseconds in milliseconds {
            standing.record(Look::Answered(Duration::from_millis(*milliseconds)), START);
            standing.record(BROKEN, START);
        }
        (standing.latency(50), standing.latency(95))
    };
    assert_eq!(took(&[]), (None, None));
    assert_eq!(took(&[7]), (Some(7), Some(7)));
    assert_eq!(took(&[30, 10, 20]), (Some(20), Some(30)));
    assert_eq!(took(&(1..=20).rev().collect::<Vec<_>>()), (Some(10), Some(19)));
    assert_eq!(took(&(1..=120).collect::<Vec<_>>()), (Some(110), Some(119)));
}
