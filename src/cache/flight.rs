//! Flights: one load at a time per key, shared by all callers that wait for it.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::backoff::Backoff;
use super::entry::Entry;
use super::origin::LoadError;
use super::scope::Known;
use super::stats::Outcome;

/// What a flight brought.
#[derive(Debug)]
pub(super) struct Landed<V> {
    pub entry: Arc<Entry<V>>,
    /// `Memory` when the value held was found unchanged, `Kv` when the shared tier had it, `Origin` when it was loaded.
    pub outcome: Outcome,
}

impl<V> Clone for Landed<V> {
    fn clone(&self) -> Self {
        Self { entry: Arc::clone(&self.entry), outcome: self.outcome }
    }
}

pub(super) type Landing<V> = Result<Landed<V>, LoadError>;

/// What a flight knows, for those who may join it.
#[derive(Debug, Default)]
pub(super) struct Knowledge(Mutex<KnowledgeState>);

#[derive(Debug, Default)]
struct KnowledgeState {
    /// Fence and epoch that its landing will not be behind; nothing as long as it waits to set out.
    known: Option<(u64, u64)>,
    /// It asks the origin for the value already.
    loading: bool,
}

impl Knowledge {
    /// Takes in what the flight was told itself, so that nobody sets out anew because of that. Once it loads, its value
    /// may be behind what it is told.
    pub fn grows(&self, known: &Known) {
        let mut state = self.state();
        if !state.loading {
            state.known = Some((known.fence, known.epoch));
        }
    }

    /// The flight asks the origin for the value, which will not be behind what is known now.
    pub fn is_settled(&self, known: &Known) {
        self.grows(known);
        self.state().loading = true;
    }

    fn state(&self) -> MutexGuard<'_, KnowledgeState> {
        self.0.lock()
    }
}

/// A flight as those see it who may join.
#[derive(Debug)]
pub(super) struct Flight<V> {
    pub id: u64,
    pub started: Instant,
    pub knowledge: Arc<Knowledge>,
    pub landing: watch::Receiver<Option<Landing<V>>>,
}

impl<V> Clone for Flight<V> {
    fn clone(&self) -> Self {
        Self { knowledge: Arc::clone(&self.knowledge), landing: self.landing.clone(), ..*self }
    }
}

impl<V> Flight<V> {
    /// Whether a caller who knows this much may share it.
    pub fn serves(&self, known: &Known) -> bool {
        self.knowledge.state().known.is_none_or(|(fence, epoch)| fence >= known.fence && epoch == known.epoch)
    }

    /// Waits for the end. Cancelling the wait changes nothing for the flight or the others.
    pub async fn landed(mut self) -> Landing<V> {
        match self.landing.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or(Err(LoadError::Panicked)),
            Err(_) => Err(LoadError::Panicked),
        }
    }
}

/// A flight that sets out as soon as one before it has landed.
#[derive(Debug)]
pub(super) struct Waiting<V> {
    pub flight: Flight<V>,
    pub land: watch::Sender<Option<Landing<V>>>,
}

/// What is going on about one key.
#[derive(Debug)]
pub(super) struct Slot<V> {
    /// Those that set out and have not landed, in that order.
    pub flights: Vec<Flight<V>>,
    /// The last that set out.
    pub newest: Option<u64>,
    pub next: Option<Waiting<V>>,
    pub failures: Option<Backoff>,
    pub error: Option<LoadError>,
}

impl<V> Slot<V> {
    pub fn is_flying(&self) -> bool {
        !self.flights.is_empty()
    }
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self { flights: Vec::new(), newest: None, next: None, failures: None, error: None }
    }
}
