//! Limits log lines about failed requests, whose number clients decide while a fault lasts.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::rate_limit::LimiterClock;
use crate::clock::Clock;

/// Lines per minute, also at once.
const LINES: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Decides which failed requests are logged. Metrics count all.
#[derive(Debug)]
pub struct Failures {
    limiter: RateLimiter<NotKeyed, InMemoryState, LimiterClock, NoOpMiddleware<Instant>>,
    left_out: AtomicU64,
}

impl Failures {
    pub fn new(clock: Clock) -> Self {
        let limiter = RateLimiter::direct_with_clock(Quota::per_minute(LINES), LimiterClock(clock));
        Self { limiter, left_out: AtomicU64::new(0) }
    }

    /// Takes a line, if one is left. Returns how many requests got none since the last.
    pub fn line(&self) -> Option<u64> {
        if self.limiter.check().is_ok() {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_flood_of_failures_gets_twenty_lines_a_minute() {
        let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
        let failures = Failures::new(clock);
        let lines = |requests: u32| (0..requests).filter_map(|_| failures.line()).collect::<Vec<_>>();
        assert_eq!(lines(1_000), [0; 20]);
        hand.advance(Duration::from_secs(3));
        assert_eq!(lines(1_000), [980]);
        hand.advance(Duration::from_mins(1));
        let next = lines(1_000);
        assert_eq!((next.len(), next[0], next[1]), (20, 999, 0));
    }
}
