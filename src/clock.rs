//! The source of time for freshness, back-off and timers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::sync::oneshot;

/// The system's time, or a manual one for tests. Cheap to clone; clones share their time.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Manual(Arc<Mutex<Manual>>),
}

#[derive(Debug)]
struct Manual {
    now: Instant,
    utc: OffsetDateTime,
    /// When each sleeper is due.
    sleepers: Vec<(Instant, oneshot::Sender<()>)>,
}

/// Advances a manual clock.
#[derive(Debug, Clone)]
pub struct ClockHand(Arc<Mutex<Manual>>);

/// A time limit passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time limit passed")]
pub struct Elapsed;

impl Clock {
    /// Returns the system's clock.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// Creates a clock that only its hand advances. For tests without real I/O, because sockets use real time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's time")]
    pub fn manual(utc: OffsetDateTime) -> (Self, ClockHand) {
        let manual = Manual { now: Instant::now(), utc, sleepers: Vec::new() };
        let manual = Arc::new(Mutex::new(manual));
        (Self(Kind::Manual(Arc::clone(&manual))), ClockHand(manual))
    }

    /// Returns monotonic time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's time")]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::System => Instant::now(),
            Kind::Manual(manual) => manual.lock().now,
        }
    }

    /// Returns wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's time")]
    pub fn utc(&self) -> OffsetDateTime {
        match &self.0 {
            Kind::System => OffsetDateTime::now_utc(),
            Kind::Manual(manual) => manual.lock().utc,
        }
    }

    /// Waits. Cancel safe.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Kind::System => tokio::time::sleep(duration).await,
            Kind::Manual(manual) => {
                let woken = {
                    let mut manual = manual.lock();
                    let (wake, woken) = oneshot::channel();
                    let due = manual.now + duration;
                    manual.sleepers.push((due, wake));
                    woken
                };
                if !duration.is_zero() {
                    // The clock was dropped, so the wait would never end.
                    let _ = woken.await;
                }
            }
        }
    }

    /// Runs `future` for at most `limit`.
    ///
    /// # Errors
    /// [`Elapsed`] when the limit passes first; the future is dropped then.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        if let Kind::System = self.0 {
            // Not `select!`: a future that is always ready would use up the task's budget, and with it the timer's.
            return tokio::time::timeout(limit, future).await.map_err(|_| Elapsed);
        }
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep(limit) => Err(Elapsed),
        }
    }
}

impl ClockHand {
    /// Counts sleepers that have not been cancelled.
    pub fn sleepers(&self) -> usize {
        self.0.lock().sleepers.iter().filter(|(_, wake)| !wake.is_closed()).count()
    }

    /// Advances the time and wakes sleepers that are due.
    pub fn advance(&self, duration: Duration) {
        let mut manual = self.0.lock();
        manual.now += duration;
        manual.utc += duration;
        let now = manual.now;
        let (due, waiting): (Vec<_>, _) =
            std::mem::take(&mut manual.sleepers).into_iter().partition(|(at, _)| *at <= now);
        manual.sleepers = waiting;
        drop(manual);
        for (_, wake) in due {
            // The sleeper may have been cancelled.
            let _ = wake.send(());
        }
    }

    /// Advances to the next sleeper that is due, by at most `limit`, and wakes it.
    pub fn advance_to_next(&self, limit: Duration) {
        let next = {
            let mut manual = self.0.lock();
            manual.sleepers.retain(|(_, wake)| !wake.is_closed());
            let now = manual.now;
            manual.sleepers.iter().map(|(due, _)| due.saturating_duration_since(now)).min()
        };
        self.advance(next.map_or(limit, |next| next.min(limit)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_limit_ends_a_future_that_is_always_ready() {
        let busy = async {
            loop {
                tokio::task::coop::consume_budget().await;
            }
        };
        assert_eq!(Clock::system().timeout(Duration::from_millis(20), busy).await, Err::<(), _>(Elapsed));
    }

    #[tokio::test]
    async fn manual_clock_wakes_only_sleepers_that_are_due() {
        let (clock, hand) = Clock::manual(OffsetDateTime::UNIX_EPOCH);
        let short = tokio::spawn({
            let clock = clock.clone();
            async move { clock.timeout(Duration::from_secs(1), std::future::pending::<()>()).await }
        });
        while hand.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        hand.advance_to_next(Duration::from_millis(999));
        assert_eq!(hand.sleepers(), 1);
        hand.advance_to_next(Duration::from_secs(9));
        assert_eq!(short.await.unwrap(), Err(Elapsed));
        assert_eq!(hand.sleepers(), 0);
        assert_eq!(clock.utc(), OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1));
    }
}
