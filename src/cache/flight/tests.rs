//! Every interleaving of callers, loads and edits, by model checking.

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::*;
use crate::clock::Clock;

/// A load whose value some callers wait for.
type Load = Arc<(Mutex<Option<u64>>, Condvar)>;

/// One key: its loads, its value in memory, what is known of it, and how many loads there were.
struct Key {
    flights: Flights<Load>,
    held: u64,
    fence: u64,
    loads: u32,
}

/// A cache of one key in front of an origin whose value is its version.
struct World {
    key: Mutex<Key>,
    origin: AtomicU64,
}

impl World {
    fn new() -> Arc<Self> {
        let key = Key { flights: Flights::default(), held: 0, fence: 1, loads: 0 };
        Arc::new(Self { key: Mutex::new(key), origin: AtomicU64::new(1) })
    }

    /// Changes the value, then announces it.
    fn edit(&self) {
        let version = self.origin.fetch_add(1, Ordering::SeqCst) + 1;
        let mut key = self.key.lock().unwrap();
        key.fence = key.fence.max(version);
    }

    /// Reads as a caller who has found nothing fresh in memory, and flies what it has to start.
    fn read(&self) {
        let (wanted, joined) = {
            let mut key = self.key.lock().unwrap();
            if key.held >= key.fence {
                return;
            }
            let known = known(key.fence);
            (key.fence, key.flights.join(&known, Load::default))
        };
        let load = match joined {
            Joined::Shared(load) => load,
            Joined::Started(id, load) => {
                self.fly(id, &load);
                load
            }
        };
        let (value, landed) = &*load;
        let mut value = value.lock().unwrap();
        while value.is_none() {
            value = landed.wait(value).unwrap();
        }
        assert!(value.unwrap() >= wanted, "a caller got {value:?}, and knew of {wanted}");
    }

    /// Runs a flight to its end, and then the one that waited for it.
    fn fly(&self, id: u64, load: &Load) {
        {
            let mut key = self.key.lock().unwrap();
            let known = known(key.fence);
            key.flights.mark_loading(id, &known);
            key.loads += 1;
            assert!(key.flights.flying.len() <= MAX_FLIGHTS);
        }
        let version = self.origin.load(Ordering::SeqCst);
        {
            // As the race does, which reads the version beside the load.
            let mut key = self.key.lock().unwrap();
            let known = known(key.fence);
            key.flights.record_known(id, &known);
        }
        let next = {
            let mut key = self.key.lock().unwrap();
            key.held = key.held.max(version);
            key.fence = key.fence.max(version);
            let known = known(key.fence);
            key.flights.land(id, &known).next
        };
        *load.0.lock().unwrap() = Some(version);
        load.1.notify_all();
        if let Some((id, load)) = next {
            self.fly(id, &load);
        }
    }

    /// Whether all loads have landed, and how many there were.
    fn ends_with(&self, loads: impl Fn(u32) -> bool) {
        let key = self.key.lock().unwrap();
        assert!(!key.flights.is_flying() && key.flights.next.is_none());
        assert!(loads(key.loads), "{} loads", key.loads);
    }
}

fn known(fence: u64) -> Known {
    Known { fence, ..Known::nothing(Clock::system().now()) }
}

fn spawn(world: &Arc<World>, act: impl FnOnce(&World) + 'static) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || act(&world))
}

/// Runs every interleaving of at most four preemptions, which finds most faults
/// (<https://www.microsoft.com/en-us/research/publication/iterative-context-bounding-for-systematic-testing-of-multithreaded-programs/>).
fn check(interleaving: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(interleaving);
}

#[test]
fn callers_who_know_the_same_share_one_load() {
    check(|| {
        let world = World::new();
        let others = [spawn(&world, World::read), spawn(&world, World::read)];
        world.read();
        for other in others {
            other.join().unwrap();
        }
        world.ends_with(|loads| loads == 1);
    });
}

#[test]
fn a_caller_never_gets_a_value_older_than_it_knows_of() {
    check(|| {
        let world = World::new();
        let others = [
            spawn(&world, World::read),
            spawn(&world, |world| {
                world.edit();
                world.read();
            }),
        ];
        world.read();
        for other in others {
            other.join().unwrap();
        }
        world.ends_with(|loads| (1..=2).contains(&loads));
    });
}

#[test]
fn a_load_that_waits_for_another_starts_however_they_end() {
    check(|| {
        let world = World::new();
        let begin = || {
            let mut key = world.key.lock().unwrap();
            let known = known(key.fence);
            match key.flights.join(&known, Load::default) {
                Joined::Started(id, load) => (id, load),
                Joined::Shared(_) => panic!("a flight serves a caller who knows more"),
            }
        };
        let first = begin();
        world.edit();
        let second = begin();
        world.edit();
        let others = [
            spawn(&world, move |world| world.fly(first.0, &first.1)),
            spawn(&world, move |world| world.fly(second.0, &second.1)),
        ];
        world.read();
        for other in others {
            other.join().unwrap();
        }
        world.ends_with(|loads| (2..=3).contains(&loads));
    });
}
