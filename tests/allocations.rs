//! Counts the allocations of a read. A separate binary, since counting needs its own allocator.
#![expect(clippy::unwrap_used, reason = "clippy spares test functions only, not their helpers")]

#[path = "../benches/support/database.rs"]
mod database;
#[path = "../benches/support/hits.rs"]
mod hits;

use actix_web::http::{Method, StatusCode};
use allocation_counter::{AllocationInfo, measure};
use chatchonk::clock::Clock;
use chatchonk::domain::model::Model;
use chatchonk::domain::seed::Seed;
use chatchonk::domain::snapshot::{LeftOut, Snapshot};
use chatchonk::http::{Requests, Route};
use tokio::runtime::{self, Runtime};

use database::Database;

/// Enough to include occasional work of a cache, such as maintaining its order of use.
const READS: u32 = 10_000;

fn runtime() -> Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Returns what this thread allocates while it creates and runs `READS` of these futures.
fn allocated<F: Future>(runtime: &Runtime, mut read: impl FnMut() -> F) -> AllocationInfo {
    let mut reads = |count| {
        runtime.block_on(async {
            for _ in 0..count {
                read().await;
            }
        });
    };
    // The first round excludes one-time allocations, such as those of a thread.
    reads(READS);
    measure(|| reads(READS))
}

#[test]
fn a_hit_of_the_cache_allocates_nothing() {
    let (runtime, key) = (runtime(), "key".to_owned());
    let cache = runtime.block_on(hits::cache(&key));
    let info = allocated(&runtime, || cache.read(&key));
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
    assert_eq!(cache.statistics().memory, u64::from(2 * READS), "every read was a hit");
}

#[test]
fn a_hit_of_the_catalogue_allocates_nothing() {
    let runtime = runtime();
    let database = runtime.block_on(Database::start());
    let catalogue = runtime.block_on(hits::catalogue(database.store.clone()));
    let info = allocated(&runtime, || catalogue.read());
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
    assert_eq!(catalogue.statistics().memory, u64::from(2 * READS), "every read was a hit");
    runtime.block_on(database.stop());
}

#[test]
fn the_weight_of_a_catalogue_is_what_it_allocates() {
    let models = Seed::builtin().unwrap().models;
    for copies in [1, 50] {
        let copy = |(at, model): (usize, &Model)| Model {
            id: format!("{}-{at}", model.id).parse().unwrap(),
            name: format!("{} {at}", model.name),
            ..model.clone()
        };
        let seed = Seed::builtin().unwrap();
        let models = (0..copies).flat_map(|_| &models).enumerate().map(copy).collect();
        let json =
            serde_json::to_string(&Snapshot::build(seed.providers, seed.tasks, models, LeftOut::default()).0)
                .unwrap();
        let mut read: Option<Snapshot> = None;
        let allocated = measure(|| read = serde_json::from_str(&json).ok());
        let snapshot = read.unwrap();
        assert_eq!(snapshot.models().len(), 120 * copies);
        let allocated = usize::try_from(allocated.bytes_current).unwrap() + size_of::<Snapshot>();
        let weighed = snapshot.bytes();
        assert!(weighed.abs_diff(allocated) * 50 <= allocated, "{weighed} instead of {allocated} bytes");
    }
}

#[test]
fn counting_a_request_allocates_nothing() {
    let requests = Requests::new(Clock::system());
    let (worker, route) = (requests.worker(), Route("/api/models"));
    let info = allocated(&runtime(), || {
        worker.begin().answered(Some(route), &Method::GET, StatusCode::OK);
        worker.begin().answered(None, &Method::OPTIONS, StatusCode::NO_CONTENT);
        std::future::ready(())
    });
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
}
