//! Asking the catalogue: which models a query keeps, and in which order.
//!
//! A query is a pure value. [`ModelQuery::run`] answers it from a snapshot, [`Matches::page`] cuts pages out of the
//! answer, [`Cursor`] carries the place between two of them, and [`ModelQuery::hints`] says what an empty answer is
//! due to.

mod canonical;
mod cursor;
mod facets;
mod filter;
mod matches;
mod position;

pub use cursor::{Cursor, InvalidCursor, MAX_CURSOR_BYTES};
pub use facets::{Facets, Known};
pub use filter::{Hint, Parameter};
pub use matches::{Matches, Page};
pub use position::Position;

use super::id::{ModelId, ProviderId, TaskId};
use super::model::{Capability, Kind, Modality, ModelStatus};
use super::order::{Order, Sort};
use super::price::Price;
use super::search::SearchText;

/// What a list of models is asked for. The default asks for every model that is listed.
///
/// A model must pass each filter that is set. Of several capabilities, modalities or tasks all must hold; several
/// values of the other filters are alternatives. An empty `Vec` and a `None` ask for nothing. A model of which the
/// value is unknown fails every filter on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelQuery {
    /// One of these providers.
    pub provider: Vec<ProviderId>,
    /// All of these capabilities.
    pub capability: Vec<Capability>,
    /// All of these among the inputs.
    pub input_modality: Vec<Modality>,
    /// All of these among the outputs.
    pub output_modality: Vec<Modality>,
    /// All of these task types.
    pub task: Vec<TaskId>,
    /// One of these kinds.
    pub kind: Vec<Kind>,
    /// One of these; empty: any but [`ModelStatus::Retired`].
    pub status: Vec<ModelStatus>,
    /// One of these ids. Does not bring retired or hidden models back.
    pub ids: Vec<ModelId>,
    /// At least so many tokens of context.
    pub min_context: Option<u32>,
    /// At most this base price of input.
    pub max_input_price: Option<Price>,
    /// At most this base price of output.
    pub max_output_price: Option<Price>,
    /// Confirmed to be free, or to cost something.
    pub free: Option<bool>,
    /// Known to have open weights, or not to.
    pub open_weights: Option<bool>,
    /// `false` lists exactly the hidden models: those disabled, or of a disabled provider. `None` is `true`.
    pub enabled: Option<bool>,
    /// Only models whose provider's status is usable ([`super::provider::ProviderStatus::is_usable`]).
    pub healthy_only: bool,
    /// Search in id and name.
    pub q: Option<SearchText>,
    /// The order asked for; `None`: by relevance with `q`, else by [`Sort::default`].
    pub sort: Option<Sort>,
}

impl ModelQuery {
    /// The order that applies.
    pub fn order(&self) -> Order {
        match (self.sort, &self.q) {
            (Some(sort), _) => Order::By(sort),
            (None, Some(_)) => Order::Relevance,
            (None, None) => Order::By(Sort::default()),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
