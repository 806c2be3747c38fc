//! Decides which failures and recoveries to log. Reads no clock.

use std::time::{Duration, Instant};

/// After a recovery this long, the next outage starts again with the shortest proof.
const STEADY: Duration = Duration::from_mins(10);
/// Minimum proof of a recovery after one that did not last.
const DOUBTED: Duration = Duration::from_mins(1);
/// Maximum of logged causes per outage, which bounds memory.
const MAX_CAUSES: usize = 64;

/// Tracks outages and recoveries, so that a flapping fault does not fill the log.
///
/// Each cause is logged once per outage. A recovery counts once it has lasted for the proof: at first the shortest one,
/// then, while recoveries do not last, longer ones up to 10 minutes.
#[derive(Debug)]
pub(crate) struct Outage<C = ()> {
    /// Causes so far; empty without an outage.
    causes: Vec<C>,
    /// Start of a recovery that does not count yet.
    working: Option<Instant>,
    recovered: Option<Instant>,
    shortest: Duration,
    /// How long a recovery must last to count.
    proof: Duration,
}

impl<C: PartialEq> Outage<C> {
    /// Starts without an outage. A recovery counts once it has lasted for `shortest`.
    pub const fn new(shortest: Duration) -> Self {
        Self { causes: Vec::new(), working: None, recovered: None, shortest, proof: shortest }
    }

    /// Records a failure. Returns whether to log it: an outage begins, or has a new cause.
    pub fn record_failure(&mut self, cause: C, now: Instant) -> bool {
        let proven =
            self.working.take().is_some_and(|since| now.saturating_duration_since(since) >= self.proof);
        if proven && !self.causes.is_empty() {
            // The recovery lasted long enough, but no call to `works` noticed.
            self.causes.clear();
            self.recovered = Some(now);
        }
        if self.causes.len() == MAX_CAUSES || self.causes.contains(&cause) {
            return false;
        }
        if self.causes.is_empty() {
            let relapses = self.recovered.is_some_and(|at| now.saturating_duration_since(at) < STEADY);
            self.proof = if relapses { (self.proof * 2).clamp(DOUBTED, STEADY) } else { self.shortest };
        }
        self.causes.push(cause);
        true
    }

    /// Records a success. Returns the causes of an outage that ends now, which is worth a log line.
    pub fn record_success(&mut self, now: Instant) -> Option<Vec<C>> {
        if self.causes.is_empty() {
            return None;
        }
        let since = *self.working.get_or_insert(now);
        if now.saturating_duration_since(since) < self.proof {
            return None;
        }
        self.recovered = Some(now);
        Some(std::mem::take(&mut self.causes))
    }

    /// Whether the outage has that cause.
    pub fn has(&self, cause: &C) -> bool {
        self.causes.contains(cause)
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
    fn success_without_an_outage_is_not_a_recovery() {
        let (mut outage, now) = outage();
        assert!(outage.record_success(now).is_none() && outage.record_success(now + STEADY).is_none());
    }

    #[test]
    fn flapping_connection_is_one_outage() {
        let (mut outage, now) = outage();
        let lines = (0..150).map(|n| now + 2 * n * SECOND).filter(|at| {
            let recovers = outage.record_success(*at).is_some();
            outage.record_failure((), *at + SECOND) || recovers
        });
        assert_eq!(lines.count(), 1);
    }

    #[test]
    fn lasting_recovery_is_reported_once() {
        let (mut outage, now) = outage();
        assert!(outage.record_failure((), now));
        assert_eq!(outage.record_success(now + SECOND), None);
        assert_eq!(outage.record_success(now + SECOND + PROOF), Some(vec![()]));
        assert_eq!(outage.record_success(now + SECOND + 2 * PROOF), None);
    }

    #[test]
    fn failure_long_after_an_unreported_recovery_is_logged() {
        let (mut outage, now) = (Outage::new(Duration::ZERO), Clock::system().now());
        assert!(outage.record_failure((), now));
        assert!(outage.record_success(now).is_some());
        assert!(outage.record_failure((), now + SECOND), "a relapse, which needs a minute of proof");
        assert!(outage.record_success(now + SECOND).is_none());
        assert!(!outage.record_failure((), now + 2 * SECOND));
        assert!(outage.record_success(now + 3 * SECOND).is_none());
        assert!(outage.record_failure((), now + STEADY));
    }

    #[test]
    fn alternating_causes_are_logged_once_each() {
        let (mut outage, now) = (Outage::new(PROOF), Clock::system().now());
        let turns = ["down", "slow", "down", "slow"].map(|cause| outage.record_failure(cause, now));
        assert_eq!(turns, [true, true, false, false]);
        assert!(outage.record_success(now).is_none());
        assert_eq!(outage.record_success(now + PROOF), Some(vec!["down", "slow"]));
        assert!(outage.record_failure("slow", now + PROOF));
    }

    #[test]
    fn distinct_causes_are_logged_up_to_a_bound() {
        let (mut outage, now) = (Outage::new(PROOF), Clock::system().now());
        assert_eq!((0..1_000).filter(|cause| outage.record_failure(*cause, now)).count(), MAX_CAUSES);
    }

    #[test]
    fn short_recoveries_are_logged_ever_more_rarely() {
        for shortest in [Duration::ZERO, PROOF] {
            let (mut outage, mut now) = (Outage::new(shortest), Clock::system().now());
            let mut lines = 0;
            for _ in 0..1_000 {
                for _ in 0..4 {
                    lines += u32::from(outage.record_success(now).is_some());
                    now += PROOF;
                }
                lines += u32::from(outage.record_failure((), now));
            }
            assert!((3..10).contains(&lines), "{lines} lines after a proof of {shortest:?}");
        }
    }
}
