//! What is wrong with the shared tier, in plain words, and which of several faults to tell.

use std::time::{Duration, Instant};

use crate::kv_client::KvError;
use crate::outage::Outage;

use super::gate::{Change, Gate, Operation};

/// A fault as health shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub reason: &'static str,
    /// The way out.
    pub remedy: &'static str,
}

impl Fault {
    /// No call has ended yet.
    const UNTRIED: Self = Self {
        reason: "Workers KV has not answered yet",
        remedy: "nothing to do: the first answer is awaited",
    };
    /// Less than a tenth of the calls is left that Cloudflare grants.
    pub const HELD_BACK: Self = Self {
        reason: "little is left of the calls that Cloudflare's API grants in 5 minutes",
        remedy: "nothing to do: calls go on later; a token owned by the account does not share its limit with people",
    };

    /// All instances together have used what the settings allow them of the day.
    pub const fn over_budget(operation: Operation) -> Self {
        let reason = match operation {
            Operation::Read => "the day's budget of reads from Workers KV is used up",
            Operation::Write => "the day's budget of writes to Workers KV is used up",
            Operation::Delete => "the day's budget of deletes from Workers KV is used up",
        };
        let remedy = "nothing to do: it opens again at 00:00 UTC; on a paid plan raise CLOUDFLARE_KV_DAILY_READS, \
                      CLOUDFLARE_KV_DAILY_WRITES and CLOUDFLARE_KV_DAILY_DELETES";
        Self { reason, remedy }
    }
}

impl From<&KvError> for Fault {
    fn from(error: &KvError) -> Self {
        Self { reason: error.reason(), remedy: error.remedy() }
    }
}

/// The faults that still count.
#[derive(Debug)]
pub(super) struct Faults {
    /// From a fault that is worth a line to the recovery that is; its causes are reasons.
    outage: Outage<&'static str>,
    tried: bool,
    /// Of the last call that failed.
    last: Option<Fault>,
    /// Why the gate is shut.
    shut: Option<Fault>,
    /// Why one kind of operation is out of quota.
    spent: [Option<Fault>; Operation::ALL.len()],
}

/// What a call is worth in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing.
    None,
    /// A warning: the gate shut, or shut for a cause that this outage did not have yet.
    Fault,
    /// A line: it answers again, and not only for a moment.
    Recovery,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            outage: Outage::new(Duration::ZERO),
            tried: false,
            last: None,
            shut: None,
            spent: [None; Operation::ALL.len()],
        }
    }
}

impl Faults {
    /// Takes in how a call ended, and returns what that is worth in the log.
    pub fn took(&mut self, change: Option<Change>, fault: Option<Fault>, now: Instant) -> News {
        let changed = self.changed(change, fault);
        match change {
            Some(Change::Reopened) => self.works(now),
            Some(Change::Spent(_)) => News::Fault,
            Some(Change::Shut | Change::StillShut { .. }) if changed => {
                let reason = fault.map_or("", |fault| fault.reason);
                if self.outage.fails(reason, now) { News::Fault } else { News::None }
            }
            _ => News::None,
        }
    }

    /// Takes in that calls are made, at every look.
    pub fn works(&mut self, now: Instant) -> News {
        self.outage.works(now).map_or(News::None, |_| News::Recovery)
    }

    fn changed(&mut self, change: Option<Change>, fault: Option<Fault>) -> bool {
        self.tried = true;
        match change {
            Some(Change::Spent(operation)) => {
                self.spent[operation as usize] = fault;
                true
            }
            Some(Change::Shut) => {
                self.shut = fault;
                true
            }
            Some(Change::StillShut { other_cause }) => {
                self.shut = fault;
                other_cause
            }
            Some(Change::Reopened) => {
                self.shut = None;
                false
            }
            None => {
                self.last = fault.or(self.last);
                false
            }
        }
    }

    /// The one to tell; nothing when the last call went well and nothing is held back.
    pub fn current(&self, gate: &Gate, now: Instant) -> Option<Fault> {
        if !self.tried {
            return Some(Fault::UNTRIED);
        }
        if gate.is_open_for_all(now) {
            return None;
        }
        let spent = || {
            let mut kinds = Operation::ALL.iter().filter(|kind| gate.is_spent(**kind, now));
            kinds.find_map(|kind| self.spent[*kind as usize])
        };
        if gate.is_closed() { spent().or(self.last) } else { self.shut.or(self.last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::kv_tier::gate::Ended;

    const FAULTS: [Fault; 2] =
        [Fault { reason: "forbidden", remedy: "" }, Fault { reason: "unreachable", remedy: "" }];

    /// What is logged in three hours in which calls fail and the probe a minute later goes as `probe` says.
    fn lines(probe: impl Fn(usize) -> Option<Fault>) -> Vec<News> {
        let (mut gate, mut faults, mut now) = (Gate::new(), Faults::default(), Clock::system().now());
        let mut lines = Vec::new();
        for round in 0..180 {
            if gate.is_closed() {
                let change = gate.ended(Ended::Misconfigured, now, 0);
                lines.push(faults.took(change, Some(FAULTS[0]), now));
            }
            now += Duration::from_mins(1);
            assert!(gate.admits_probe(now));
            let fault = probe(round);
            let ended = match fault {
                None => Ended::Well,
                Some(fault) if fault == FAULTS[0] => Ended::Misconfigured,
                Some(_) => Ended::Failed,
            };
            let change = gate.ended(ended, now, 0);
            lines.push(faults.took(change, fault, now));
            now += Duration::from_secs(2);
            if gate.is_closed() {
                lines.push(faults.works(now));
            }
        }
        lines.retain(|news| *news != News::None);
        lines
    }

    #[test]
    fn a_token_that_may_probe_and_not_write_is_two_outages_and_not_a_hundred() {
        assert_eq!(lines(|_| None), [News::Fault, News::Recovery, News::Fault]);
    }

    #[test]
    fn causes_that_take_turns_in_one_outage_are_logged_once_each() {
        assert_eq!(lines(|round| Some(FAULTS[round % 2])), [News::Fault; 2]);
    }
}
