//! Every order, sorted once for all queries of a snapshot.

use std::collections::HashMap;

use super::matches::Match;
use super::place::{self, Key};
use super::{Order, Relevance, Sort, SortKey};
use crate::domain::model::Model;

/// The places of all models in each order, as if all were as relevant as each other: 44 bytes a model.
#[derive(Debug, Default)]
pub(in crate::domain) struct Sorted(HashMap<Order, Vec<u32>>);

impl Sorted {
    pub(in crate::domain) fn build(models: &[Model]) -> Self {
        let sorts =
            SortKey::ALL.iter().flat_map(|&key| [false, true].map(|descending| Sort { key, descending }));
        let orders = sorts.map(Order::By).chain([Order::Relevance]);
        Self(orders.map(|order| (order, sorted(models, order))).collect())
    }

    /// All places, in that order.
    pub(super) fn places(&self, order: Order) -> impl Iterator<Item = usize> + '_ {
        self.0.get(&order).into_iter().flatten().map(|&at| at as usize)
    }
}

fn sorted(models: &[Model], order: Order) -> Vec<u32> {
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
