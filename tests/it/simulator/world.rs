//! What all simulated parts share: one time, one source of chance, and the list of broken promises.

use std::ops::RangeBounds;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chatchonk::clock::{Clock, ClockHand};
use fastrand::Rng;
use time::OffsetDateTime;

use super::database::Database;
use super::namespace::Namespace;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);

/// A source of chance. Parts that draw at the same moment have separate ones, since the order in which tasks wake up is
/// not part of the seed.
pub(super) struct Dice(Mutex<Rng>);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(Rng::with_seed(seed)))
    }

    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap())
    }

    pub(super) fn one_in(&self, n: u32) -> bool {
        self.draw(|rng| rng.u32(0..n) == 0)
    }

    /// Returns a duration in milliseconds with a random fraction, so no two events happen at the same moment.
    pub(super) fn milliseconds(&self, range: impl RangeBounds<u64>) -> Duration {
        self.draw(|rng| {
            let whole = Duration::from_millis(rng.u64(range));
            whole + Duration::from_nanos(rng.u64(50_000..950_000))
        })
    }
}

/// One history's world. One seed decides everything random, and all parts share one time.
pub(super) struct World {
    pub clock: Clock,
    hand: ClockHand,
    began: Instant,
    /// For the decisions of the history itself.
    pub dice: Dice,
    seed: u64,
    pub database: Database,
    pub namespace: Namespace,
    started: AtomicUsize,
    broken: Mutex<Option<String>>,
}

impl World {
    pub(super) fn new(seed: u64, began: OffsetDateTime) -> Arc<Self> {
        let (clock, hand) = Clock::manual(began);
        Arc::new(Self {
            began: clock.now(),
            dice: Dice::new(seed),
            seed,
            database: Database::new(&clock),
            namespace: Namespace::default(),
            started: AtomicUsize::new(0),
            broken: Mutex::default(),
            clock,
            hand,
        })
    }

    /// Returns the time since the history began.
    pub(super) fn now(&self) -> Duration {
        self.clock.now() - self.began
    }

    /// Returns that moment on the cache's clock.
    pub(super) fn instant(&self, at: Duration) -> Instant {
        self.began + at
    }

    /// Returns the number of a new process.
    pub(super) fn starts(&self) -> usize {
        self.started.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns separate dice for a part of the world.
    pub(super) fn dice_of(&self, part: &str) -> Dice {
        Dice::new(xxhash_rust::xxh3::xxh3_64_with_seed(part.as_bytes(), self.seed))
    }

    pub(super) async fn sleep(&self, time: Duration) {
        self.clock.sleep(time).await;
    }

    /// Advances the time, one awaited moment after the other.
    pub(super) async fn pass(&self, time: Duration) {
        all_tasks_wait().await;
        let until = self.now() + time;
        loop {
            let rest = until.saturating_sub(self.now());
            self.hand.advance_to_next(rest);
            all_tasks_wait().await;
            if rest.is_zero() {
                return;
            }
        }
    }

    /// Records a broken promise; the first one counts.
    pub(super) fn breaks(&self, promise: &str, how: &str) {
        let at = self.now();
        self.broken.lock().unwrap().get_or_insert_with(|| format!("{promise} broken at {at:?}: {how}"));
    }

    pub(super) fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap().clone()
    }
}

/// Lets every task run until all of them wait for the clock. On a runtime of one thread that rarely polls for external
/// events ([`super::runtime`]), one turn runs all ready tasks and those that they wake.
pub(super) async fn all_tasks_wait() {
    tokio::task::yield_now().await;
}
