//! Loads: runs each in its own task, and publishes the value.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use super::backoff::{Backoff, jitter};
use super::entry::{Entry, Source};
use super::flight::{Flights, Joined, Left};
use super::inner::{Inner, Landed, Landing, Load, Slot};
use super::origin::{LoadError, Origin};
use super::scope::{Known, Learned, Scope};
use super::stats::Outcome;

/// First and longest pause after a failed load.
const LOAD_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl<O: Origin> Inner<O> {
    /// Returns a load that knows all that is known now: one in progress, or a new one.
    pub(super) fn join_or_start(
        self: &Arc<Self>,
        key: &O::Key,
        scope: &Arc<Scope>,
        slot: &mut Slot<O::Value>,
    ) -> Load<O::Value> {
        match slot.flights.join(&scope.known(), || Load::new(self.clock.now())) {
            Joined::Shared(load) => load,
            Joined::Started(id, load) => {
                self.launch(key, scope, id, load.clone());
                load
            }
        }
    }

    fn launch(self: &Arc<Self>, key: &O::Key, scope: &Arc<Scope>, id: u64, load: Load<O::Value>) {
        let (inner, key, scope) = (Arc::clone(self), key.clone(), Arc::clone(scope));
        let work = self.runtime.spawn({
            let (inner, key, scope) = (Arc::clone(&inner), key.clone(), Arc::clone(&scope));
            async move {
                let flight = inner.clock.timeout(inner.family.flight_limit, inner.fly(&key, &scope, id));
                flight.await.unwrap_or(Err(LoadError::TimedOut))
            }
            .instrument(tracing::debug_span!("load", family = self.family.name))
        });
        // A second task, so that after a panic in the first the slot is free and all waiters get an error.
        self.runtime.spawn(async move {
            let landing = work.await.unwrap_or(Err(LoadError::Panicked));
            inner.settle(&key, &scope, id, landing.as_ref().err());
            load.landing.send_replace(Some(landing));
        });
    }

    /// Records what a load knows, for callers that may share it.
    pub(super) fn update_flights(&self, key: &O::Key, update: impl FnOnce(&mut Flights<Load<O::Value>>)) {
        if let Some(slot) = self.slots.lock().get_mut(key) {
            update(&mut slot.flights);
        }
    }

    /// Validates the value in memory, or loads a new one.
    async fn fly(&self, key: &O::Key, scope: &Arc<Scope>, flight: u64) -> Landing<O::Value> {
        let set_out = scope.known();
        let held = self.memory.get(key);
        if scope.has_versions()
            && let Some(entry) = held.as_ref().filter(|entry| self.worth_validating(entry, &set_out))
        {
            let begun = self.clock.now();
            let version = self.origin.version(key).await?;
            let (learned, _) = self.scopes.learn_read(scope, version, begun);
            learned.log(scope, version, self.clock.now());
            if version == entry.version && matches!(learned, Learned::Unchanged | Learned::Raised) {
                self.counters.validated();
                return Ok(Landed { entry: Arc::clone(entry), outcome: Outcome::Memory });
            }
        }
        match (&self.shared, held) {
            (Some(shared), None) => self.race(key, scope, shared, flight).await,
            // While the origin answers, an outdated value in memory is newer than any in the shared tier.
            (Some(shared), Some(held)) if held.version < set_out.fence => {
                match self.load(key, scope, flight).await {
                    Err(error) => self.rescue(key, scope, shared, error).await,
                    landed => landed,
                }
            }
            _ => self.load(key, scope, flight).await,
        }
    }

    /// Reads the value from the origin, publishes it, and passes it to the shared tier.
    pub(super) async fn load(&self, key: &O::Key, scope: &Arc<Scope>, flight: u64) -> Landing<O::Value> {
        let begun = self.clock.now();
        self.update_flights(key, |flights| flights.mark_loading(flight, &scope.known()));
        self.counters.loaded();
        let loaded = self.origin.load(key).await;
        self.counters.load_took(self.clock.now().saturating_duration_since(begun));
        let loaded = loaded?;
        let weight = self.origin.weight(&loaded.value);
        // Learning the version and publishing the value are one step under this lock. Callers see either this load or
        // its value, and start no load in between. A load that learned a newer version has published it, so versions in
        // memory never go backwards.
        let one_step = self.slots.lock();
        let loaded_at = self.clock.utc();
        let (version, (learned, epoch)) = if scope.has_versions() {
            (loaded.version, self.scopes.learn_read(scope, loaded.version, begun))
        } else {
            let milliseconds = loaded_at.unix_timestamp_nanos() / 1_000_000;
            (u64::try_from(milliseconds).unwrap_or(0), (Learned::Unchanged, 0))
        };
        let entry = Arc::new(Entry {
            weight,
            value: loaded.value,
            version,
            source: Source::Origin,
            loaded_at,
            loaded: begun,
            born: begun,
            validated: Some(begun),
            epoch,
            scope: Arc::clone(scope),
        });
        // A value below the fence is stale. It still replaces an older one, or later callers would see time go
        // backwards while the origin fails.
        let follows = |held: &Arc<Entry<O::Value>>| {
            let known = scope.known();
            held.epoch == epoch && begun >= known.epoch_began && entry.supersedes(held, &known)
        };
        let publish = match learned {
            Learned::Older => self.memory.get(key).as_ref().is_some_and(follows),
            Learned::Raised | Learned::Unchanged | Learned::Lowered => true,
        };
        if publish {
            self.memory.insert(key.clone(), Arc::clone(&entry));
        }
        drop(one_step);
        learned.log(scope, version, self.clock.now());
        if let Some(shared) = self.shared.as_ref().filter(|_| learned != Learned::Older)
            && let Some(json) = self.origin.encode(&entry.value)
        {
            shared.put(&self.family, &self.origin.id(key), entry.version, entry.loaded_at, &json);
        }
        Ok(Landed { entry, outcome: Outcome::Origin })
    }

    fn worth_validating(&self, entry: &Entry<O::Value>, known: &Known) -> bool {
        entry.validated.is_some()
            && entry.epoch == known.epoch
            && entry.version >= known.fence
            && self.clock.now().saturating_duration_since(entry.loaded) < self.family.reload_after
    }

    /// Puts the value into memory unless a newer or better confirmed one is known. The caller holds the lock on the
    /// slots.
    pub(super) fn publish(&self, key: &O::Key, entry: &Arc<Entry<O::Value>>) {
        let known = entry.scope.known();
        let is_kept = self.memory.get(key).is_some_and(|held| !entry.supersedes(&held, &known));
        if entry.epoch == known.epoch && entry.version >= known.fence && !is_kept {
            self.memory.insert(key.clone(), Arc::clone(entry));
        }
    }

    /// Frees the slot, starts the load that waits, and records the result.
    fn settle(self: &Arc<Self>, key: &O::Key, scope: &Arc<Scope>, id: u64, error: Option<&LoadError>) {
        let now = self.clock.now();
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(key) else { return };
        let Left { was_newest, next } = slot.flights.land(id, &scope.known());
        if was_newest {
            slot.failures =
                error.map(|_| Backoff::after(slot.failures, LOAD_PAUSES, now, jitter(&self.clock)));
            slot.error = error.cloned();
        }
        if let Some((id, load)) = next {
            self.launch(key, scope, id, load);
        } else if !slot.flights.is_flying() && slot.failures.is_none() {
            slots.remove(key);
        }
        drop(slots);
        if !was_newest {
            return;
        }
        if let Some(error) = error {
            self.counters.load_failed();
            if !matches!(error, LoadError::NoOrigin) && self.outage.lock().record_failure((), now) {
                tracing::warn!(family = self.family.name, %error, "cannot load; the newest value held serves on");
            }
        } else if self.outage.lock().record_success(now).is_some() {
            tracing::info!(family = self.family.name, "loads again");
        }
    }
}
