//! Times writing and compressing the list of all models.

use std::sync::Arc;

use actix_web::http::header::HeaderValue;
use chatchonk::cache::Scopes;
use chatchonk::catalogue::{Catalogue, CatalogueRead};
use chatchonk::clock::Clock;
use chatchonk::http::{Editions, list_of_models};
use chatchonk::provider_health::ProviderHealthBoard;
use chatchonk::status::{DatabaseKind, Status};
use criterion::{BatchSize, BenchmarkId, Criterion};
use tokio::runtime::{Builder, Handle, Runtime};

use super::catalogues;

type Shown = (CatalogueRead, ProviderHealthBoard);

/// Times the list of each size, plain and then compressed, each time in a new edition.
pub fn bench(criterion: &mut Criterion, sizes: [usize; 3]) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("the body of the whole list");
    group.sample_size(10);
    for size in sizes {
        let shown = (runtime.block_on(read(size)), ProviderHealthBoard::default());
        for (what, before, coding) in [
            ("plain", None, "identity"),
            ("gzip of that", Some("identity"), "gzip"),
            ("br of that", Some("identity"), "br"),
        ] {
            group.bench_function(BenchmarkId::new(what, size), |b| {
                b.to_async(&runtime).iter_batched(
                    || edition(&runtime, &shown, before),
                    |editions| list(editions, &shown, coding),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// Reads a catalogue without a database, which serves its builtin snapshot.
async fn read(size: usize) -> CatalogueRead {
    let clock = Clock::system();
    let status = Arc::new(Status::new(clock.clone(), DatabaseKind::Embedded));
    let scopes = Arc::new(Scopes::new(clock.clone()));
    let snapshot = catalogues::of(size);
    let catalogue = Catalogue::new(snapshot, None, Arc::clone(&status), scopes, clock, Handle::current());
    status.decide();
    catalogue.read().await.unwrap()
}

/// An edition without bodies, or with one.
fn edition(runtime: &Runtime, shown: &Shown, with: Option<&'static str>) -> Editions {
    match with {
        Some(coding) => std::thread::scope(|scope| {
            // Criterion prepares on a thread of the runtime, which must not block.
            scope.spawn(|| runtime.block_on(list(Editions::default(), shown, coding))).join().unwrap()
        }),
        None => Editions::default(),
    }
}

async fn list(editions: Editions, (read, health): &Shown, coding: &'static str) -> Editions {
    list_of_models(&editions, read, health, HeaderValue::from_static(coding)).await.unwrap();
    editions
}
