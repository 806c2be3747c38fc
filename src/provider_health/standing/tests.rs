use time::macros::datetime;

use super::*;
use ProviderStatus::{Degraded, Down, Healthy, Unknown};

const START: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const QUICK: Look = Look::Answered(Duration::from_millis(200));
const SLOWLY: Look = Look::Answered(Duration::from_secs(4));
const REFUSED: Look = Look::Failed(Reason::Unauthorized);
const BUSY: Look = Look::Failed(Reason::RateLimited);
const BROKEN: Look = Look::Failed(Reason::Http5xx);

/// After these looks, each as soon as it is due.
fn after(looks: &[Look]) -> Standing {
    let (mut standing, mut now) = (Standing::from(Unknown), START);
    for look in looks {
        now += standing.due_in(now);
        standing.took(*look, now);
    }
    standing
}

/// In whole minutes: jitter is left out.
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
fn two_looks_in_a_row_move_a_status_and_one_alone_asks_for_another_soon() {
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
fn the_reason_is_the_newest_that_agrees_with_the_status_and_since_is_when_it_came_about() {
    let standing = after(&[REFUSED, REFUSED, BROKEN]);
    assert_eq!((standing.reason, standing.since), (Some(Reason::Http5xx), Some(START)));
    let blip = after(&[QUICK, BROKEN]);
    assert_eq!((blip.reason, blip.since), (None, Some(START)));
    let recovered = after(&[REFUSED, REFUSED, QUICK, QUICK]);
    assert_eq!((recovered.reason, recovered.since), (None, recovered.last_checked));
}

#[test]
fn what_a_start_takes_over_as_bad_is_given_up_at_once_and_as_healthy_is_not() {
    let mut bad = after(&[REFUSED, REFUSED]).adopted();
    assert_eq!((bad.status, minutes_to_next(&bad)), (Down, 1));
    bad.took(QUICK, START + Duration::from_hours(1));
    assert_eq!(bad.status, Healthy);
    let mut healthy = after(&[QUICK]).adopted();
    assert_eq!((healthy.status, minutes_to_next(&healthy)), (Healthy, 5));
    healthy.took(BROKEN, START + Duration::from_hours(1));
    assert_eq!(healthy.status, Healthy);
}

#[test]
fn a_look_is_never_due_within_a_minute_and_looks_are_spread() {
    let mut waits = Vec::new();
    for second in 0..500 {
        let at = START + Duration::from_secs(second);
        let (mut healthy, mut broken) = (Standing::from(Unknown), Standing::from(Unknown));
        healthy.took(QUICK, at);
        broken.took(BROKEN, at);
        assert!((270..=330).contains(&healthy.due_in(at).as_secs()), "{:?}", healthy.due_in(at));
        assert!((60..=66).contains(&broken.due_in(at).as_secs()), "{:?}", broken.due_in(at));
        waits.push(healthy.due_in(at).as_secs());
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 40, "{waits:?}");
}

#[test]
fn what_instances_share_has_these_very_bytes() {
    let mut standing = after(&[QUICK]);
    standing.took(BROKEN, START + Duration::from_mins(5));
    let standings = Standings::from_iter([("openai".parse().unwrap(), standing)]);
    let golden = r#"{"openai":{"status":"healthy","reason":null,"since":"2026-11-22T12:00:00Z","last_checked":"2026-11-22T12:05:00Z","settled":true,"contrary":"down","latencies":[200]}}"#;
    let json = serde_json::to_string(&standings).unwrap();
    assert_eq!(json, golden, "raise the family's schema with every change");
    assert_eq!(serde_json::from_str::<Standings>(&json).unwrap(), standings);
}

#[test]
fn a_clock_that_was_set_back_does_not_stop_the_looks() {
    let standing = after(&[QUICK]);
    assert_eq!(standing.due_in(START - Duration::from_hours(3)), Duration::ZERO);
    assert_eq!(standing.due_in(START + Duration::from_hours(3)), Duration::ZERO);
    assert!(
        standing.due_in(START - Duration::from_secs(5)) >= INTERVAL * 9 / 10,
        "clocks are a little apart"
    );
    assert_eq!(Standing::from(Unknown).due_in(START), Duration::ZERO);
}

#[test]
fn percentiles_are_those_of_the_last_twenty_answers() {
    let took = |milliseconds: &[u64]| {
        let mut standing = Standing::from(Unknown);
        for milliseconds in milliseconds {
            standing.took(Look::Answered(Duration::from_millis(*milliseconds)), START);
            standing.took(BROKEN, START);
        }
        (standing.latency(50), standing.latency(95))
    };
    assert_eq!(took(&[]), (None, None));
    assert_eq!(took(&[7]), (Some(7), Some(7)));
    assert_eq!(took(&[30, 10, 20]), (Some(20), Some(30)));
    assert_eq!(took(&(1..=20).rev().collect::<Vec<_>>()), (Some(10), Some(19)));
    assert_eq!(took(&(1..=120).collect::<Vec<_>>()), (Some(110), Some(119)));
}
