//! Times a hit in memory and the same catalogue read by SQL: `cargo bench --bench cache`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark, not the server")]

#[path = "support/database.rs"]
mod database;
#[path = "support/hits.rs"]
mod hits;
#[path = "support/pairs.rs"]
mod pairs;

use std::hint::black_box;

use criterion::Criterion;
use tokio::runtime;

use database::Database;

const KEY: &str = "key";

fn main() {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (key, database) = (KEY.to_owned(), runtime.block_on(Database::start()));
    let store = &database.store;
    let cache = runtime.block_on(hits::cache(&key));
    let catalogue = runtime.block_on(hits::catalogue(store.clone()));

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("read");
    group.bench_function("a hit of the cache", |b| b.to_async(&runtime).iter(|| cache.read(&key)));
    group.bench_function("a hit of the catalogue", |b| b.to_async(&runtime).iter(|| catalogue.read()));
    group.bench_function("the catalogue by SQL", |b| b.to_async(&runtime).iter(|| store.load_catalogue()));
    group.finish();

    let reads = 200_000;
    let [hit, load] = pairs::medians([
        &mut || {
            let all = pairs::time_of(1, || {
                runtime.block_on(async {
                    for _ in 0..reads {
                        black_box(catalogue.read().await).unwrap();
                    }
                });
            });
            all / reads
        },
        &mut || pairs::time_of(20, || runtime.block_on(store.load_catalogue()).unwrap()),
    ]);
    println!(
        "in turn: a hit {hit:?}, by SQL {load:?}; a hit is {:.0} times faster",
        load.as_secs_f64() / hit.as_secs_f64()
    );
    runtime.block_on(database.stop());
}
