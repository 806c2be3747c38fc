//! Facets: how many matches have each value.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::matches::Matches;
use crate::domain::closed::closed_enum;
use crate::domain::id::TaskId;
use crate::domain::model::{Capability, Kind, Modality, ModelStatus};
use crate::domain::price_band::PriceBand;

closed_enum!(
    /// A yes-or-no fact that may be unknown.
    Known {
        /// Yes.
        True = "true",
        /// No.
        False = "false",
        /// Unknown.
        Unknown = "unknown",
    }
);

impl From<Option<bool>> for Known {
    fn from(fact: Option<bool>) -> Self {
        match fact {
            Some(true) => Self::True,
            Some(false) => Self::False,
            None => Self::Unknown,
        }
    }
}

/// Counts over all matches of a query, whatever the page.
///
/// Closed enumerations show every value, also with 0, so that a client can render all choices from any answer.
/// Providers and tasks show only values that occur. A model counts once under each of its capabilities, modalities and
/// tasks. Keys are in the order of their tables, providers and tasks by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Facets<'s> {
    /// By provider.
    pub provider: BTreeMap<&'s str, usize>,
    /// By capability.
    pub capability: BTreeMap<Capability, usize>,
    /// By input.
    pub input_modality: BTreeMap<Modality, usize>,
    /// By output.
    pub output_modality: BTreeMap<Modality, usize>,
    /// By kind.
    pub kind: BTreeMap<Kind, usize>,
    /// By status.
    pub status: BTreeMap<ModelStatus, usize>,
    /// By task type.
    pub task: BTreeMap<&'s str, usize>,
    /// By open weights.
    pub open_weights: BTreeMap<Known, usize>,
    /// By base price of input.
    pub price_band: BTreeMap<PriceBand, usize>,
}

impl<'s> Facets<'s> {
    /// Counts the matches, one group of like models at a time.
    pub fn count(matches: &Matches<'s>) -> Self {
        let snapshot = matches.snapshot;
        let mut facets = Self {
            provider: BTreeMap::new(),
            capability: zeros(Capability::ALL),
            input_modality: zeros(Modality::ALL),
            output_modality: zeros(Modality::ALL),
            kind: zeros(Kind::ALL),
            status: zeros(ModelStatus::ALL),
            task: BTreeMap::new(),
            open_weights: zeros(Known::ALL),
            price_band: zeros(PriceBand::ALL),
        };
        for (at, count) in snapshot.by_provider().count(matches.places()) {
            add(&mut facets.provider, [snapshot.models()[at].provider.as_str()], count);
        }
        for (at, count) in snapshot.traits().count(matches.places()) {
            let model = &snapshot.models()[at];
            add(&mut facets.capability, model.capabilities.iter().copied(), count);
            add(&mut facets.input_modality, model.input_modalities.iter().copied(), count);
            add(&mut facets.output_modality, model.output_modalities.iter().copied(), count);
            add(&mut facets.kind, [model.kind], count);
            add(&mut facets.status, [model.status], count);
            add(&mut facets.task, model.tasks.iter().map(TaskId::as_str), count);
            add(&mut facets.open_weights, [model.open_weights.into()], count);
            add(&mut facets.price_band, [PriceBand::of(model)], count);
        }
        facets
    }
}

fn zeros<T: Copy + Ord>(table: &[T]) -> BTreeMap<T, usize> {
    table.iter().map(|value| (*value, 0)).collect()
}

fn add<T: Ord>(counts: &mut BTreeMap<T, usize>, values: impl IntoIterator<Item = T>, count: usize) {
    for value in values {
        *counts.entry(value).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::health::ProviderHealth;
    use crate::domain::model::Model;
    use crate::domain::query::ModelQuery;
    use crate::domain::query::testing::{any_query, any_snapshot};
    use crate::domain::snapshot::{LeftOut, Snapshot};

    fn nothing() -> Facets<'static> {
        static EMPTY: LazyLock<Snapshot> =
            LazyLock::new(|| Snapshot::build(vec![], vec![], vec![], LeftOut::default()).0);
        Facets::count(&ModelQuery::default().run(&EMPTY, &ProviderHealth::default()))
    }

    #[test]
    fn closed_values_include_zeros_in_table_order() {
        let json = serde_json::to_string(&nothing()).unwrap();
        let bands = r#""price_band":{"free":0,"under_1":0,"1_to_5":0,"5_to_20":0,"over_20":0,"unknown":0}"#;
        assert!(json.contains(bands), "{json}");
        assert!(json.contains(r#""open_weights":{"true":0,"false":0,"unknown":0}"#));
        assert!(json.contains(r#""provider":{}"#));
    }

    proptest! {
        #[test]
        fn each_count_equals_the_matches_of_its_value(snapshot in any_snapshot(), query in any_query()) {
            let matches = query.run(&snapshot, &ProviderHealth::default());
            let facets = Facets::count(&matches);
            let count = |has: &dyn Fn(&Model) -> bool| matches.models().filter(|m| has(m)).count();
            prop_assert_eq!(facets.provider.values().sum::<usize>(), matches.len());
            prop_assert_eq!(facets.kind.values().sum::<usize>(), matches.len());
            prop_assert_eq!(facets.price_band.values().sum::<usize>(), matches.len());
            for (capability, found) in facets.capability {
                prop_assert_eq!(found, count(&|m| m.capabilities.contains(&capability)));
            }
            for (modality, found) in facets.input_modality {
                prop_assert_eq!(found, count(&|m| m.input_modalities.contains(&modality)));
            }
            for (task, found) in facets.task {
                prop_assert_eq!(found, count(&|m| m.tasks.iter().any(|t| t.as_str() == task)));
            }
            for (open, found) in facets.open_weights {
                prop_assert_eq!(found, count(&|m| Known::from(m.open_weights) == open));
            }
        }

        #[test]
        fn filtering_by_a_provider_finds_its_count(snapshot in any_snapshot(), query in any_query()) {
            let health = ProviderHealth::default();
            let matches = query.run(&snapshot, &health);
            for (provider, found) in Facets::count(&matches).provider {
                let narrowed = ModelQuery { provider: vec![provider.parse().unwrap()], ..query.clone() };
                prop_assert_eq!(narrowed.run(&snapshot, &health).len(), found);
            }
        }
    }
}
