//! The answer to a query, and pages of it.

use super::place::{self, Key};
use super::{Order, Position, Relevance};
use crate::domain::model::Model;
use crate::domain::snapshot::Snapshot;

/// A model that matches, and how well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Match<'s> {
    /// Its place in the snapshot.
    pub(super) at: usize,
    pub(super) model: &'s Model,
    pub(super) relevance: Relevance,
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

impl<'s> Matches<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, order: Order, found: Vec<Match<'s>>) -> Self {
        Self { snapshot, order, found }
    }

    /// What was asked.
    pub(in crate::domain) fn snapshot(&self) -> &'s Snapshot {
        self.snapshot
    }

    /// The places of the matches in the snapshot.
    pub(in crate::domain) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.found.iter().map(|found| found.at)
    }

    /// How many models match: the total, whatever is shown of it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether nothing matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The models, in order.
    #[must_use]
    pub fn models(&self) -> impl ExactSizeIterator<Item = &'s Model> + '_ {
        self.found.iter().map(|found| found.model)
    }

    /// The matches after a place, at most `limit` of them; without either, all.
    ///
    /// Pages taken one after the other show each match once, also when the catalogue changes in between, as long as
    /// the match itself stays in its place. A position of another order makes no sense here; [`super::Cursor::decode`]
    /// gives none. A limit of 0 gives an empty page that nothing follows.
    #[must_use]
    pub fn page(&self, after: Option<&Position>, limit: Option<usize>) -> Page<'s> {
        let start = after.map_or(0, |position| {
            self.found.partition_point(|found| {
                let key = Key::of(self.order, found);
                let there = (&position.key, &position.id);
                place::compare(self.order, (&key, &found.model.id), there).is_le()
            })
        });
        let rest = self.found.get(start..).unwrap_or_default();
        let shown = limit.and_then(|limit| rest.get(..limit)).unwrap_or(rest);
        let last = shown.last().filter(|_| shown.len() < rest.len());
        Page {
            models: shown.iter().map(|found| found.model).collect(),
            next: last.map(|found| Position::of(self.order, found)),
        }
    }
}
