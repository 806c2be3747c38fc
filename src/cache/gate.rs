//! When the shared tier may be asked: circuit breaker, faults of configuration, throttling and quota in one state
//! machine, pure on a given time.

use std::time::{Duration, Instant};

use crate::domain::closed::closed_enum;

/// Failures in a row that open the breaker.
const FAILURES_TO_OPEN: u32 = 3;
/// The first pause of an open breaker.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Its longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a fault of configuration is looked at again.
const CONFIGURATION_PAUSE: Duration = Duration::from_mins(1);
/// How long to stay away when throttled without being told.
const THROTTLED_PAUSE: Duration = Duration::from_mins(5);

closed_enum!(
    /// Operations that Cloudflare counts apart.
    Operation {
        /// Looking a key up, found or not.
        Read = "read",
        /// Writing a pair; each pair of a bulk write counts.
        Write = "write",
        /// Deleting a key.
        Delete = "delete",
    }
);

/// How a call ended, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Answered, with a value or without one.
    Well,
    /// Time-out, no connection, 5xx, or something unintelligible.
    Failed,
    /// Refused for its settings: token, account, namespace, request.
    Misconfigured,
    /// Too many calls; come back after this long, where it was said.
    Throttled(Option<Duration>),
    /// The day's quota of this operation is spent; it returns after this long, at 00:00 UTC.
    OutOfQuota(Operation, Duration),
}

/// Whether calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Yes.
    Closed { failures: u32 },
    /// Not before `until`; then one call probes.
    Open { until: Instant, pause: Duration },
    /// One call is probing.
    HalfOpen { pause: Duration, since: Instant },
}

/// A change worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Calls were made and now are not, or not those of one kind.
    Shut,
    /// Calls are made again.
    Reopened,
}

/// The gate in front of all calls.
#[derive(Debug)]
pub(super) struct Gate {
    state: State,
    spent: [Option<Instant>; Operation::ALL.len()],
}

impl Gate {
    /// Everything allowed.
    pub fn new() -> Self {
        Self { state: State::Closed { failures: 0 }, spent: [None; Operation::ALL.len()] }
    }

    /// Whether a call of that kind may be made now. After a pause the first to ask is let through and probes.
    pub fn admits(&mut self, operation: Operation, now: Instant) -> bool {
        if self.spent[operation as usize].is_some_and(|until| now < until) {
            return false;
        }
        self.admits_any(now)
    }

    fn admits_any(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until, pause } if now >= until => {
                self.state = State::HalfOpen { pause, since: now };
                true
            }
            // A probe whose caller vanished must not keep the gate shut.
            State::HalfOpen { pause, since } if now.saturating_duration_since(since) >= LONGEST_PAUSE => {
                self.state = State::HalfOpen { pause, since: now };
                true
            }
            State::Open { .. } | State::HalfOpen { .. } => false,
        }
    }

    /// Whether the last call went well and nothing is held back.
    pub fn is_open_for_all(&self, now: Instant) -> bool {
        matches!(self.state, State::Closed { failures: 0 })
            && self.spent.iter().flatten().all(|until| now >= *until)
    }

    /// Whether a probe is due that costs no quota: after a failure, so that health tells the truth without traffic.
    pub fn admits_probe(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { failures } => failures > 0,
            State::Open { .. } | State::HalfOpen { .. } => self.admits_any(now),
        }
    }

    /// The name of the state, in the words of circuit breakers.
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
        }
    }

    /// Takes in how a call ended. `jitter` (0 to 255) shortens pauses by up to a quarter.
    pub fn ended(&mut self, ended: Ended, now: Instant, jitter: u8) -> Option<Change> {
        let was_closed = matches!(self.state, State::Closed { .. });
        let mut newly_spent = false;
        let open = |pause: Duration, next: Duration| State::Open { until: now + pause, pause: next };
        let shortened = |pause: Duration| pause.saturating_sub(pause / 4 * u32::from(jitter) / 255);
        self.state = match (ended, self.state) {
            // A call that set out before the gate shut proves nothing about what came after it.
            (Ended::Well | Ended::Failed, state @ State::Open { .. }) => state,
            (Ended::Well, _) => State::Closed { failures: 0 },
            (Ended::OutOfQuota(operation, rest), state) => {
                newly_spent = self.spent[operation as usize].is_none_or(|until| now >= until);
                self.spent[operation as usize] = Some(now + rest);
                match state {
                    State::HalfOpen { .. } => State::Closed { failures: 0 },
                    state => state,
                }
            }
            (Ended::Misconfigured, _) => open(CONFIGURATION_PAUSE, FIRST_PAUSE),
            (Ended::Throttled(after), _) => open(after.unwrap_or(THROTTLED_PAUSE), FIRST_PAUSE),
            (Ended::Failed, State::Closed { failures }) if failures + 1 < FAILURES_TO_OPEN => {
                State::Closed { failures: failures + 1 }
            }
            (Ended::Failed, State::Closed { .. }) => open(shortened(FIRST_PAUSE), FIRST_PAUSE * 2),
            (Ended::Failed, State::HalfOpen { pause, .. }) => {
                open(shortened(pause), (pause * 2).min(LONGEST_PAUSE))
            }
        };
        let is_closed = matches!(self.state, State::Closed { .. });
        match (was_closed, is_closed) {
            (true, false) => Some(Change::Shut),
            (false, true) => Some(Change::Reopened),
            _ if newly_spent => Some(Change::Shut),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn one_or_two_failures_leave_the_next_request_free_to_try() {
        let (mut gate, now) = (Gate::new(), Clock::system().now());
        for _ in 0..2 {
            assert!(gate.admits(Operation::Read, now));
            assert_eq!(gate.ended(Ended::Failed, now, 0), None);
        }
        assert!(gate.admits(Operation::Read, now));
        assert!(!gate.is_open_for_all(now), "the last call failed");
    }

    #[test]
    fn three_failures_open_the_breaker_for_one_second_doubling_to_thirty() {
        let (mut gate, mut now) = (Gate::new(), Clock::system().now());
        for _ in 0..2 {
            gate.ended(Ended::Failed, now, 0);
        }
        assert_eq!(gate.ended(Ended::Failed, now, 0), Some(Change::Shut));
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert!(!gate.admits(Operation::Read, now + seconds(pause) * 99 / 100));
            now += seconds(pause);
            assert!(gate.admits(Operation::Read, now), "probes after {pause} s");
            assert!(!gate.admits(Operation::Read, now), "one probe at a time");
            assert_eq!(gate.ended(Ended::Failed, now, 0), None);
        }
        now += seconds(30);
        assert!(gate.admits(Operation::Write, now));
        assert_eq!(gate.ended(Ended::Well, now, 0), Some(Change::Reopened));
        assert!(gate.is_open_for_all(now));
    }

    #[test]
    fn a_fault_of_configuration_is_looked_at_once_a_minute() {
        let (mut gate, now) = (Gate::new(), Clock::system().now());
        assert_eq!(gate.ended(Ended::Misconfigured, now, 0), Some(Change::Shut));
        assert!(!gate.admits(Operation::Read, now + seconds(59)));
        assert!(gate.admits(Operation::Read, now + seconds(60)));
    }

    #[test]
    fn throttling_keeps_all_calls_away_for_as_long_as_was_said() {
        let (mut gate, now) = (Gate::new(), Clock::system().now());
        gate.ended(Ended::Throttled(Some(seconds(17))), now, 0);
        assert!(!gate.admits(Operation::Read, now + seconds(16)));
        assert!(gate.admits(Operation::Read, now + seconds(17)));
        gate.ended(Ended::Throttled(None), now, 0);
        assert!(!gate.admits(Operation::Read, now + seconds(299)));
    }

    #[test]
    fn a_spent_quota_stops_its_own_kind_of_operation_only() {
        let (mut gate, now) = (Gate::new(), Clock::system().now());
        gate.ended(Ended::OutOfQuota(Operation::Write, seconds(3_600)), now, 0);
        assert!(!gate.admits(Operation::Write, now + seconds(3_599)));
        assert!(gate.admits(Operation::Read, now));
        assert!(!gate.is_open_for_all(now));
        assert!(gate.admits(Operation::Write, now + seconds(3_600)));
    }

    #[test]
    fn a_probe_whose_caller_vanished_does_not_keep_the_gate_shut() {
        let (mut gate, now) = (Gate::new(), Clock::system().now());
        gate.ended(Ended::Misconfigured, now, 0);
        assert!(gate.admits(Operation::Read, now + seconds(60)));
        assert!(!gate.admits(Operation::Read, now + seconds(61)));
        assert!(gate.admits(Operation::Read, now + seconds(90)));
    }
}
