//! Pauses, quotas, and what the log gets.

use super::*;
use crate::clock::Clock;

const FAULT: Fault = Fault { reason: "unreachable", remedy: "" };
const NOTHING: Turn = Turn { reopened: false, news: News::None };
const SHUT: Turn = Turn { reopened: false, news: News::Fault };
const REOPENED: Turn = Turn { reopened: true, news: News::Recovery };

fn gate() -> (Gate, Instant) {
    (Gate::new(u64::MAX), Clock::system().now())
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn after_one_or_two_failures_the_next_call_is_made() {
    let (mut gate, now) = gate();
    for _ in 0..2 {
        assert_eq!(gate.admit(Operation::Read, now), Ok(()));
        assert_eq!(gate.end(Ended::Failed, Some(FAULT), now, 0), NOTHING);
    }
    assert_eq!(gate.admit(Operation::Read, now), Ok(()));
    assert!(gate.fault(now).is_some(), "the last call failed");
}

#[test]
fn three_failures_open_the_breaker_for_1_s_doubling_to_30_s() {
    let (mut gate, mut now) = gate();
    for _ in 0..2 {
        gate.end(Ended::Failed, Some(FAULT), now, 0);
    }
    assert_eq!(gate.end(Ended::Failed, Some(FAULT), now, 0), SHUT);
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        let early = gate.admit(Operation::Read, now + seconds(pause) * 99 / 100);
        assert_eq!(early, Err(Skip::BreakerOpen));
        now += seconds(pause);
        assert_eq!(gate.admit(Operation::Write, now), Err(Skip::BreakerOpen), "writes never probe");
        assert_eq!(gate.admit(Operation::Read, now), Ok(()), "probes after {pause} s");
        assert_eq!(gate.admit(Operation::Read, now), Err(Skip::BreakerOpen), "one probe at a time");
        assert_eq!(gate.end(Ended::Failed, Some(FAULT), now, 0), NOTHING);
    }
    now += seconds(30);
    assert!(gate.admit_probe(now));
    assert_eq!(gate.end(Ended::Well, None, now, 0), REOPENED);
    assert!(gate.fault(now).is_none());
}

#[test]
fn a_wrong_configuration_is_probed_once_a_minute() {
    let (mut gate, now) = gate();
    assert_eq!(gate.end(Ended::Misconfigured, Some(FAULT), now, 0), SHUT);
    assert_eq!(gate.admit(Operation::Read, now + seconds(59)), Err(Skip::Misconfigured));
    assert_eq!(gate.admit(Operation::Read, now + seconds(60)), Ok(()));
}

#[test]
fn throttling_blocks_all_calls_for_the_time_given() {
    let (mut gate, now) = gate();
    gate.end(Ended::Throttled(Some(seconds(17))), Some(FAULT), now, 0);
    assert_eq!(gate.admit(Operation::Read, now + seconds(16)), Err(Skip::Throttled));
    assert_eq!(gate.admit(Operation::Read, now + seconds(17)), Ok(()));
    gate.end(Ended::Throttled(None), Some(FAULT), now, 0);
    assert_eq!(gate.admit(Operation::Read, now + seconds(299)), Err(Skip::Throttled));
}

#[test]
fn a_spent_quota_stops_its_own_kind_of_operation_only() {
    let (mut gate, now) = gate();
    let spent = Ended::OutOfQuota(Operation::Write, seconds(3_600));
    assert_eq!(gate.end(spent, Some(FAULT), now, 0), SHUT);
    assert_eq!(gate.end(spent, Some(FAULT), now, 0), NOTHING, "logged once");
    assert_eq!(gate.admit(Operation::Write, now + seconds(3_599)), Err(Skip::Quota));
    assert_eq!(gate.take_renewed(now + seconds(3_599)), []);
    assert_eq!(gate.admit(Operation::Read, now), Ok(()));
    assert!(gate.fault(now).is_some());
    assert_eq!(gate.admit(Operation::Write, now + seconds(3_600)), Ok(()));
    assert_eq!(gate.take_renewed(now + seconds(3_600)), [Operation::Write]);
    assert_eq!(gate.take_renewed(now + seconds(3_600)), [], "returned once");
}

#[test]
fn a_probe_whose_caller_vanished_does_not_keep_the_gate_shut() {
    let (mut gate, now) = gate();
    gate.end(Ended::Misconfigured, Some(FAULT), now, 0);
    assert_eq!(gate.admit(Operation::Read, now + seconds(60)), Ok(()));
    assert_eq!(gate.admit(Operation::Read, now + seconds(61)), Err(Skip::Misconfigured));
    assert_eq!(gate.admit(Operation::Read, now + seconds(90)), Ok(()));
}

const FAULTS: [Fault; 2] =
    [Fault { reason: "forbidden", remedy: "" }, Fault { reason: "unreachable", remedy: "" }];

/// What is logged in three hours in which calls fail and the probe a minute later goes as `probe` says.
fn lines(probe: impl Fn(usize) -> Option<Fault>) -> Vec<News> {
    let (mut gate, mut now) = gate();
    let mut lines = Vec::new();
    for round in 0..180 {
        if gate.is_closed() {
            lines.push(gate.end(Ended::Misconfigured, Some(FAULTS[0]), now, 0).news);
        }
        now += Duration::from_mins(1);
        assert!(gate.admit_probe(now));
        let fault = probe(round);
        let ended = match fault {
            None => Ended::Well,
            Some(fault) if fault == FAULTS[0] => Ended::Misconfigured,
            Some(_) => Ended::Failed,
        };
        lines.push(gate.end(ended, fault, now, 0).news);
        now += Duration::from_secs(2);
        lines.push(gate.look(now));
    }
    lines.retain(|news| *news != News::None);
    lines
}

#[test]
fn a_token_that_may_probe_but_not_write_is_two_outages() {
    assert_eq!(lines(|_| None), [News::Fault, News::Recovery, News::Fault]);
}

#[test]
fn causes_that_take_turns_in_one_outage_are_logged_once_each() {
    assert_eq!(lines(|round| Some(FAULTS[round % 2])), [News::Fault; 2]);
}
