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

/// A source of chance. Whoever draws while others do at the same moment has one of his own: the order in which tasks
/// wake up in one moment is no part of the seed.
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

    /// A duration of so many milliseconds and a bit: no two things happen in one moment.
    pub(super) fn milliseconds(&self, range: impl RangeBounds<u64>) -> Duration {
        self.draw(|rng| {
            let whole = Duration::from_millis(rng.u64(range));
            whole + Duration::from_nanos(rng.u64(50_000..950_000))
        })
    }
}

/// One history's world. Everything by chance in it comes from one seed, and nothing else in it knows any other time.
pub(super) struct World {
    pub clock: Clock,
    hand: ClockHand,
    began: Instant,
    /// For what the history itself decides.
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

    /// Time since the history began.
    pub(super) fn now(&self) -> Duration {
        self.clock.now() - self.began
    }

    /// That moment by the clock of the cache.
    pub(super) fn instant(&self, at: Duration) -> Instant {
        self.began + at
    }

    /// The number of one more process.
    pub(super) fn starts(&self) -> usize {
        self.started.fetch_add(1, Ordering::Relaxed)
    }

    /// Dice of their own for a part of the world.
    pub(super) fn dice_of(&self, part: &str) -> Dice {
        Dice::new(xxhash_rust::xxh3::xxh3_64_with_seed(part.as_bytes(), self.seed))
    }

    pub(super) async fn sleep(&self, time: Duration) {
        self.clock.sleep(time).await;
    }

    /// Lets so much time pass, one awaited moment after the other.
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

    /// Notes a broken promise; the first one counts.
    pub(super) fn breaks(&self, promise: &str, how: &str) {
        let at = self.now();
        self.broken.lock().unwrap().get_or_insert_with(|| format!("{promise} broken at {at:?}: {how}"));
    }

    pub(super) fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap().clone()
    }
}

/// Lets every task run until all of them wait for the clock: on a runtime of one thread that looks for outside events
/// rarely ([`super::runtime`]) one turn runs all that are ready, and what these wake.
pub(super) async fn all_tasks_wait() {
    tokio::task::yield_now().await;
}
