//! Decides when the shared tier may be used: circuit breaker, configuration, throttling, quota and this instance's
//! share of reads in one state machine. Pure.

use std::time::{Duration, Instant};

use crate::cache::Backoff;
use crate::outage::Outage;

use super::budget::Bucket;
use super::notice::Fault;
use super::operation::{Operation, Skip};

/// Failures in a row that open the breaker.
const FAILURES_TO_OPEN: u32 = 3;
/// First and longest pause of an open breaker.
const BREAKER_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Pause between probes while the configuration is wrong.
const CONFIGURATION_PAUSE: Duration = Duration::from_mins(1);
/// Pause when Cloudflare throttles without a time.
const THROTTLED_PAUSE: Duration = Duration::from_mins(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Answered, with a value or without one.
    Well,
    /// Time-out, no connection, 5xx, or a malformed answer.
    Failed,
    /// Refused because of a setting: token, account, namespace, request.
    Misconfigured,
    /// Too many calls; come back after this time, if Cloudflare gave one.
    Throttled(Option<Duration>),
    /// The day's quota of the operation is used up; it returns after this time, at 00:00 UTC.
    OutOfQuota(Operation, Duration),
}

/// What follows from the end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// Whether calls are made again.
    pub reopened: bool,
    pub news: News,
}

/// What to log about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    None,
    /// A warning: the gate shut, or for a new cause in this outage.
    Fault,
    /// A recovery that has lasted.
    Recovery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    /// Not before `until`; then one call probes.
    Open {
        until: Instant,
        failures: Option<Backoff>,
        why: Skip,
        fault: Option<Fault>,
    },
    /// One call is probing.
    HalfOpen {
        since: Instant,
        failures: Option<Backoff>,
        why: Skip,
        fault: Option<Fault>,
    },
}

#[derive(Debug)]
pub(super) struct Gate {
    state: State,
    /// Until when an operation is out of quota, and why.
    spent: [Option<(Instant, Option<Fault>)>; Operation::ALL.len()],
    reads: Bucket,
    /// Whether any call has ended.
    is_tried: bool,
    /// Fault of the last call that failed without shutting the gate.
    last: Option<Fault>,
    /// The outage in the log; its causes are reasons.
    outage: Outage<&'static str>,
}

impl Gate {
    /// Creates a gate that admits all calls, reads within this instance's share of `reads` a day.
    pub fn new(reads: u64) -> Self {
        Self {
            state: State::Closed { failures: 0 },
            spent: [None; Operation::ALL.len()],
            reads: Bucket::new(reads),
            is_tried: false,
            last: None,
            outage: Outage::new(Duration::ZERO),
        }
    }

    /// Admits a call, or says why not. The first read after a pause is the probe, so the caller must make it. Writes
    /// and deletes never probe, because they cost quota and can wait.
    pub fn admit(&mut self, operation: Operation, now: Instant) -> Result<(), Skip> {
        if operation == Operation::Read && !self.reads.has_one(now) {
            return Err(Skip::ReadBudget);
        }
        if self.is_spent(operation, now) {
            return Err(Skip::Quota);
        }
        if let State::Open { why, .. } | State::HalfOpen { why, .. } = self.state
            && !(operation == Operation::Read && self.turn_half_open(now))
        {
            return Err(why);
        }
        if operation == Operation::Read {
            self.reads.take(now);
        }
        Ok(())
    }

    /// Admits a probe without quota, if one is due after a failure: health must be accurate without traffic.
    pub fn admit_probe(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { failures } => failures > 0,
            State::Open { .. } | State::HalfOpen { .. } => self.turn_half_open(now),
        }
    }

    fn turn_half_open(&mut self, now: Instant) -> bool {
        let (due, failures, why, fault) = match self.state {
            State::Closed { .. } => return false,
            State::Open { until, failures, why, fault } => (until, failures, why, fault),
            // A probe whose caller vanished must not keep the gate shut.
            State::HalfOpen { since, failures, why, fault } => {
                (since + BREAKER_PAUSES.1, failures, why, fault)
            }
        };
        let is_due = now >= due;
        if is_due {
            self.state = State::HalfOpen { since: now, failures, why, fault };
        }
        is_due
    }

    /// Whether the last calls did not all fail.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether the operation is out of quota.
    fn is_spent(&self, operation: Operation, now: Instant) -> bool {
        self.spent[operation as usize].is_some_and(|(until, _)| now < until)
    }

    /// Returns the state in the words of circuit breakers.
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
        }
    }

    /// Returns the fault to show; `None` while the last call succeeded and no operation is out of quota.
    pub fn fault(&self, now: Instant) -> Option<Fault> {
        let spent = Operation::ALL.iter().find(|operation| self.is_spent(**operation, now));
        match self.state {
            _ if !self.is_tried => Some(Fault::UNTRIED),
            State::Closed { failures: 0 } if spent.is_none() => None,
            State::Closed { .. } => {
                spent.and_then(|operation| self.spent[*operation as usize]?.1).or(self.last)
            }
            State::Open { fault, .. } | State::HalfOpen { fault, .. } => fault.or(self.last),
        }
    }

    /// Takes out the operations whose quota has returned since the last call.
    pub fn take_renewed(&mut self, now: Instant) -> Vec<Operation> {
        let mut renewed = Vec::new();
        for (operation, spent) in Operation::ALL.iter().zip(&mut self.spent) {
            if spent.take_if(|(until, _)| now >= *until).is_some() {
                renewed.push(*operation);
            }
        }
        renewed
    }

    /// Records whether calls are made. Returns whether a recovery has lasted.
    pub fn look(&mut self, now: Instant) -> News {
        if self.is_closed() { self.record_success(now) } else { News::None }
    }

    fn record_success(&mut self, now: Instant) -> News {
        self.outage.record_success(now).map_or(News::None, |_| News::Recovery)
    }

    /// Records the end of a call, with its fault if it failed. `jitter` (0 to 255) shortens pauses by up to a quarter.
    pub fn end(&mut self, ended: Ended, fault: Option<Fault>, now: Instant, jitter: u8) -> Turn {
        self.is_tried = true;
        if let Ended::OutOfQuota(operation, rest) = ended {
            return self.spend(operation, rest, fault, now);
        }
        let before = self.state;
        self.state = self.after(ended, fault, now, jitter);
        let news = match (before, self.state) {
            (State::Closed { .. }, State::Open { .. }) => self.record_failure(fault, now),
            (State::HalfOpen { why, .. }, State::Open { why: now_why, .. }) if why != now_why => {
                self.record_failure(fault, now)
            }
            (State::HalfOpen { .. } | State::Open { .. }, State::Closed { .. }) => self.record_success(now),
            (State::HalfOpen { .. }, State::Open { .. }) => News::None,
            _ => {
                self.last = fault.or(self.last);
                News::None
            }
        };
        let reopened = matches!(before, State::HalfOpen { .. } | State::Open { .. }) && self.is_closed();
        Turn { reopened, news }
    }

    fn after(&self, ended: Ended, fault: Option<Fault>, now: Instant, jitter: u8) -> State {
        let open = |pause, why| State::Open { until: now + pause, failures: None, why, fault };
        let fails = |before| {
            let failures = Backoff::after(before, BREAKER_PAUSES, now, jitter);
            let until = now + failures.due_in(now);
            State::Open { until, failures: Some(failures), why: Skip::BreakerOpen, fault }
        };
        match (ended, self.state) {
            // A call from before the gate shut proves nothing.
            (Ended::Well | Ended::Failed, state @ State::Open { .. }) | (Ended::OutOfQuota(..), state) => {
                state
            }
            (Ended::Well, _) => State::Closed { failures: 0 },
            (Ended::Misconfigured, _) => open(CONFIGURATION_PAUSE, Skip::Misconfigured),
            (Ended::Throttled(after), _) => open(after.unwrap_or(THROTTLED_PAUSE), Skip::Throttled),
            (Ended::Failed, State::Closed { failures }) if failures + 1 < FAILURES_TO_OPEN => {
                State::Closed { failures: failures + 1 }
            }
            (Ended::Failed, State::Closed { .. }) => fails(None),
            (Ended::Failed, State::HalfOpen { failures, .. }) => fails(failures),
        }
    }

    /// Blocks one operation until its quota returns. Being an answer, it reopens the gate if it ends a probe.
    fn spend(&mut self, operation: Operation, rest: Duration, fault: Option<Fault>, now: Instant) -> Turn {
        let is_news = !self.is_spent(operation, now);
        self.spent[operation as usize] = Some((now + rest, fault));
        let reopened = matches!(self.state, State::HalfOpen { .. });
        if reopened {
            // The next look shows whether this is a recovery.
            self.state = State::Closed { failures: 0 };
        }
        Turn { reopened, news: if is_news { News::Fault } else { News::None } }
    }

    fn record_failure(&mut self, fault: Option<Fault>, now: Instant) -> News {
        let reason = fault.map_or("", |fault| fault.reason);
        if self.outage.record_failure(reason, now) { News::Fault } else { News::None }
    }
}

#[cfg(test)]
mod tests;
