//! Flights: one load at a time per key, in a task of its own, shared by all who wait for it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::entry::{Entry, Source};
use super::origin::{LoadError, Origin};
use super::read::Inner;
use super::retry::Failures;
use super::scope::{Known, Learned, Scope};
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

/// A flight as those see it who may join.
#[derive(Debug)]
pub(super) struct Flight<V> {
    id: u64,
    pub started: Instant,
    fence: u64,
    epoch: u64,
    landing: watch::Receiver<Option<Landing<V>>>,
}

impl<V> Clone for Flight<V> {
    fn clone(&self) -> Self {
        Self { landing: self.landing.clone(), ..*self }
    }
}

impl<V> Flight<V> {
    /// Whether a caller who knows this much may share it: nothing was invalidated since it set out.
    fn serves(&self, known: &Known) -> bool {
        self.fence >= known.fence && self.epoch == known.epoch
    }

    /// Waits for the end. Cancelling the wait changes nothing for the flight or the others.
    pub async fn landed(mut self) -> Landing<V> {
        match self.landing.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or(Err(LoadError::Panicked)),
            Err(_) => Err(LoadError::Panicked),
        }
    }
}

/// What is going on about one key.
#[derive(Debug)]
pub(super) struct Slot<V> {
    flight: Option<Flight<V>>,
    pub failures: Option<Failures>,
    pub error: Option<LoadError>,
}

impl<V> Slot<V> {
    pub fn is_flying(&self) -> bool {
        self.flight.is_some()
    }
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self { flight: None, failures: None, error: None }
    }
}

impl<O: Origin> Inner<O> {
    /// The flight to wait for, if anybody does (`awaited`): the one that is under way, if it set out with all that is
    /// known now, else a new one.
    pub(super) fn join_or_start(
        self: &Arc<Self>,
        key: &O::Key,
        scope: &Arc<Scope>,
        slot: &mut Slot<O::Value>,
        awaited: bool,
    ) -> Flight<O::Value> {
        let known = scope.known();
        if let Some(flight) = slot.flight.as_ref().filter(|flight| flight.serves(&known)) {
            return flight.clone();
        }
        let (land, landing) = watch::channel(None);
        let flight = Flight {
            id: self.next_flight(),
            started: self.clock.now(),
            fence: known.fence,
            epoch: known.epoch,
            landing,
        };
        slot.flight = Some(flight.clone());

        let id = flight.id;
        let (inner, key, scope) = (Arc::clone(self), key.clone(), Arc::clone(scope));
        let work = self.runtime.spawn({
            let (inner, key) = (Arc::clone(&inner), key.clone());
            async move {
                let limit = inner.family.flight_limit;
                inner
                    .clock
                    .timeout(limit, inner.fly(&key, &scope, awaited))
                    .await
                    .unwrap_or(Err(LoadError::TimedOut))
            }
        });
        // A second task, so that a panic in the first still frees the slot and is told to all who wait.
        self.runtime.spawn(async move {
            let landing = work.await.unwrap_or(Err(LoadError::Panicked));
            inner.settle(&key, id, landing.as_ref().err());
            land.send_replace(Some(landing));
        });
        flight
    }

    /// The work of a flight: finds the held value unchanged, or loads a new one.
    async fn fly(&self, key: &O::Key, scope: &Arc<Scope>, awaited: bool) -> Landing<O::Value> {
        let set_out = scope.known();
        if let Some(entry) = self.memory.get(key).filter(|entry| self.worth_validating(entry, &set_out)) {
            let begun = self.clock.now();
            let version = self.origin.version(key).await?;
            let (learned, _) = self.scopes.learn_read(scope, version, begun);
            if version == entry.version && matches!(learned, Learned::Unchanged | Learned::Raised) {
                self.counters.validated();
                return Ok(Landed { entry, outcome: Outcome::Memory });
            }
        }
        match &self.shared {
            // What is held and outdated is newer than anything in the shared tier.
            Some(shared) if !self.memory.contains_key(key) => self.race(key, scope, shared, awaited).await,
            _ => self.load(key, scope).await,
        }
    }

    /// Reads the value from the origin, publishes it, and hands it to the shared tier.
    pub(super) async fn load(&self, key: &O::Key, scope: &Arc<Scope>) -> Landing<O::Value> {
        let begun = self.clock.now();
        self.counters.loaded();
        let loaded = self.origin.load(key).await?;
        let weight = self.origin.weight(&loaded.value);
        // Learning the version and publishing the value are one step for those who come for a flight: they see either
        // this one, or its value in memory, and never set out on one of their own in between. And for other flights:
        // whoever learned a newer version has published it, so versions in memory never go backwards.
        let one_step = self.slots();
        let (learned, epoch) = self.scopes.learn_read(scope, loaded.version, begun);
        let entry = Arc::new(Entry {
            weight,
            value: loaded.value,
            version: loaded.version,
            source: Source::Postgres,
            loaded_at: self.clock.utc(),
            loaded: begun,
            validated: Some(begun),
            epoch,
            scope: Arc::clone(scope),
        });
        // An unconfirmed value of the shared tier may be newer than what a read saw that began before it came.
        let outrun = |held: &Arc<Entry<O::Value>>| {
            held.epoch == epoch && held.version > entry.version && begun < held.loaded
        };
        if learned != Learned::Older && !self.memory.get(key).as_ref().is_some_and(outrun) {
            self.memory.insert(key.clone(), Arc::clone(&entry));
        }
        drop(one_step);
        if let Some(shared) = self.shared.as_ref().filter(|_| learned != Learned::Older)
            && let Some(json) = self.origin.encode(&entry.value)
        {
            shared.put(&self.family, &self.origin.id(key), entry.version, entry.loaded_at, &json);
        }
        Ok(Landed { entry, outcome: Outcome::Origin })
    }

    fn worth_validating(&self, entry: &Entry<O::Value>, known: &Known) -> bool {
        entry.epoch == known.epoch
            && entry.version >= known.fence
            && self.clock.now().saturating_duration_since(entry.loaded) < self.family.reload_after
    }

    /// Puts the value into memory unless something newer is known or held. To be called with the lock on the slots, which
    /// makes the check and the insertion one step, so versions never go backwards.
    pub(super) fn publish(&self, key: &O::Key, entry: &Arc<Entry<O::Value>>) {
        let known = entry.scope.known();
        let newer_held = self
            .memory
            .get(key)
            .is_some_and(|held| held.epoch == entry.epoch && held.version > entry.version);
        if entry.epoch == known.epoch && entry.version >= known.fence && !newer_held {
            self.memory.insert(key.clone(), Arc::clone(entry));
        }
    }

    /// Frees the slot and remembers how it went.
    fn settle(&self, key: &O::Key, id: u64, error: Option<&LoadError>) {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(key) else { return };
        match &slot.flight {
            // Another one set out since, with more knowledge: that one's fortune counts.
            Some(flight) if flight.id != id => return,
            _ => slot.flight = None,
        }
        let before = slot.failures;
        if let Some(error) = error {
            let failures = Failures::after(before, self.clock.now(), id);
            slot.failures = Some(failures);
            slot.error = Some(error.clone());
            drop(slots);
            self.counters.load_failed();
            if failures.is_first() && !matches!(error, LoadError::NoOrigin) {
                tracing::warn!(family = self.family.name, %error, "cannot load; the newest value held serves on");
            }
        } else {
            slot.failures = None;
            slot.error = None;
            if slot.flight.is_none() {
                slots.remove(key);
            }
            drop(slots);
            if before.is_some() {
                tracing::info!(family = self.family.name, "loads again");
            }
        }
    }
}
