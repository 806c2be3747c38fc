//! Coordinates the loads of a key: who shares one, who starts one, who waits for the next. Pure: the caller holds the
//! lock.

use super::scope::Known;

/// Most loads of a key at a time. A load that hangs does not block one that knows more.
pub(super) const MAX_FLIGHTS: usize = 2;

/// A load, and the handle by which callers wait for it.
#[derive(Debug)]
struct Flight<H> {
    id: u64,
    handle: H,
    /// Its value will not be behind this fence and epoch.
    known: (u64, u64),
    /// Whether it has queried the origin.
    is_loading: bool,
}

#[derive(Debug)]
pub(super) struct Flights<H> {
    /// By start.
    flying: Vec<Flight<H>>,
    /// Starts when one of the others ends.
    next: Option<H>,
    /// Id of the last that started.
    newest: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined<H> {
    Shared(H),
    /// Start the load of this id, then wait.
    Started(u64, H),
}

/// What follows from the end of a load.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left<H> {
    /// Whether no other has started since. Only then its result describes the origin.
    pub was_newest: bool,
    pub next: Option<(u64, H)>,
}

impl<H> Default for Flights<H> {
    fn default() -> Self {
        Self { flying: Vec::new(), next: None, newest: 0 }
    }
}

impl<H: Clone> Flights<H> {
    /// Returns a load that this caller may share, or a new one. In a storm of changes [`MAX_FLIGHTS`] run and one
    /// waits.
    pub fn join(&mut self, known: &Known, new: impl FnOnce() -> H) -> Joined<H> {
        let wanted = (known.fence, known.epoch);
        let serves = |flight: &&Flight<H>| flight.known.0 >= wanted.0 && flight.known.1 == wanted.1;
        if let Some(flight) = self.flying.iter().rev().find(serves) {
            return Joined::Shared(flight.handle.clone());
        }
        if self.flying.len() < MAX_FLIGHTS {
            let handle = new();
            return Joined::Started(self.start(known, handle.clone()), handle);
        }
        // It will know everything when it starts.
        Joined::Shared(self.next.get_or_insert_with(new).clone())
    }

    fn start(&mut self, known: &Known, handle: H) -> u64 {
        self.newest += 1;
        let known = (known.fence, known.epoch);
        self.flying.push(Flight { id: self.newest, handle, known, is_loading: false });
        self.newest
    }

    /// Records what a load has learned, so that callers who know the same share it. Without effect once it loads: its
    /// value may be older.
    pub fn record_known(&mut self, id: u64, known: &Known) {
        if let Some(flight) = self.flying.iter_mut().find(|flight| flight.id == id && !flight.is_loading) {
            flight.known = (known.fence, known.epoch);
        }
    }

    /// Records that a load queries the origin now: its value will not be behind `known`.
    pub fn mark_loading(&mut self, id: u64, known: &Known) {
        self.record_known(id, known);
        if let Some(flight) = self.flying.iter_mut().find(|flight| flight.id == id) {
            flight.is_loading = true;
        }
    }

    /// Removes a load that has ended.
    pub fn land(&mut self, id: u64, known: &Known) -> Left<H> {
        self.flying.retain(|flight| flight.id != id);
        let was_newest = self.newest == id;
        let next = self.next.take().map(|handle| (self.start(known, handle.clone()), handle));
        Left { was_newest, next }
    }

    /// Whether a load is in progress.
    pub fn is_flying(&self) -> bool {
        !self.flying.is_empty()
    }
}

#[cfg(test)]
mod tests;
