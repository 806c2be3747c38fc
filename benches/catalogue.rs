//! Times queries of the catalogue by its size: `cargo bench --bench catalogue`.
//!
//! `MODELS_DEV_JSON` may name a models.dev `api.json`; its models then replace the builtin ones.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark, not the server")]

#[path = "support/bodies.rs"]
mod bodies;
#[path = "support/catalogues.rs"]
mod catalogues;
#[path = "support/pairs.rs"]
mod pairs;

use std::hint::black_box;
use std::time::Duration;

use chatchonk::domain::health::ProviderHealth;
use chatchonk::domain::model::{Capability, ModelStatus};
use chatchonk::domain::query::Facets;
use chatchonk::domain::query::ModelQuery;
use chatchonk::domain::search::SearchIndex;
use chatchonk::domain::snapshot::{LeftOut, Snapshot};
use criterion::{BenchmarkId, Criterion};

const SIZES: [usize; 3] = [120, 5_276, 50_000];

/// A query, and the time that it may take on the second and the third size.
struct Case {
    name: &'static str,
    query: ModelQuery,
    facets: bool,
    limits: [Duration; 2],
}

impl Case {
    fn run(&self, snapshot: &Snapshot, health: &ProviderHealth) {
        let matches = self.query.run(snapshot, health);
        if self.facets {
            black_box(Facets::count(&matches));
        }
        black_box(matches);
    }
}

fn cases() -> Vec<Case> {
    let list = |name, query| Case {
        name,
        query,
        facets: true,
        limits: [Duration::from_micros(1_500), Duration::from_millis(15)],
    };
    let search = |name, text: &str| Case {
        name,
        query: ModelQuery { q: Some(text.parse().unwrap()), ..ModelQuery::default() },
        facets: false,
        limits: [Duration::from_millis(5), Duration::from_millis(50)],
    };
    let sorted = |sort: &str| ModelQuery { sort: Some(sort.parse().unwrap()), ..ModelQuery::default() };
    vec![
        list("everything with facets", ModelQuery::default()),
        list("everything by name with facets", sorted("name")),
        list("everything by price with facets", sorted("-price")),
        list(
            "filtered by price with facets",
            ModelQuery {
                capability: vec![Capability::Tools, Capability::Reasoning],
                status: vec![ModelStatus::Active, ModelStatus::Preview],
                task: vec!["summarization".parse().unwrap()],
                min_context: Some(32_000),
                max_input_price: Some("10".parse().unwrap()),
                ..sorted("price")
            },
        ),
        search("search for one word", "gpt"),
        search("search for a long word with a typo", "embeding"),
        search("search for two words with typos", "claud sonet"),
        search("search for four words", "qwen3 coder instruct turbo"),
    ]
}

fn main() {
    let (health, cases) = (ProviderHealth::default(), cases());
    let snapshots = SIZES.map(catalogues::of);
    let mut criterion = Criterion::default().configure_from_args();
    for case in &cases {
        let mut group = criterion.benchmark_group(case.name);
        for snapshot in &snapshots {
            let size = BenchmarkId::from_parameter(snapshot.models().len());
            group.bench_function(size, |b| b.iter(|| case.run(snapshot, &health)));
        }
        group.finish();
    }
    bodies::bench(&mut criterion, SIZES);
    table(&cases, &snapshots, &health);
    for (what, make) in [
        ("making the snapshot", building as fn(&Snapshot) -> Duration),
        ("making its search index", indexing),
    ] {
        let [small, middle, large] =
            pairs::medians(snapshots.each_ref().map(|of| move || make(of)).each_mut().map(|f| f as _));
        println!("| {what} | {small:.1?} | {middle:.1?} | {large:.1?} | |");
    }
}

/// Times building the search index, which the first search of a snapshot waits for.
fn indexing(of: &Snapshot) -> Duration {
    pairs::time_of(1, || SearchIndex::build(of.models()))
}

/// Times building a snapshot of the rows of another.
fn building(of: &Snapshot) -> Duration {
    let rows = (of.providers().to_vec(), of.tasks().to_vec(), of.models().to_vec());
    let mut rows = Some(rows);
    pairs::time_of(1, || {
        rows.take()
            .map(|(providers, tasks, models)| Snapshot::build(providers, tasks, models, LeftOut::default()))
    })
}

/// Prints the medians by size, and their growth next to that of `n log n`.
#[expect(clippy::cast_precision_loss, reason = "sizes are small")]
fn table(cases: &[Case], [small, middle, large]: &[Snapshot; 3], health: &ProviderHealth) {
    let n_log_n = |count: usize| count as f64 * (count as f64).ln();
    let bound = n_log_n(large.models().len()) / n_log_n(middle.models().len());
    println!(
        "| question | {} | {} | {} | growth of the last, n log n is {bound:.1} |",
        SIZES[0], SIZES[1], SIZES[2]
    );
    println!("| --- | --- | --- | --- | --- |");
    for case in cases {
        let [small, middle, large] = pairs::medians([
            &mut || pairs::time_of(50, || case.run(small, health)),
            &mut || pairs::time_of(5, || case.run(middle, health)),
            &mut || pairs::time_of(1, || case.run(large, health)),
        ]);
        let growth = large.as_secs_f64() / middle.as_secs_f64();
        let late = if middle > case.limits[0] || large > case.limits[1] { " (too slow)" } else { "" };
        println!("| {} | {small:.1?} | {middle:.1?} | {large:.1?} | {growth:.1}{late} |", case.name);
    }
}
