//! Pauses between attempts after failures.

use std::time::{Duration, Instant};

use crate::clock::Clock;

/// The pause after failures in a row. It doubles with each, up to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    failed: Instant,
    full: Duration,
    /// 0 to 255. Shortens the pause by up to a quarter, so instances that failed together do not retry together.
    jitter: u8,
}

impl Backoff {
    /// Returns the pause after one more failure.
    pub fn after(
        previous: Option<Self>,
        (first, longest): (Duration, Duration),
        now: Instant,
        jitter: u8,
    ) -> Self {
        let full = previous.map_or(first, |previous| (previous.full * 2).min(longest));
        Self { failed: now, full, jitter }
    }

    /// Returns the rest of the pause.
    pub fn due_in(self, now: Instant) -> Duration {
        let pause = self.full.saturating_sub(self.full / 4 * u32::from(self.jitter) / 255);
        pause.saturating_sub(self.passed(now))
    }

    /// Returns the time since the last failure.
    pub fn passed(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.failed)
    }

    /// Whether the last failure ended before `at`.
    pub fn ended_before(self, at: Instant) -> bool {
        self.failed < at
    }
}

/// Returns a jitter that differs between instances.
pub fn jitter(clock: &Clock) -> u8 {
    xxhash_rust::xxh3::xxh3_64(&clock.utc().nanosecond().to_le_bytes()).to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_longest_and_jitter_takes_a_quarter() {
        let (now, second) = (Clock::system().now(), Duration::from_secs(1));
        for (jitter, share) in [(0, 4), (255, 3)] {
            let mut backoff = None;
            for full in [1, 2, 4, 8, 16, 30, 30, 30] {
                let next = Backoff::after(backoff, (second, 30 * second), now, jitter);
                let pause = full * second * share / 4;
                assert_eq!(next.due_in(now), pause);
                assert_eq!(next.due_in(now + pause), Duration::ZERO);
                backoff = Some(next);
            }
        }
    }
}
