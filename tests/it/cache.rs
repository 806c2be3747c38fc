//! The cache's promises, on a manual clock and an origin that a test holds, breaks and replaces.

mod failing;
mod families;
mod flights;
mod histories;
mod logging;
mod memory_kv;
mod origin;
mod reading;

use std::sync::Arc;
use std::time::Duration;

use chatchonk::cache::{CATALOGUE, Cache, Family, OnOriginFailure, Outcome, Read, ReadError, Scopes, Tier};
use chatchonk::clock::{Clock, ClockHand};
use chatchonk::kv_tier::SharedTier;
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use self::origin::{Data, Key, SCOPE, SimulatedOrigin};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// A cache, its origin, and the control of its clock.
struct Rig {
    cache: Cache<SimulatedOrigin>,
    origin: SimulatedOrigin,
    scopes: Arc<Scopes>,
    clock: Clock,
    hand: ClockHand,
}

/// A cache of the catalogue's family without its floor.
fn rig() -> Rig {
    Rig::of(CATALOGUE, false)
}

fn family(on_origin_failure: OnOriginFailure) -> Family {
    Family { on_origin_failure, ..CATALOGUE }
}

impl Rig {
    /// Call it on a runtime of one thread, where spawned tasks run only while the test waits.
    fn of(family: Family, floor: bool) -> Self {
        let floor = floor.then_some((&Key(0), Data { database: 0, version: 0 }));
        Self::on(family, SimulatedOrigin::default(), floor, None, Clock::manual(OffsetDateTime::UNIX_EPOCH))
    }

    fn on(
        family: Family,
        origin: SimulatedOrigin,
        floor: Option<(&Key, Data)>,
        shared: Option<SharedTier>,
        (clock, hand): (Clock, ClockHand),
    ) -> Self {
        let scopes = Arc::new(Scopes::new(clock.clone()));
        let cache = Cache::new(
            family,
            origin.clone(),
            floor,
            shared.map(|tier| Arc::new(tier) as Arc<dyn Tier>),
            Arc::clone(&scopes),
            clock.clone(),
            Handle::current(),
        );
        Self { cache, origin, scopes, clock, hand }
    }

    async fn read(&self) -> Result<Read<Data>, ReadError> {
        without_advance(self.cache.read(&Key(0))).await
    }

    /// Returns the outcome of a read and the version that it shows.
    async fn outcome(&self) -> (Outcome, u64) {
        let read = self.read().await.unwrap();
        assert_eq!(read.entry.value.version, read.entry.version, "value and version belong together");
        (read.outcome, read.entry.version)
    }

    /// Starts a read in its own task, which waits by the time this returns.
    async fn begin(&self) -> Begun {
        let cache = self.cache.clone();
        let read =
            tokio::spawn(
                async move { cache.read(&Key(0)).await.map(|read| (read.outcome, read.entry.version)) },
            );
        all_tasks_wait().await;
        Begun(read)
    }

    /// Advances the clock and lets every task react.
    async fn advance(&self, duration: Duration) {
        self.hand.advance(duration);
        all_tasks_wait().await;
    }

    /// Reads the versions, as the follower does after an announcement and every 10 s.
    fn catch_up(&self) {
        let versions = [(SCOPE.to_owned(), self.origin.version_now())].into();
        self.scopes.learn_versions(&versions, self.clock.now());
    }
}

/// A read under way.
struct Begun(JoinHandle<Result<(Outcome, u64), ReadError>>);

impl Begun {
    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Cancels its caller.
    fn abort(&self) {
        self.0.abort();
    }

    async fn end(self) -> Result<(Outcome, u64), ReadError> {
        without_advance(self.0).await.unwrap()
    }
}

/// Awaits a future that needs no advance of the cache's clock. The real-time limit catches a future that never ends.
async fn without_advance<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(10 * SECOND, future).await.expect("it waits for the clock")
}

/// Lets every other task run until it waits for the clock or a gate. Exact on a runtime of one thread: each turn runs
/// all tasks that are ready, and no chain of wake-ups is as long.
async fn all_tasks_wait() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
