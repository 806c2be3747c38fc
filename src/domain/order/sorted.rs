//! Every order, sorted once per snapshot.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::key::{Key, compare};
use super::{Order, Sort, SortKey};
use crate::domain::heap::table;
use crate::domain::model::Model;
use crate::domain::search::Relevance;

/// The positions of all models in each order, without relevance: 4 bytes per model, built by the first query in that
/// order.
#[derive(Debug)]
pub(in crate::domain) struct Sorted(HashMap<Order, OnceLock<Vec<u32>>>);

impl Default for Sorted {
    fn default() -> Self {
        let sorts =
            SortKey::ALL.iter().flat_map(|&key| [false, true].map(|descending| Sort { key, descending }));
        let orders = sorts.map(Order::By).chain([Order::Relevance]);
        Self(orders.map(|order| (order, OnceLock::new())).collect())
    }
}

impl Sorted {
    /// Returns the bytes on the heap before the first query.
    pub(in crate::domain) fn bytes(&self) -> usize {
        table(&self.0)
    }

    /// Returns all positions in an order. The models must always be the same.
    pub(in crate::domain) fn places(
        &self,
        order: Order,
        models: &[Model],
    ) -> impl Iterator<Item = usize> + '_ {
        let places = self.0.get(&order).map(|places| places.get_or_init(|| sorted(models, order)));
        places.into_iter().flatten().map(|&at| at as usize)
    }
}

fn sorted(models: &[Model], order: Order) -> Vec<u32> {
    let keys = models.iter().map(|model| (Key::of(order, model, Relevance::default()), &model.id));
    let mut keyed: Vec<_> = (0_u32..).zip(keys).collect();
    keyed.sort_unstable_by(|(_, (a, a_id)), (_, (b, b_id))| compare(order, (a, a_id), (b, b_id)));
    keyed.into_iter().map(|(place, _)| place).collect()
}
