//! Positions in an ordered list, for cursors.

use serde::{Deserialize, Serialize};

use crate::domain::id::ModelId;
use crate::domain::model::Model;
use crate::domain::order::{Key, Order};
use crate::domain::search::Relevance;

/// A position just after the model of this key and id, which may no longer exist. The list continues with what comes
/// after it now.
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

    /// Whether it is a position in a list of that order.
    pub(super) fn is_of(&self, order: Order) -> bool {
        self.key.is_of(order)
    }
}
