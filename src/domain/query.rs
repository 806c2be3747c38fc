//! Queries: which models, in which order.
//!
//! A query is a pure value. [`ModelQuery::run`] answers it from a snapshot, [`Matches::page`] pages the answer,
//! [`Cursor`] carries the position between pages, and [`ModelQuery::hints`] explains an empty answer.

mod canonical;
mod cursor;
mod facets;
mod filter;
mod matches;

pub use cursor::{Cursor, InvalidCursor, MAX_CURSOR_BYTES};
pub use facets::{Facets, Known};
pub use filter::{Hint, Parameter};
pub use matches::{Matches, Page, Position};

use super::id::{ModelId, ProviderId, TaskId};
use super::model::{Capability, Kind, Modality, ModelStatus};
use super::order::{Order, Sort};
use super::price::Price;
use super::search::SearchText;

/// A query for models. The default asks for every listed model.
///
/// A model must pass every filter. Several capabilities, modalities or tasks must all be present; several values of
/// another filter are alternatives. An empty `Vec` or `None` is no filter. A model whose value is unknown fails each
/// filter on it.
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
    /// One of these; empty: all but [`ModelStatus::Retired`].
    pub status: Vec<ModelStatus>,
    /// One of these ids. Retired and hidden models stay excluded.
    pub ids: Vec<ModelId>,
    /// At least this many tokens of context.
    pub min_context: Option<u32>,
    /// At most this base price of input.
    pub max_input_price: Option<Price>,
    /// At most this base price of output.
    pub max_output_price: Option<Price>,
    /// Confirmed to be free, or not to be.
    pub free: Option<bool>,
    /// Known to have open weights, or not to.
    pub open_weights: Option<bool>,
    /// `false` lists only hidden models: disabled, or of a disabled provider. `None` is `true`.
    pub enabled: Option<bool>,
    /// Only models of usable providers ([`super::provider::ProviderStatus::is_usable`]).
    pub healthy_only: bool,
    /// Search in id and name.
    pub q: Option<SearchText>,
    /// The given order; `None`: relevance with `q`, else [`Sort::default`].
    pub sort: Option<Sort>,
}

impl ModelQuery {
    /// Returns the order that applies.
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
