//! Answers to queries, and their pages.

use serde::{Deserialize, Serialize};

use super::ModelQuery;
use super::filter::Filters;
use crate::domain::health::ProviderHealth;
use crate::domain::id::ModelId;
use crate::domain::model::Model;
use crate::domain::order::{Key, Order, compare};
use crate::domain::search::Relevance;
use crate::domain::snapshot::Snapshot;

/// A matching model, with its relevance.
#[derive(Debug, Clone, Copy)]
struct Match<'s> {
    /// Its position in the snapshot.
    at: usize,
    model: &'s Model,
    relevance: Relevance,
}

/// All matches of a query, in order.
#[derive(Debug, Clone)]
pub struct Matches<'s> {
    pub(super) snapshot: &'s Snapshot,
    order: Order,
    found: Vec<Match<'s>>,
}

/// A page of matches.
#[derive(Debug, Clone)]
pub struct Page<'s> {
    /// The models of this page, in order.
    pub models: Vec<&'s Model>,
    /// Position of the last; `None` on the last page.
    pub next: Option<Position>,
}

/// A position just after the model of this key and id, which may no longer exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    #[serde(rename = "k")]
    pub(super) key: Key<'static>,
    #[serde(rename = "i")]
    id: ModelId,
}

impl ModelQuery {
    /// Returns the matching models, in order.
    ///
    /// Linear in the number of models, and `n log n` in the number of matches if ordered by relevance.
    pub fn run<'s>(&self, snapshot: &'s Snapshot, health: &ProviderHealth) -> Matches<'s> {
        let filters = Filters::new(self, snapshot, health);
        let models = snapshot.models();
        // In memory order, because thousands of models exceed the processor's caches.
        let kept: Vec<_> = models.iter().enumerate().map(|(at, model)| filters.keeps(at, model)).collect();
        let order = self.order();
        let places = snapshot.places(order).filter(|&at| kept[at]);
        let mut found: Vec<_> =
            places.map(|at| Match { at, model: &models[at], relevance: filters.relevance(at) }).collect();
        if order == Order::Relevance {
            // Stable: equally relevant models stay in the order of their ids.
            found.sort_by_key(|found| found.relevance);
        }
        Matches { snapshot, order, found }
    }
}

impl<'s> Matches<'s> {
    /// Returns the matches' positions in the snapshot.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.found.iter().map(|found| found.at)
    }

    /// Returns the number of matches, whatever the page.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns the models, in order.
    pub fn models(&self) -> impl ExactSizeIterator<Item = &'s Model> + '_ {
        self.found.iter().map(|found| found.model)
    }

    /// Returns up to `limit` matches after a position; without both, all.
    ///
    /// Successive pages show each match once, even if the catalogue changes in between, as long as the match keeps its
    /// place. The position must be of this order ([`super::Cursor::decode`]). A limit of 0 gives an empty last page.
    pub fn page(&self, after: Option<&Position>, limit: Option<usize>) -> Page<'s> {
        let start = after.map_or(0, |position| {
            self.found.partition_point(|found| {
                let key = Key::of(self.order, found.model, found.relevance);
                let there = (&position.key, &position.id);
                compare(self.order, (&key, &found.model.id), there).is_le()
            })
        });
        let rest = self.found.get(start..).unwrap_or_default();
        let shown = limit.and_then(|limit| rest.get(..limit)).unwrap_or(rest);
        let last = shown.last().filter(|_| shown.len() < rest.len());
        Page {
            models: shown.iter().map(|found| found.model).collect(),
            next: last.map(|found| Position {
                key: Key::of(self.order, found.model, found.relevance).into_owned(),
                id: found.model.id.clone(),
            }),
        }
    }
}
