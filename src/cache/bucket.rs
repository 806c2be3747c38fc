//! How many reads of the shared tier one instance may make, so that ten of them stay within a day's quota, even if each
//! starts over and over. Pure.

use std::time::{Duration, Instant};

/// Reads that may be made at once, also right after a start: a process that crashes every 5 s makes 69,000 a day.
const BURST: u32 = 4;
/// What an instance uses at most of the day's limit: 2,880 of the free plan's 100,000, one every 30 s.
const SHARE: f64 = 0.0288;

/// A bucket of reads that fills steadily.
#[derive(Debug)]
pub(super) struct Bucket {
    interval: Duration,
    full_at: Option<Instant>,
}

impl Bucket {
    /// A full one, for a limit of so many reads a day.
    pub fn new(limit: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a limit of more than 2^52 reads is none")]
        let seconds = 86_400.0 / (limit.max(1) as f64 * SHARE);
        Self { interval: Duration::from_secs_f64(seconds), full_at: None }
    }

    /// Whether there is one in it.
    pub fn has_one(&self, now: Instant) -> bool {
        let rest = self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        rest <= self.interval * (BURST - 1)
    }

    /// Takes one out, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let has_one = self.has_one(now);
        if has_one {
            self.full_at = Some(self.full_at.map_or(now, |at| at.max(now)) + self.interval);
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::KvLimits;
    use crate::clock::Clock;

    #[test]
    fn four_at_once_then_one_every_thirty_seconds() {
        let (mut bucket, now) = (Bucket::new(KvLimits::FREE_PLAN.reads), Clock::system().now());
        let taken = |bucket: &mut Bucket, at| (0..10).filter(|_| bucket.take(at)).count();
        assert_eq!(taken(&mut bucket, now), 4);
        assert_eq!(taken(&mut bucket, now + Duration::from_secs(29)), 0);
        assert_eq!(taken(&mut bucket, now + Duration::from_secs(30)), 1);
        assert_eq!(taken(&mut bucket, now + Duration::from_hours(1)), 4);
    }

    #[test]
    fn ten_instances_that_never_stop_and_one_that_never_starts_stay_within_the_day() {
        let (mut bucket, now) = (Bucket::new(KvLimits::FREE_PLAN.reads), Clock::system().now());
        let steady = (0..86_400).filter(|second| bucket.take(now + Duration::from_secs(*second))).count();
        assert!(steady <= 2_884, "{steady}");
        let crashing = 86_400 / 5 * BURST as usize;
        assert!(9 * steady + crashing <= 97_000, "{}", 9 * steady + crashing);
    }
}
