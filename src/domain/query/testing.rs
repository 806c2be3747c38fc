//! Small catalogues and queries with overlapping values, for property tests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::{ModelQuery, Sort};
use crate::domain::closed::UnknownName;
use crate::domain::health::ProviderHealth;
use crate::domain::id::{ProviderId, TaskId};
use crate::domain::model::{Capability, Kind, Modality, Model, ModelStatus};
use crate::domain::price::Pricing;
use crate::domain::provider::{Provider, ProviderStatus};
use crate::domain::snapshot::{LeftOut, Snapshot};
use crate::domain::testing::SEED;

const PROVIDERS: [&str; 3] = ["anthropic", "mistral", "openai"];
const TASKS: [&str; 3] = ["chat", "planning", "translation"];
const PRICES: [&str; 6] = ["0", "0.5", "1", "5", "19.99", "20"];
const NAMES: [&str; 5] = ["gpt-4o", "gpt-5-mini", "Large 3", "sonnet", "é\u{1F600}"];
const TEXTS: [&str; 6] = ["gpt", "gpt4o", "sonet", "large 3", "mini", "---"];

fn parsed<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

fn pricing() -> impl Strategy<Value = Pricing> {
    let price = || option::of(select(&PRICES[..]).prop_map(parsed));
    (price(), price()).prop_map(|(input, output)| Pricing { input, output, ..Pricing::default() })
}

/// Generates a model; `models` sets its id.
fn model() -> impl Strategy<Value = Model> {
    let template = SEED.models[0].clone();
    let date = select(vec!["2025-01", "2025-01-15", "2026-03-01"]).prop_map(parsed);
    let closed = (
        select(Kind::ALL),
        select(ModelStatus::ALL),
        subsequence(Capability::ALL, 0..=5),
        subsequence(Modality::ALL, 0..=3),
        subsequence(Modality::ALL, 0..=3),
        subsequence(&TASKS[..], 0..=3),
    );
    let open = (
        select(&PROVIDERS[..]),
        select(&NAMES[..]),
        option::of(select(vec![0_u32, 8_192, 128_000])),
        option::of(date),
        option::of(pricing()),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        any::<bool>(),
    );
    (closed, open).prop_map(move |(closed, open)| {
        let (kind, status, capabilities, input_modalities, output_modalities, tasks) = closed;
        let (provider, name, context_length, release_date, pricing, is_free, open_weights, enabled) = open;
        Model {
            provider: parsed(provider),
            name: name.to_owned(),
            kind,
            status,
            enabled,
            capabilities,
            input_modalities,
            output_modalities,
            tasks: tasks.into_iter().map(parsed).collect(),
            context_length,
            release_date,
            pricing,
            is_free,
            open_weights,
            ..template.clone()
        }
    })
}

/// Generates models with ids unique across prefixes.
pub(crate) fn any_models(prefix: &'static str) -> impl Strategy<Value = Vec<Model>> {
    vec(model(), 0..40).prop_map(move |mut models| {
        for (number, model) in models.iter_mut().enumerate() {
            // Shuffles ids relative to models.
            let spread = number * 7 % 41;
            model.id = parsed(&format!("{}/{prefix}{spread}", model.provider));
        }
        models
    })
}

/// Builds a snapshot in which `mistral` is disabled.
pub(crate) fn snapshot_of(models: Vec<Model>) -> Snapshot {
    let providers = SEED
        .providers
        .iter()
        .cloned()
        .map(|provider| Provider { enabled: provider.id.as_str() != "mistral", ..provider });
    let (snapshot, rejected) =
        Snapshot::build(providers.collect(), SEED.tasks.clone(), models, LeftOut::default());
    assert_eq!(rejected, []);
    snapshot
}

pub(crate) fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    any_models("m").prop_map(snapshot_of)
}

pub(crate) fn any_health() -> impl Strategy<Value = ProviderHealth> {
    let status = option::of(select(ProviderStatus::ALL));
    vec(status, PROVIDERS.len()).prop_map(|statuses| {
        let known = PROVIDERS.into_iter().zip(statuses);
        known.filter_map(|(id, status)| Some((parsed::<ProviderId>(id), status?))).collect()
    })
}

pub(crate) fn any_sort() -> impl Strategy<Value = Sort> {
    select(Sort::NAMES).prop_map(|name| name.parse().map_err(|e: UnknownName| e.given).unwrap())
}

/// Generates a query with at most three filters, so that many have matches.
pub(crate) fn any_query() -> impl Strategy<Value = ModelQuery> {
    let lists = (
        subsequence(&PROVIDERS[..], 1..=2),
        subsequence(Capability::ALL, 1..=2),
        subsequence(Modality::ALL, 1..=2),
        subsequence(&TASKS[..], 1..=2),
        subsequence(Kind::ALL, 1..=4),
        subsequence(ModelStatus::ALL, 1..=4),
        vec((select(&PROVIDERS[..]), 0..40_usize), 1..30),
    );
    let price = || select(&PRICES[..]).prop_map(parsed);
    let single =
        (select(vec![0_u32, 8_192, 100_000]), price(), price(), any::<[bool; 3]>(), select(&TEXTS[..]));
    let given = vec(any::<Index>(), 0..=3);
    (lists, single, option::of(any_sort()), given).prop_map(|(lists, single, sort, given)| {
        let (provider, capability, modality, task, kind, status, ids) = lists;
        let (min_context, max_input_price, max_output_price, [free, open_weights, enabled], q) = single;
        let mut query = ModelQuery { sort, ..ModelQuery::default() };
        for parameter in given {
            match parameter.index(16) {
                0 => query.provider = provider.iter().copied().map(parsed).collect(),
                1 => query.capability.clone_from(&capability),
                2 => query.input_modality.clone_from(&modality),
                3 => query.output_modality.clone_from(&modality),
                4 => query.task = task.iter().copied().map(parsed::<TaskId>).collect(),
                5 => query.kind.clone_from(&kind),
                6 => query.status.clone_from(&status),
                7 => {
                    let ids = ids.iter().map(|(p, n)| parsed(&format!("{p}/m{n}")));
                    query.ids = ids.collect();
                }
                8 => query.min_context = Some(min_context),
                9 => query.max_input_price = Some(max_input_price),
                10 => query.max_output_price = Some(max_output_price),
                11 => query.free = Some(free),
                12 => query.open_weights = Some(open_weights),
                13 => query.enabled = Some(enabled),
                14 => query.healthy_only = true,
                _ => query.q = Some(parsed(q)),
            }
        }
        query
    })
}
