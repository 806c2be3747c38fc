//! Facets: how many of a query's matches have each value.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use serde::Serialize;
use utoipa::ToSchema;

use super::closed::closed_enum;
use super::model::{Capability, Kind, Modality, Model, ModelStatus};
use super::price::Price;

closed_enum!(
    /// Bands of the base price of input, in USD per 1,000,000 tokens. A bound belongs to the band above it.
    PriceBand {
        /// Confirmed to be free, or an input price of 0.
        Free = "free",
        /// More than 0 and less than 1.
        Under1 = "under_1",
        /// 1 or more, less than 5.
        From1To5 = "1_to_5",
        /// 5 or more, less than 20.
        From5To20 = "5_to_20",
        /// 20 or more.
        Over20 = "over_20",
        /// No input price is known; models priced per query are here too.
        Unknown = "unknown",
    }
);

/// In the units of [`Price::smallest_units`].
const ONE_USD: u64 = 100_000_000;

impl PriceBand {
    /// The band of a model.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        if model.is_free == Some(true) {
            return Self::Free;
        }
        match model.pricing.as_ref().and_then(|p| p.input) {
            None => Self::Unknown,
            Some(price) if price == Price::ZERO => Self::Free,
            Some(price) => match price.smallest_units() / ONE_USD {
                0 => Self::Under1,
                1..5 => Self::From1To5,
                5..20 => Self::From5To20,
                _ => Self::Over20,
            },
        }
    }
}

closed_enum!(
    /// What is known about a yes-or-no fact.
    Known {
        /// It is so.
        True = "true",
        /// It is not.
        False = "false",
        /// Nobody has said.
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

/// Counts over all matches of a query, whatever page is shown.
///
/// Of closed enumerations every value is there, with 0 where nothing has it, so that a client can draw all its choices
/// from any answer; of providers and tasks, which the catalogue may have many of, only those that occur. A model counts
/// once under each of its capabilities, modalities and tasks. Keys are in the order of their tables, providers and
/// tasks in that of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Facets<'s> {
    /// By provider.
    pub provider: BTreeMap<&'s str, usize>,
    /// By capability.
    pub capability: BTreeMap<Capability, usize>,
    /// By what goes in.
    pub input_modality: BTreeMap<Modality, usize>,
    /// By what comes out.
    pub output_modality: BTreeMap<Modality, usize>,
    /// By kind.
    pub kind: BTreeMap<Kind, usize>,
    /// By status.
    pub status: BTreeMap<ModelStatus, usize>,
    /// By task type.
    pub task: BTreeMap<&'s str, usize>,
    /// By whether the weights are open.
    pub open_weights: BTreeMap<Known, usize>,
    /// By base price of input.
    pub price_band: BTreeMap<PriceBand, usize>,
}

impl<'s> Facets<'s> {
    /// Counts the models. One pass: in a sorted list each model is a visit to a far corner of memory.
    #[must_use]
    pub fn count(models: impl IntoIterator<Item = &'s Model>) -> Self {
        let mut provider = Names::default();
        let mut task = Names::default();
        let mut capability = Counter::new(Capability::ALL);
        let mut input_modality = Counter::new(Modality::ALL);
        let mut output_modality = Counter::new(Modality::ALL);
        let mut kind = Counter::new(Kind::ALL);
        let mut status = Counter::new(ModelStatus::ALL);
        let mut open_weights = Counter::new(Known::ALL);
        let mut price_band = Counter::new(PriceBand::ALL);
        for model in models {
            provider.add(model.provider.as_str());
            for id in &model.tasks {
                task.add(id.as_str());
            }
            capability.add(model.capabilities.iter().map(|c| *c as usize));
            input_modality.add(model.input_modalities.iter().map(|m| *m as usize));
            output_modality.add(model.output_modalities.iter().map(|m| *m as usize));
            kind.add([model.kind as usize]);
            status.add([model.status as usize]);
            open_weights.add([Known::from(model.open_weights) as usize]);
            price_band.add([PriceBand::of(model) as usize]);
        }
        Self {
            provider: provider.into_map(),
            capability: capability.into_map(),
            input_modality: input_modality.into_map(),
            output_modality: output_modality.into_map(),
            kind: kind.into_map(),
            status: status.into_map(),
            task: task.into_map(),
            open_weights: open_weights.into_map(),
            price_band: price_band.into_map(),
        }
    }
}

/// Counts names: first by the place of their texts in memory, which the models of a snapshot share, and at the end by
/// what they say.
#[derive(Default)]
struct Names<'s>(HashMap<*const str, (&'s str, usize), BuildHasherDefault<PlaceHasher>>);

impl<'s> Names<'s> {
    fn add(&mut self, name: &'s str) {
        self.0.entry(std::ptr::from_ref(name)).or_insert((name, 0)).1 += 1;
    }

    fn into_map(self) -> BTreeMap<&'s str, usize> {
        let mut counts = BTreeMap::new();
        for (name, count) in self.0.into_values() {
            *counts.entry(name).or_default() += count;
        }
        counts
    }
}

/// Places in memory are no secret and nobody chooses them: one multiplication spreads them well enough.
#[derive(Default)]
struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn finish(&self) -> u64 {
        // The map looks at the lowest bits first, and they know least of the places, which are aligned.
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

/// Counts the values of a closed enumeration by their places in its table: an array needs no search, as a map would.
struct Counter<T: 'static> {
    table: &'static [T],
    counts: Vec<usize>,
}

impl<T: Copy + Ord> Counter<T> {
    fn new(table: &'static [T]) -> Self {
        Self { table, counts: vec![0; table.len()] }
    }

    fn add(&mut self, places: impl IntoIterator<Item = usize>) {
        for place in places {
            if let Some(count) = self.counts.get_mut(place) {
                *count += 1;
            }
        }
    }

    fn into_map(self) -> BTreeMap<T, usize> {
        self.table.iter().copied().zip(self.counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::health::ProviderHealth;
    use crate::domain::price::Pricing;
    use crate::domain::query::ModelQuery;
    use crate::domain::query::testing::{any_query, any_snapshot};
    use crate::domain::testing::SEED;

    #[test]
    fn a_bound_belongs_to_the_band_above_it() {
        let mut model = SEED.models[0].clone();
        model.is_free = Some(false);
        for (price, band) in [
            ("0", PriceBand::Free),
            ("0.00000001", PriceBand::Under1),
            ("0.99999999", PriceBand::Under1),
            ("1", PriceBand::From1To5),
            ("5", PriceBand::From5To20),
            ("19.99", PriceBand::From5To20),
            ("20", PriceBand::Over20),
        ] {
            model.pricing = Some(Pricing { input: Some(price.parse().unwrap()), ..Pricing::default() });
            assert_eq!(PriceBand::of(&model), band, "{price}");
        }
        model.pricing = None;
        assert_eq!(PriceBand::of(&model), PriceBand::Unknown);
        model.is_free = Some(true);
        assert_eq!(PriceBand::of(&model), PriceBand::Free);
    }

    #[test]
    fn closed_values_show_their_zeros_and_keep_the_order_of_their_table() {
        let json = serde_json::to_string(&Facets::count([])).unwrap();
        let bands = r#""price_band":{"free":0,"under_1":0,"1_to_5":0,"5_to_20":0,"over_20":0,"unknown":0}"#;
        assert!(json.contains(bands), "{json}");
        assert!(json.contains(r#""open_weights":{"true":0,"false":0,"unknown":0}"#));
        assert!(json.contains(r#""provider":{}"#));
    }

    proptest! {
        #[test]
        fn each_count_is_what_filtering_by_it_would_find(snapshot in any_snapshot(), query in any_query()) {
            let matches = query.run(&snapshot, &ProviderHealth::default());
            let facets = Facets::count(matches.models());
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
        fn filtering_by_a_counted_provider_finds_as_many(snapshot in any_snapshot(), query in any_query()) {
            let health = ProviderHealth::default();
            let matches = query.run(&snapshot, &health);
            for (provider, found) in Facets::count(matches.models()).provider {
                let narrowed = ModelQuery { provider: vec![provider.parse().unwrap()], ..query.clone() };
                prop_assert_eq!(narrowed.run(&snapshot, &health).len(), found);
            }
        }
    }
}
