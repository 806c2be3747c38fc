//! Reports that connections cannot be accepted, and that they can again. The HTTP library repeats its error with every
//! attempt for as long as the shortage lasts.

use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::telemetry;

/// Between two looks at the count of failures.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long no failure may occur before connections count as accepted again.
const CALM: Duration = Duration::from_mins(1);

/// Watches the count of this process. Runs until it is dropped.
pub(super) async fn watch(clock: Clock) {
    let mut intake = Intake { failures: telemetry::connection_errors().accept, failed_at: None };
    loop {
        clock.sleep(INTERVAL).await;
        match intake.observe(telemetry::connection_errors().accept, clock.now()) {
            Some(Change::Failing) => tracing::warn!(
                "connections cannot be accepted, mostly because no file descriptor is free; raise the hard limit of open files \
                 (`ulimit -Hn`), or find the client that holds the connections"
            ),
            Some(Change::Recovered) => tracing::info!("connections are accepted again"),
            None => {}
        }
    }
}

/// A change of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Failing,
    Recovered,
}

struct Intake {
    /// The count at the last look.
    failures: u64,
    /// When the last failure was seen; `None` while connections are accepted.
    failed_at: Option<Instant>,
}

impl Intake {
    fn observe(&mut self, failures: u64, now: Instant) -> Option<Change> {
        if failures != self.failures {
            self.failures = failures;
            return self.failed_at.replace(now).is_none().then_some(Change::Failing);
        }
        let is_over = |at: &mut Instant| now.saturating_duration_since(*at) >= CALM;
        self.failed_at.take_if(is_over).map(|_| Change::Recovered)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_shortage_is_reported_once_until_a_minute_passed_without() {
        let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
        let mut intake = Intake { failures: 7, failed_at: None };
        assert_eq!(intake.observe(7, clock.now()), None);
        assert_eq!(intake.observe(8, clock.now()), Some(Change::Failing));
        for failures in [9, 9, 10] {
            hand.advance(Duration::from_secs(40));
            assert_eq!(intake.observe(failures, clock.now()), None);
        }
        hand.advance(Duration::from_mins(1));
        assert_eq!(intake.observe(10, clock.now()), Some(Change::Recovered));
        assert_eq!(intake.observe(10, clock.now()), None);
        assert_eq!(intake.observe(11, clock.now()), Some(Change::Failing));
    }
}
