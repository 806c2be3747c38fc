use std::collections::BTreeSet;

use proptest::prelude::*;

use super::testing::{any_health, any_models, any_query, any_snapshot, any_sort, snapshot_of};
use super::*;
use crate::domain::health::ProviderHealth;
use crate::domain::model::Model;
use crate::domain::order::SortKey;
use crate::domain::provider::ProviderStatus;
use crate::domain::snapshot::Snapshot;
use crate::domain::testing::SEED;

/// A naive implementation of the contract.
fn should_match(query: &ModelQuery, snapshot: &Snapshot, health: &ProviderHealth, m: &Model) -> bool {
    let provider = snapshot.provider(m.provider.as_str()).unwrap();
    let shown = m.enabled && provider.enabled;
    let input = m.pricing.as_ref().and_then(|p| p.input);
    let output = m.pricing.as_ref().and_then(|p| p.output);
    let searched = |q: &SearchText| {
        let at = snapshot.models().iter().position(|other| other.id == m.id);
        snapshot.search().rank(q)[at.unwrap()].is_some()
    };
    let usable = [ProviderStatus::Healthy, ProviderStatus::Unknown];
    let superset = |has: &[Modality], wants: &[Modality]| {
        BTreeSet::from_iter(has).is_superset(&BTreeSet::from_iter(wants))
    };
    (query.provider.is_empty() || query.provider.contains(&m.provider))
        && query.capability.iter().all(|c| m.capabilities.contains(c))
        && superset(&m.input_modalities, &query.input_modality)
        && superset(&m.output_modalities, &query.output_modality)
        && query.task.iter().all(|t| m.tasks.contains(t))
        && (query.kind.is_empty() || query.kind.contains(&m.kind))
        && (query.status.contains(&m.status) || (query.status.is_empty() && m.status != ModelStatus::Retired))
        && (query.ids.is_empty() || query.ids.contains(&m.id))
        && (query.min_context).is_none_or(|min| m.context_length.is_some_and(|c| c >= min))
        && (query.max_input_price).is_none_or(|max| input.is_some_and(|price| price <= max))
        && (query.max_output_price).is_none_or(|max| output.is_some_and(|price| price <= max))
        && (query.free).is_none_or(|free| m.is_free == Some(free))
        && (query.open_weights).is_none_or(|open| m.open_weights == Some(open))
        && shown == query.enabled.unwrap_or(true)
        && (!query.healthy_only || usable.contains(&health.status_of(m.provider.as_str())))
        && query.q.as_ref().is_none_or(searched)
}

/// Returns the query without a parameter.
fn without(query: &ModelQuery, parameter: Parameter) -> ModelQuery {
    let mut query = query.clone();
    let none = ModelQuery::default();
    match parameter {
        Parameter::Provider => query.provider = none.provider,
        Parameter::Capability => query.capability = none.capability,
        Parameter::InputModality => query.input_modality = none.input_modality,
        Parameter::OutputModality => query.output_modality = none.output_modality,
        Parameter::Task => query.task = none.task,
        Parameter::Kind => query.kind = none.kind,
        Parameter::Status => query.status = none.status,
        Parameter::Ids => query.ids = none.ids,
        Parameter::MinContext => query.min_context = None,
        Parameter::MaxInputPrice => query.max_input_price = None,
        Parameter::MaxOutputPrice => query.max_output_price = None,
        Parameter::Free => query.free = None,
        Parameter::OpenWeights => query.open_weights = None,
        Parameter::Enabled => query.enabled = None,
        Parameter::HealthyOnly => query.healthy_only = false,
        Parameter::Q => query.q = None,
    }
    query
}

fn ids<'s>(models: impl IntoIterator<Item = &'s Model>) -> Vec<&'s str> {
    models.into_iter().map(|model| model.id.as_str()).collect()
}

/// Returns every page in turn, cycling through the snapshots.
fn all_pages<'s>(query: &ModelQuery, snapshots: &[&'s Snapshot], limit: usize) -> Vec<&'s str> {
    let mut seen = Vec::new();
    let mut after = None;
    for snapshot in snapshots.iter().cycle() {
        let matches = query.run(snapshot, &ProviderHealth::default());
        let page = matches.page(after.as_ref(), Some(limit));
        seen.extend(ids(page.models));
        let Some(next) = page.next else { break };
        let cursor = Cursor::encode(&next, query);
        after = Some(Cursor::decode(cursor.as_str(), query).unwrap());
    }
    seen
}

#[test]
fn the_default_query_returns_the_listed_models_in_order() {
    let snapshot = SEED.clone().into_snapshot();
    let matches = ModelQuery::default().run(&snapshot, &ProviderHealth::default());
    let listed = snapshot.models().iter().filter(|m| snapshot.is_listed(m));
    assert_eq!(matches.len(), snapshot.listed());
    assert_eq!(ids(matches.models()), ids(listed));
    let whole = matches.page(None, None);
    assert_eq!((whole.models.len(), whole.next), (matches.len(), None));
}

#[test]
fn hints_name_the_parameter_whose_removal_gives_matches() {
    let snapshot = SEED.clone().into_snapshot();
    let health = ProviderHealth::default();
    let mut query = ModelQuery {
        provider: vec!["anthropic".parse().unwrap()],
        max_input_price: Some("0.01".parse().unwrap()),
        capability: vec![Capability::Tools],
        ..ModelQuery::default()
    };
    let hints = query.hints(&snapshot, &health);
    let json = serde_json::to_string(&hints).unwrap();
    assert_eq!(json, r#"[{"drop":"provider","matches":3},{"drop":"max_input_price","matches":12}]"#);
    query.max_input_price = None;
    assert_eq!(query.hints(&snapshot, &health), []);
}

#[test]
fn the_default_exclusion_of_retired_models_gives_no_hint() {
    let snapshot = SEED.clone().into_snapshot();
    let query = ModelQuery { ids: vec!["deepseek/deepseek-chat".parse().unwrap()], ..ModelQuery::default() };
    let hints = query.hints(&snapshot, &ProviderHealth::default());
    assert_eq!(hints.iter().map(|h| h.parameter).collect::<Vec<_>>(), [Parameter::Ids]);
}

proptest! {
    #[test]
    fn a_query_matches_its_naive_implementation(snapshot in any_snapshot(), query in any_query(), health in any_health()) {
        let matches = query.run(&snapshot, &health);
        let mut kept = ids(matches.models());
        let mut expected = ids(snapshot.models().iter().filter(|m| should_match(&query, &snapshot, &health, m)));
        kept.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(kept, expected);
    }

    #[test]
    fn a_hint_counts_the_matches_without_its_parameter(snapshot in any_snapshot(), query in any_query(), health in any_health()) {
        let mut expected = Vec::new();
        if query.run(&snapshot, &health).is_empty() {
            for &parameter in Parameter::ALL.iter().filter(|p| query.is_given(**p)) {
                let matches = without(&query, parameter).run(&snapshot, &health).len();
                if matches > 0 {
                    expected.push(Hint { parameter, matches });
                }
            }
        }
        prop_assert_eq!(query.hints(&snapshot, &health), expected);
    }

    #[test]
    fn equal_canonical_texts_give_equal_lists(snapshot in any_snapshot(), a in any_query(), b in any_query()) {
        let health = ProviderHealth::default();
        let [first, second] = [&a, &b].map(|query| query.run(&snapshot, &health));
        if a.canonical() == b.canonical() {
            prop_assert_eq!(ids(first.models()), ids(second.models()));
        }
    }

    #[test]
    fn lists_are_sorted_by_key_with_unknown_last_then_by_id(snapshot in any_snapshot(), sort in any_sort()) {
        let query = ModelQuery { sort: Some(sort), ..ModelQuery::default() };
        let matches = query.run(&snapshot, &ProviderHealth::default());
        let models: Vec<_> = matches.models().collect();
        for pair in models.windows(2) {
            let price = |m: &Model, of: fn(&crate::domain::price::Pricing) -> Option<Price>| {
                m.pricing.as_ref().and_then(of).map(|p| (p.amount() * rust_decimal::Decimal::from(100)).try_into().unwrap())
            };
            // Keys as numbers or text; `None` is unknown.
            let keys = |m: &Model| -> Vec<Option<Result<u64, String>>> { match sort.key {
                SortKey::Name => vec![Some(Err(m.name.clone()))],
                SortKey::Provider => vec![Some(Err(m.provider.to_string())), Some(Err(m.name.clone()))],
                SortKey::Context => vec![m.context_length.map(|c| Ok(c.into()))],
                SortKey::Release => vec![m.release_date.map(|d| Err(d.to_string()))],
                SortKey::Price => vec![price(m, |p| p.input).map(Ok), price(m, |p| p.output).map(Ok)],
            }};
            let (before, after) = (keys(pair[0]), keys(pair[1]));
            let Some((a, b)) = before.iter().zip(&after).find(|(a, b)| a != b) else {
                prop_assert!(pair[0].id < pair[1].id);
                continue;
            };
            match (a, b) {
                (Some(a), Some(b)) => prop_assert_eq!(a > b, sort.descending),
                _ => prop_assert!(b.is_none(), "unknown before known by {}", sort),
            }
        }
    }

    #[test]
    fn pages_of_any_size_show_each_match_once(snapshot in any_snapshot(), query in any_query(), limit in 1..50_usize) {
        let matches = query.run(&snapshot, &ProviderHealth::default());
        prop_assert_eq!(all_pages(&query, &[&snapshot], limit), ids(matches.models()));
    }

    #[test]
    fn pages_show_each_match_once_while_the_catalogue_changes(
        models in any_models("m"), others in any_models("n"), query in any_query(), limit in 1..10_usize,
    ) {
        let grown = snapshot_of(models.iter().cloned().chain(others).collect());
        let snapshot = snapshot_of(models);
        let seen = all_pages(&query, &[&snapshot, &grown], limit);
        let matches = query.run(&snapshot, &ProviderHealth::default());
        let stayed: Vec<_> = seen.iter().copied().filter(|id| snapshot.model(id).is_some()).collect();
        prop_assert_eq!(stayed, ids(matches.models()));
        prop_assert_eq!(BTreeSet::from_iter(&seen).len(), seen.len());
    }
}
