//! The one source of time for freshness, back-off and timers alike.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::sync::oneshot;

/// The system's time, or one that a test moves by hand. Cheap to clone; clones tell the same time.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Manual(Arc<Mutex<Manual>>),
}

#[derive(Debug)]
struct Manual {
    start: Instant,
    start_utc: OffsetDateTime,
    passed: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

/// The hand that moves a manual clock.
#[derive(Debug, Clone)]
pub struct ClockHand(Arc<Mutex<Manual>>);

/// A limit that passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time limit passed")]
pub struct Elapsed;

impl Clock {
    /// The system's time.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that stands still until its hand is moved. For tests without real I/O: sockets keep real time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's time")]
    pub fn manual(start_utc: OffsetDateTime) -> (Self, ClockHand) {
        let manual = Arc::new(Mutex::new(Manual {
            start: Instant::now(),
            start_utc,
            passed: Duration::ZERO,
            sleepers: Vec::new(),
        }));
        (Self(Kind::Manual(Arc::clone(&manual))), ClockHand(manual))
    }

    /// Monotonic time, for measuring.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's time")]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::System => Instant::now(),
            Kind::Manual(manual) => {
                let manual = manual.lock();
                manual.start + manual.passed
            }
        }
    }

    /// Wall-clock time, for people and for other machines.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's time")]
    pub fn utc(&self) -> OffsetDateTime {
        match &self.0 {
            Kind::System => OffsetDateTime::now_utc(),
            Kind::Manual(manual) => {
                let manual = manual.lock();
                manual.start_utc + manual.passed
            }
        }
    }

    /// Waits. Cancelling the wait costs nothing.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Kind::System => tokio::time::sleep(duration).await,
            Kind::Manual(manual) => {
                let woken = {
                    let mut manual = manual.lock();
                    let (wake, woken) = oneshot::channel();
                    let due = manual.passed + duration;
                    manual.sleepers.push((due, wake));
                    woken
                };
                if !duration.is_zero() {
                    // An error means that the clock is gone: nothing will ever move it again.
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
            // Not by `select!`: a future that is always ready would use up the task's budget, and with it the timer's.
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
    /// How many wait for the time to move. Those who have given up waiting do not count.
    pub fn sleepers(&self) -> usize {
        self.0.lock().sleepers.iter().filter(|(_, wake)| !wake.is_closed()).count()
    }

    /// Moves the time on and wakes everybody whose wait is over.
    pub fn advance(&self, duration: Duration) {
        let mut manual = self.0.lock();
        manual.passed += duration;
        let now = manual.passed;
        let (due, waiting): (Vec<_>, _) =
            std::mem::take(&mut manual.sleepers).into_iter().partition(|(at, _)| *at <= now);
        manual.sleepers = waiting;
        drop(manual);
        for (_, wake) in due {
            // The sleeper may have been cancelled.
            let _ = wake.send(());
        }
    }

    /// Moves the time on to the next moment at which somebody's wait is over, by `limit` at most, and wakes them.
    pub fn advance_to_next(&self, limit: Duration) {
        let next = {
            let mut manual = self.0.lock();
            manual.sleepers.retain(|(_, wake)| !wake.is_closed());
            let passed = manual.passed;
            manual.sleepers.iter().map(|(due, _)| due.saturating_sub(passed)).min()
        };
        self.advance(next.map_or(limit, |next| next.min(limit)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_limit_ends_a_future_that_never_lets_the_timer_have_a_turn() {
        let busy = async {
            loop {
                tokio::task::coop::consume_budget().await;
            }
        };
        assert_eq!(Clock::system().timeout(Duration::from_millis(20), busy).await, Err::<(), _>(Elapsed));
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_exactly_those_whose_wait_is_over() {
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
