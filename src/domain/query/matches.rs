//! The answer to a query, and pages of it.

use super::ModelQuery;
use super::filter::{Filters, Hint};
use super::position::Position;
use crate::domain::health::ProviderHealth;
use crate::domain::model::Model;
use crate::domain::order::{Key, Order, compare};
use crate::domain::search::Relevance;
use crate::domain::snapshot::Snapshot;

/// A model that matches, and how well.
#[derive(Debug, Clone, Copy)]
struct Match<'s> {
    /// Its place in the snapshot.
    at: usize,
    model: &'s Model,
    relevance: Relevance,
}

/// All models that match a query, in its order.
#[derive(Debug, Clone)]
pub struct Matches<'s> {
    snapshot: &'s Snapshot,
    order: Order,
    found: Vec<Match<'s>>,
}

/// Some of the matches, and where to go on.
#[derive(Debug, Clone)]
pub struct Page<'s> {
    /// The models of this page, in order.
    pub models: Vec<&'s Model>,
    /// The place of the last of them; `None` when nothing follows.
    pub next: Option<Position>,
}

impl ModelQuery {
    /// The models that match, in order. Paging comes after: the number of matches is the total.
    ///
    /// Linear in the number of models; by relevance, `n log n` in that of matches besides.
    pub fn run<'s>(&self, snapshot: &'s Snapshot, health: &ProviderHealth) -> Matches<'s> {
        let filters = Filters::new(self, snapshot, health);
        let models = snapshot.models();
        // As the models lie in memory, whatever the order: thousands of them do not fit into the processor's caches.
        let kept: Vec<_> = models.iter().enumerate().map(|(at, model)| filters.keeps(at, model)).collect();
        let order = self.order();
        let places = snapshot.places(order).filter(|&at| kept[at]);
        let mut found: Vec<_> =
            places.map(|at| Match { at, model: &models[at], relevance: filters.relevance(at) }).collect();
        if order == Order::Relevance {
            // Stable: those as relevant as each other stay in the order of their ids.
            found.sort_by_key(|found| found.relevance);
        }
        Matches { snapshot, order, found }
    }

    /// What to drop from a query that matches nothing: each parameter, with all its values, whose removal alone gives
    /// results, in the order of [`Parameter::ALL`](super::Parameter::ALL). Empty when the query matches something.
    ///
    /// That retired and hidden models are left out is no parameter, so where only such models would match there is no
    /// hint; and dropping `status` or `enabled` brings that default back.
    pub fn hints(&self, snapshot: &Snapshot, health: &ProviderHealth) -> Vec<Hint> {
        Filters::new(self, snapshot, health).hints()
    }
}

impl<'s> Matches<'s> {
    /// What was asked.
    pub(in crate::domain) fn snapshot(&self) -> &'s Snapshot {
        self.snapshot
    }

    /// The places of the matches in the snapshot.
    pub(in crate::domain) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.found.iter().map(|found| found.at)
    }

    /// How many models match: the total, whatever is shown of it.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether nothing matches.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The models, in order.
    pub fn models(&self) -> impl ExactSizeIterator<Item = &'s Model> + '_ {
        self.found.iter().map(|found| found.model)
    }

    /// The matches after a place, at most `limit` of them; without either, all.
    ///
    /// Pages taken one after the other show each match once, also when the catalogue changes in between, as long as
    /// the match itself stays in its place. A position of another order makes no sense here; [`super::Cursor::decode`]
    /// gives none. A limit of 0 gives an empty page that nothing follows.
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
            next: last.map(|found| Position::of(self.order, found.model, found.relevance)),
        }
    }
}
