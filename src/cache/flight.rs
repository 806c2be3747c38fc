//! Who shares the load of a key, who starts one, and who waits for the next. Pure: the caller holds the lock.

use super::scope::Known;

/// The most loads of one key at a time: one that hangs does not keep another, which knows more, from starting.
pub(super) const MAX_FLIGHTS: usize = 2;

/// A load, with the handle by which callers wait for its end.
#[derive(Debug)]
struct Flight<H> {
    id: u64,
    handle: H,
    /// Fence and epoch that its value will not be behind.
    known: (u64, u64),
    /// Whether it has queried the origin for the value.
    is_loading: bool,
}

/// The loads of one key.
#[derive(Debug)]
pub(super) struct Flights<H> {
    /// In the order of their start.
    flying: Vec<Flight<H>>,
    /// Starts as soon as one of the others has landed.
    next: Option<H>,
    /// The id of the last that started.
    newest: u64,
}

/// What a caller who needs a load has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined<H> {
    /// Wait for this one.
    Shared(H),
    /// Start the flight of this id, then wait for it.
    Started(u64, H),
}

/// What follows from the end of a load.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left<H> {
    /// Whether no other has started since. Only then its end says how the origin is.
    pub was_newest: bool,
    /// The flight to start now.
    pub next: Option<(u64, H)>,
}

impl<H> Default for Flights<H> {
    fn default() -> Self {
        Self { flying: Vec::new(), next: None, newest: 0 }
    }
}

impl<H: Clone> Flights<H> {
    /// Returns the load that a caller with this knowledge may share, or a new one. In a storm of changes at most
    /// [`MAX_FLIGHTS`] are under way and one waits.
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
        // It will know all that is known when it starts.
        Joined::Shared(self.next.get_or_insert_with(new).clone())
    }

    fn start(&mut self, known: &Known, handle: H) -> u64 {
        self.newest += 1;
        let known = (known.fence, known.epoch);
        self.flying.push(Flight { id: self.newest, handle, known, is_loading: false });
        self.newest
    }

    /// Records what a flight has learned itself, so that callers who know it too need no other one. Without effect once it
    /// loads: its value may be behind what it learns then.
    pub fn learned(&mut self, id: u64, known: &Known) {
        if let Some(flight) = self.flying.iter_mut().find(|flight| flight.id == id && !flight.is_loading) {
            flight.known = (known.fence, known.epoch);
        }
    }

    /// Records that a flight queries the origin now: its value will not be behind what is known.
    pub fn loads(&mut self, id: u64, known: &Known) {
        self.learned(id, known);
        if let Some(flight) = self.flying.iter_mut().find(|flight| flight.id == id) {
            flight.is_loading = true;
        }
    }

    /// Removes a flight that has ended.
    pub fn land(&mut self, id: u64, known: &Known) -> Left<H> {
        self.flying.retain(|flight| flight.id != id);
        let was_newest = self.newest == id;
        let next = self.next.take().map(|handle| (self.start(known, handle.clone()), handle));
        Left { was_newest, next }
    }

    /// Whether a load is under way.
    pub fn is_flying(&self) -> bool {
        !self.flying.is_empty()
    }
}

#[cfg(test)]
mod tests;
