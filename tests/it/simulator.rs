//! The whole cache in a simulated world: several instances, a database, and a KV in any state. Each history is random
//! with its own seed, and every promise is checked after every step.
//!
//! `SIMULATE_SEED=7 cargo test --test it simulator` replays one history; `SIMULATE_HISTORIES=100000` runs more of them.

mod checks;
mod damage;
mod data;
mod database;
mod days;
mod following;
mod history;
mod instance;
mod knowledge;
mod ledger;
mod namespace;
mod origin;
mod steps;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::{Builder, Runtime};

use self::data::Subject;

/// Everything that can be read.
const SUBJECTS: [Subject; 5] =
    [Subject::Catalogue, Subject::User(0), Subject::User(1), Subject::Upstream(0), Subject::Upstream(1)];

/// The default number of histories.
const HISTORIES: u64 = 2_000;

/// A single thread that polls for external events so rarely that one turn runs all ready tasks. There are no external
/// events: no I/O, and no time but the world's.
fn runtime() -> Runtime {
    Builder::new_current_thread().event_interval(1_000_000).build().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "to run more of them manually")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn run(seed: u64) -> Result<(), String> {
    runtime().block_on(steps::run(seed))
}

#[test]
fn every_promise_holds_in_every_history() {
    if let Some(seed) = setting("SIMULATE_SEED") {
        run(seed).unwrap_or_else(|broken| panic!("{broken}"));
        return;
    }
    let histories = setting("SIMULATE_HISTORIES").unwrap_or(HISTORIES);
    let (next, failed) = (AtomicU64::new(0), Mutex::new(None::<(u64, String)>));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= histories || failed.lock().unwrap().is_some() {
                        return;
                    }
                    let ran = std::panic::catch_unwind(|| run(seed));
                    if let Err(broken) = ran.unwrap_or_else(|_| Err("it panicked".to_owned())) {
                        failed.lock().unwrap().get_or_insert((seed, broken));
                    }
                }
            });
        }
    });
    if let Some((seed, broken)) = failed.into_inner().unwrap() {
        panic!("{broken}\nreplay it: SIMULATE_SEED={seed} cargo test --test it simulator");
    }
}
