//! Every sort, done once for all queries of a snapshot.

use std::collections::HashMap;

use super::matches::Match;
use super::place::{self, Key};
use super::{Order, Relevance, Sort, SortKey};
use crate::domain::model::Model;

/// The places of all models in each sort: 40 bytes a model.
#[derive(Debug, Default)]
pub(in crate::domain) struct Sorted(HashMap<Sort, Vec<u32>>);

impl Sorted {
    pub(in crate::domain) fn build(models: &[Model]) -> Self {
        let sorts =
            SortKey::ALL.iter().flat_map(|&key| [false, true].map(|descending| Sort { key, descending }));
        Self(sorts.map(|sort| (sort, sorted(models, sort))).collect())
    }

    /// All places, in that order.
    pub(super) fn places(&self, sort: Sort) -> impl Iterator<Item = usize> + '_ {
        self.0.get(&sort).into_iter().flatten().map(|&at| at as usize)
    }
}

fn sorted(models: &[Model], sort: Sort) -> Vec<u32> {
    let order = Order::By(sort);
    let mut keyed: Vec<_> = (0_u32..)
        .zip(models)
        .enumerate()
        .map(|(at, (place, model))| {
            (Key::of(order, &Match { at, model, relevance: Relevance::default() }), &model.id, place)
        })
        .collect();
    keyed.sort_unstable_by(|(a, a_id, _), (b, b_id, _)| place::compare(order, (a, a_id), (b, b_id)));
    keyed.into_iter().map(|(_, _, place)| place).collect()
}
