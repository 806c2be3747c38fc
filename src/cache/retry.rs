//! When to ask a failing origin again.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// Without any value to serve, callers get the remembered error this long before the origin is asked again.
const WITHOUT_VALUE: Duration = Duration::from_millis(500);

/// Failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failures {
    count: u32,
    last: Instant,
    /// 0 to 255, so that instances that failed together do not try together.
    jitter: u8,
}

impl Failures {
    /// One more failure than before.
    pub fn after(previous: Option<Self>, now: Instant, seed: u64) -> Self {
        let count = previous.map_or(0, |failures| failures.count).saturating_add(1);
        let jitter = xxhash_rust::xxh3::xxh3_64_with_seed(&count.to_le_bytes(), seed).to_le_bytes()[0];
        Self { count, last: now, jitter }
    }

    /// Whether the last one ended before then.
    pub fn ended_before(self, at: Instant) -> bool {
        self.last < at
    }

    /// Returns whether the origin may be queried again.
    pub fn may_retry(self, now: Instant, has_value: bool) -> bool {
        self.due_in(now, has_value).is_zero()
    }

    /// Returns how long the origin must not be queried yet: with a value to serve meanwhile 1 s after the failure, doubling
    /// to 30 s, each less up to a quarter as jitter; without one, half a second.
    pub fn due_in(self, now: Instant, has_value: bool) -> Duration {
        let wait = if has_value {
            let full = FIRST.saturating_mul(1 << (self.count - 1).min(5)).min(LONGEST);
            full.saturating_sub(full / 4 * u32::from(self.jitter) / 255)
        } else {
            WITHOUT_VALUE
        };
        wait.saturating_sub(now.saturating_duration_since(self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn the_pause_doubles_from_one_to_thirty_seconds_and_no_further() {
        let now = Clock::system().now();
        let mut failures = None;
        for full in [1, 2, 4, 8, 16, 30, 30, 30].map(Duration::from_secs) {
            let next = Failures::after(failures, now, 7);
            assert!(!next.may_retry(now + full * 3 / 4, true), "{full:?}");
            assert!(next.may_retry(now + full, true), "{full:?}");
            failures = Some(next);
        }
    }

    #[test]
    fn without_a_value_the_error_is_remembered_for_half_a_second() {
        let now = Clock::system().now();
        let failures = Failures::after(None, now, 7);
        assert!(!failures.may_retry(now + Duration::from_millis(499), false));
        assert!(failures.may_retry(now + WITHOUT_VALUE, false));
    }
}
