//! When the shared tier may be asked: circuit breaker, faults of configuration, throttling and quota in one state
//! machine, pure on a given time.

use std::time::{Duration, Instant};

use crate::cache::Backoff;
use crate::domain::closed::closed_enum;

/// Failures in a row that open the breaker.
const FAILURES_TO_OPEN: u32 = 3;
/// The first pause of an open breaker, and its longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
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

closed_enum!(
    /// Why a call is not made.
    Skip {
        /// The last calls failed.
        BreakerOpen = "breaker_open",
        /// Token, account or namespace are wrong.
        Misconfigured = "misconfigured",
        /// Cloudflare asked to wait, or little is left of what it grants.
        Throttled = "throttled",
        /// The day's quota of this operation is used up.
        Quota = "quota",
        /// This instance has made its share of reads for now.
        ReadBudget = "read_budget",
        /// The key was found absent less than 30 s ago.
        KnownAbsent = "known_absent",
        /// The database keeps the budget, and does not answer.
        NoDatabase = "no_database",
    }
);

/// Whether calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Yes.
    Closed { failures: u32 },
    /// Not before `until`; then one call probes.
    Open { until: Instant, failures: Option<Backoff>, why: Skip },
    /// One call is probing.
    HalfOpen { failures: Option<Backoff>, since: Instant, why: Skip },
}

/// A change worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Calls were made and now are not.
    Shut,
    /// The probe failed; still no calls are made, for another cause than before or the same.
    StillShut { other_cause: bool },
    /// Calls of one kind are not made until its quota returns.
    Spent(Operation),
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

    /// Whether a call of that kind may be made now, or why not. After a pause the first read to ask is let through and
    /// probes. Writes and deletes never probe: they cost quota, and nobody waits for them.
    pub fn admits(&mut self, operation: Operation, now: Instant) -> Result<(), Skip> {
        if self.spent[operation as usize].is_some_and(|until| now < until) {
            return Err(Skip::Quota);
        }
        let (State::Open { why, .. } | State::HalfOpen { why, .. }) = self.state else { return Ok(()) };
        if operation == Operation::Read && self.turns_half_open(now) { Ok(()) } else { Err(why) }
    }

    fn turns_half_open(&mut self, now: Instant) -> bool {
        let (State::Open { failures, why, .. } | State::HalfOpen { failures, why, .. }) = self.state else {
            return false;
        };
        let due = match self.state {
            State::Open { until, .. } => now >= until,
            // A probe whose caller vanished must not keep the gate shut.
            State::HalfOpen { since, .. } => now.saturating_duration_since(since) >= PAUSES.1,
            State::Closed { .. } => false,
        };
        if due {
            self.state = State::HalfOpen { failures, since: now, why };
        }
        due
    }

    /// Whether a call may be waited for: the last ones did not all fail.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
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
            State::Open { .. } | State::HalfOpen { .. } => self.turns_half_open(now),
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

    /// Kinds of operations whose quota has returned since the last time.
    pub fn renewed(&mut self, now: Instant) -> Vec<Operation> {
        let is_due = |until: &mut Option<Instant>| until.take_if(|until| now >= *until).is_some();
        let due =
            Operation::ALL.iter().zip(&mut self.spent).filter_map(|(op, until)| is_due(until).then_some(*op));
        due.collect()
    }

    /// Whether that kind of operation is out of quota.
    pub fn is_spent(&self, operation: Operation, now: Instant) -> bool {
        self.spent[operation as usize].is_some_and(|until| now < until)
    }

    /// Takes in how a call ended. `jitter` (0 to 255) shortens pauses by up to a quarter.
    pub fn ended(&mut self, ended: Ended, now: Instant, jitter: u8) -> Option<Change> {
        let before = self.state;
        let open = |pause, why| State::Open { until: now + pause, failures: None, why };
        let fails = |before| {
            let failures = Backoff::after(before, PAUSES, now, jitter);
            State::Open {
                until: now + failures.due_in(now),
                failures: Some(failures),
                why: Skip::BreakerOpen,
            }
        };
        let mut spent = None;
        self.state = match (ended, before) {
            // A call that set out before the gate shut proves nothing about what came after it.
            (Ended::Well | Ended::Failed, state @ State::Open { .. }) => state,
            (Ended::Well, _) => State::Closed { failures: 0 },
            (Ended::OutOfQuota(operation, rest), state) => {
                if !self.is_spent(operation, now) {
                    spent = Some(Change::Spent(operation));
                }
                self.spent[operation as usize] = Some(now + rest);
                match state {
                    State::HalfOpen { .. } => State::Closed { failures: 0 },
                    state => state,
                }
            }
            (Ended::Misconfigured, _) => open(CONFIGURATION_PAUSE, Skip::Misconfigured),
            (Ended::Throttled(after), _) => open(after.unwrap_or(THROTTLED_PAUSE), Skip::Throttled),
            (Ended::Failed, State::Closed { failures }) if failures + 1 < FAILURES_TO_OPEN => {
                State::Closed { failures: failures + 1 }
            }
            (Ended::Failed, State::Closed { .. }) => fails(None),
            (Ended::Failed, State::HalfOpen { failures, .. }) => fails(failures),
        };
        match (before, self.state) {
            (State::Closed { .. }, State::Open { .. }) => Some(Change::Shut),
            (State::HalfOpen { .. } | State::Open { .. }, State::Closed { .. }) => Some(Change::Reopened),
            (State::HalfOpen { why: before, .. }, State::Open { why, .. }) => {
                Some(Change::StillShut { other_cause: before != why })
            }
            _ => spent,
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
            assert_eq!(gate.admits(Operation::Read, now), Ok(()));
            assert_eq!(gate.ended(Ended::Failed, now, 0), None);
        }
        assert_eq!(gate.admits(Operation::Read, now), Ok(()));
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
            let early = gate.admits(Operation::Read, now + seconds(pause) * 99 / 100);
            assert_eq!(early, Err(Skip::BreakerOpen));
            now += seconds(pause);
            assert_eq!(gate.admits(Operation::Write, now), Err(Skip::BreakerOpen), "writes never probe");
            assert_eq!(gate.admits(Operation::Read, now), Ok(()), "probes after {pause} s");
            assert_eq!(gate.admits(Operation::Read, now), Err(Skip::BreakerOpen), "one probe at a time");
            assert_eq!(gate.ended(Ended::Failed, now, 0), Some(Change::StillShut { other_cause: false }));
        }
        now += seconds(30);
        assert!(gate.admits_probe(now));
        assert_eq!(gate.ended(Ended::Well, now, 0), Some(Change::Reopened));
        assert!(gate.is_open_for_all(now));
    }

    #[test]
    fn a_fault_of_configuration_is_looked_at_once_a_minute() {
        let (mut gate, now) = (Gate::new(), Clock::system().now());
        assert_eq!(gate.ended(Ended::Misconfigured, now, 0), Some(Change::Shut));
        assert_eq!(gate.admits(Operation::Read, now + seconds(59)), Err(Skip::Misconfigured));
        assert_eq!(gate.admits(Operation::Read, now + seconds(60)), Ok(()));
    }

    #[test]
    fn throttling_keeps_all_calls_away_for_as_long_as_was_said() {
        let (mut gate, now) = (Gate::new(), Clock::system().now());
        gate.ended(Ended::Throttled(Some(seconds(17))), now, 0);
        assert_eq!(gate.admits(Operation::Read, now + seconds(16)), Err(Skip::Throttled));
        assert_eq!(gate.admits(Operation::Read, now + seconds(17)), Ok(()));
        gate.ended(Ended::Throttled(None), now, 0);
        assert_eq!(gate.admits(Operation::Read, now + seconds(299)), Err(Skip::Throttled));
    }

    #[test]
    fn a_spent_quota_stops_its_own_kind_of_operation_only() {
        let (mut gate, now) = (Gate::new(), Clock::system().now());
        let spent = Ended::OutOfQuota(Operation::Write, seconds(3_600));
        assert_eq!(gate.ended(spent, now, 0), Some(Change::Spent(Operation::Write)));
        assert_eq!(gate.ended(spent, now, 0), None, "told once");
        assert_eq!(gate.admits(Operation::Write, now + seconds(3_599)), Err(Skip::Quota));
        assert_eq!(gate.renewed(now + seconds(3_599)), []);
        assert_eq!(gate.admits(Operation::Read, now), Ok(()));
        assert!(!gate.is_open_for_all(now));
        assert_eq!(gate.admits(Operation::Write, now + seconds(3_600)), Ok(()));
        assert_eq!(gate.renewed(now + seconds(3_600)), [Operation::Write]);
        assert_eq!(gate.renewed(now + seconds(3_600)), [], "told once");
    }

    #[test]
    fn a_probe_whose_caller_vanished_does_not_keep_the_gate_shut() {
        let (mut gate, now) = (Gate::new(), Clock::system().now());
        gate.ended(Ended::Misconfigured, now, 0);
        assert_eq!(gate.admits(Operation::Read, now + seconds(60)), Ok(()));
        assert_eq!(gate.admits(Operation::Read, now + seconds(61)), Err(Skip::Misconfigured));
        assert_eq!(gate.admits(Operation::Read, now + seconds(90)), Ok(()));
    }
}
