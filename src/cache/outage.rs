//! When an outage and a recovery are worth a line in the log. Pure on a given time.

use std::time::{Duration, Instant};

/// A recovery that lasts this long is forgotten as such: the next outage starts over with the shortest proof.
const STEADY: Duration = Duration::from_mins(10);
/// How long a second recovery must last to count, where the first did not.
const DOUBTED: Duration = Duration::from_mins(1);

/// Outage and recovery as one state. A recovery counts once it has lasted: at first for the shortest proof, then, where
/// recoveries do not last, ever longer, up to [`STEADY`].
#[derive(Debug)]
pub(super) struct Outage {
    lasts: bool,
    /// Since when it works again, while that proves nothing yet.
    working: Option<Instant>,
    recovered: Option<Instant>,
    shortest: Duration,
    /// How long it must work to count as recovered.
    proof: Duration,
}

impl Outage {
    /// No outage. A recovery counts once it has lasted for `shortest`.
    pub const fn new(shortest: Duration) -> Self {
        Self { lasts: false, working: None, recovered: None, shortest, proof: shortest }
    }

    /// Takes in a failure. Returns whether an outage begins with it, which is worth a line.
    pub fn fails(&mut self, now: Instant) -> bool {
        self.working = None;
        if std::mem::replace(&mut self.lasts, true) {
            return false;
        }
        let relapses = self.recovered.is_some_and(|at| now.saturating_duration_since(at) < STEADY);
        self.proof = if relapses { (self.proof * 2).clamp(DOUBTED, STEADY) } else { self.shortest };
        true
    }

    /// Takes in that it works. Returns whether the outage ends with that, which is worth a line.
    pub fn works(&mut self, now: Instant) -> bool {
        if !self.lasts {
            return false;
        }
        let since = *self.working.get_or_insert(now);
        if now.saturating_duration_since(since) < self.proof {
            return false;
        }
        (self.lasts, self.recovered) = (false, Some(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const SECOND: Duration = Duration::from_secs(1);
    const PROOF: Duration = Duration::from_secs(10);

    fn outage() -> (Outage, Instant) {
        (Outage::new(PROOF), Clock::system().now())
    }

    #[test]
    fn what_worked_from_the_start_has_not_recovered() {
        let (mut outage, now) = outage();
        assert!(!outage.works(now) && !outage.works(now + STEADY));
    }

    #[test]
    fn a_connection_that_is_made_and_fails_again_is_one_outage() {
        let (mut outage, now) = outage();
        let lines = (0..150).map(|n| now + 2 * n * SECOND).filter(|at| {
            let recovers = outage.works(*at);
            outage.fails(*at + SECOND) || recovers
        });
        assert_eq!(lines.count(), 1);
    }

    #[test]
    fn a_recovery_counts_once_when_it_has_lasted() {
        let (mut outage, now) = outage();
        assert!(outage.fails(now));
        assert!(!outage.works(now + SECOND));
        assert!(outage.works(now + SECOND + PROOF));
        assert!(!outage.works(now + SECOND + 2 * PROOF));
    }

    #[test]
    fn recoveries_that_do_not_last_are_logged_ever_more_rarely() {
        for shortest in [Duration::ZERO, PROOF] {
            let (mut outage, mut now) = (Outage::new(shortest), Clock::system().now());
            let mut lines = 0;
            for _ in 0..1_000 {
                for _ in 0..4 {
                    lines += u32::from(outage.works(now));
                    now += PROOF;
                }
                lines += u32::from(outage.fails(now));
            }
            assert!((3..10).contains(&lines), "{lines} lines after a proof of {shortest:?}");
        }
    }
}
