//! A place in an ordered list, as cursors carry it.

use serde::{Deserialize, Serialize};

use crate::domain::id::ModelId;
use crate::domain::model::Model;
use crate::domain::order::{Key, Order};
use crate::domain::search::Relevance;

/// A place in an ordered list: just after a model that has, or had, this key and id.
///
/// It says where to go on whatever has changed since: what stands after it is shown next, whether or not that model
/// still exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    #[serde(rename = "k")]
    pub(super) key: Key<'static>,
    #[serde(rename = "i")]
    pub(super) id: ModelId,
}

impl Position {
    pub(super) fn of(order: Order, model: &Model, relevance: Relevance) -> Self {
        Self { key: Key::of(order, model, relevance).into_owned(), id: model.id.clone() }
    }

    /// Whether it is a place in a list of that order.
    pub(super) fn is_of(&self, order: Order) -> bool {
        self.key.is_of(order)
    }
}
