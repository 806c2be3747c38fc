//! Reads through the cache.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::outage::Outage;

use super::backoff::Backoff;
use super::entry::{Entry, Source, Standing};
use super::family::{Family, OnOriginFailure};
use super::inner::{Front, Inner, Landed, Load};
use super::origin::{LoadError, Origin};
use super::scope::{Known, Scope, Scopes};
use super::stats::{Counters, Outcome, Statistics};
use super::tier::Tier;

/// Without a fallback, callers get the last error for this long before the origin is queried again.
const WITHOUT_VALUE: Duration = Duration::from_millis(500);
/// Most keys whose failures are remembered. Beyond that all of them are forgotten.
const MAX_SLOTS: usize = 10_000;

/// The cache of one family. Cheap to clone; clones share everything.
pub struct Cache<O: Origin>(pub(super) Arc<Inner<O>>);

impl<O: Origin> Clone for Cache<O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The result of a read.
#[derive(Debug)]
pub struct Read<V> {
    /// The value and its source.
    pub entry: Arc<Entry<V>>,
    /// How the read ended; never [`Outcome::Error`].
    pub outcome: Outcome,
    /// How long it stays fresh; zero when stale.
    pub fresh_for: Duration,
}

impl<V> Clone for Read<V> {
    fn clone(&self) -> Self {
        Self { entry: Arc::clone(&self.entry), ..*self }
    }
}

/// A value in memory, seen without a read.
#[derive(Debug)]
pub struct Held<V> {
    /// The value.
    pub entry: Arc<Entry<V>>,
    /// When it was last known to be current; `None` for a builtin value.
    pub validated_at: Option<OffsetDateTime>,
    /// Whether it is expired, outdated or builtin.
    pub stale: bool,
}

/// There is no value that the family may serve.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(#[from] pub LoadError);

/// A value that may be served stale.
struct Fallback<V> {
    entry: Arc<Entry<V>>,
    /// How long to wait for a fresh one, unless the origin is known to fail.
    patience: Duration,
}

impl<O: Origin> Cache<O> {
    /// Creates an empty cache. Loads run on `runtime`, independent of their callers. `floor` is served when there is
    /// nothing else, as [`Source::Builtin`] with version 0. `shared` is queried when memory has nothing, or only an
    /// outdated value while the origin fails; never for a family that keeps nothing there.
    pub fn new(
        family: Family,
        origin: O,
        floor: Option<(&O::Key, O::Value)>,
        shared: Option<Arc<dyn Tier>>,
        scopes: Arc<Scopes>,
        clock: Clock,
        runtime: Handle,
    ) -> Self {
        let unscoped = Arc::new(Scope::none(clock.now()));
        let floor = floor.map(|(key, value)| {
            let scope = origin.scope(key).map(|name| scopes.of(&name));
            Arc::new(Entry {
                weight: 0,
                value,
                version: 0,
                source: Source::Builtin,
                loaded_at: clock.utc(),
                loaded: clock.now(),
                born: clock.now(),
                validated: None,
                epoch: 0,
                scope: scope.unwrap_or_else(|| Arc::clone(&unscoped)),
            })
        });
        let memory = moka::sync::Cache::builder().name(family.name);
        let memory = memory.weigher(|_, entry: &Arc<Entry<O::Value>>| entry.weight);
        // A value beyond the bound would be refused, and loaded again by every read.
        let memory = match family.max_bytes {
            Some(bytes) => memory.max_capacity(bytes),
            None => memory,
        };
        let memory = memory.build();
        Self(Arc::new(Inner {
            family,
            origin,
            scopes,
            clock,
            runtime,
            memory,
            front: OnceLock::new(),
            counters: Counters::default(),
            shared: shared.filter(|_| family.keep_shared.is_some()),
            floor,
            unscoped,
            waiters: watch::channel(0).0,
            slots: Mutex::default(),
            outage: Mutex::new(Outage::new(Duration::ZERO)),
        }))
    }

    /// Reads a value: fresh from memory, or else through a load.
    ///
    /// A caller with a fallback waits at most the family's soft limit, or the hard limit if the fallback is outdated or
    /// the floor, and not at all while the origin is known to fail. Other callers wait at most the hard limit. Every
    /// call counts as one read with one outcome. Cancelling it affects no other caller.
    ///
    /// # Errors
    /// [`ReadError`] without value and fallback.
    pub async fn read(&self, key: &O::Key) -> Result<Read<O::Value>, ReadError> {
        let read = match self.0.hit(key) {
            Some(read) => Ok(read),
            None => self.0.miss(key).await,
        };
        self.0.counters.record(read.as_ref().map_or(Outcome::Error, |read| read.outcome));
        read
    }

    /// Reads a fresh value from memory, if `take` accepts it. Only then it counts as a read. Never waits.
    pub fn hit<T>(&self, key: &O::Key, take: impl FnOnce(Read<O::Value>) -> Option<T>) -> Option<T> {
        let taken = take(self.0.hit(key)?)?;
        self.0.counters.record(Outcome::Memory);
        Some(taken)
    }

    /// Validates or loads the value now, despite earlier failures. Not a read.
    ///
    /// # Errors
    /// The [`LoadError`] of the load.
    pub async fn refresh(&self, key: &O::Key) -> Result<Arc<Entry<O::Value>>, LoadError> {
        let flight = self.0.flight(key);
        flight.landed().await.map(|landed| landed.entry)
    }

    /// As [`Cache::refresh`], after the pause that earlier failures demand: 1 s, doubling to 30 s.
    ///
    /// # Errors
    /// The [`LoadError`] of the load.
    pub async fn refresh_when_due(&self, key: &O::Key) -> Result<Arc<Entry<O::Value>>, LoadError> {
        let failures = self.0.slots.lock().get(key).and_then(|slot| slot.failures);
        let wait = failures.map_or(Duration::ZERO, |failures| failures.due_in(self.0.clock.now()));
        self.0.clock.sleep(wait).await;
        self.refresh(key).await
    }

    /// Reads what another process left in the shared tier, fresh or as stale as the family may serve while its origin
    /// fails. `None` if there is no such value or no shared tier. Not a read.
    pub async fn recall(&self, key: &O::Key) -> Option<Arc<Entry<O::Value>>> {
        self.0.recall(key).await
    }

    /// Registers a waiting caller until the guard is dropped, for callers outside of [`Cache::read`]. A load with empty memory
    /// gives the shared tier less time while a caller waits.
    #[must_use]
    pub fn register_waiter(&self) -> WaiterGuard<'_> {
        self.0.register_waiter()
    }

    /// Returns the value in memory, or the floor. Not a read; never waits.
    pub fn held(&self, key: &O::Key) -> Option<Held<O::Value>> {
        let inner = &self.0;
        let entry = inner.memory.get(key).or_else(|| inner.floor.clone())?;
        let (now, utc, known) = (inner.clock.now(), inner.clock.utc(), entry.scope.known());
        let fresh = matches!(entry.standing(&inner.family, &known, now), Standing::Fresh { .. });
        let validated_at = entry.validated(&known).map(|at| utc - now.saturating_duration_since(at));
        Some(Held { stale: !fresh || entry.source == Source::Builtin, validated_at, entry })
    }

    /// Returns the counters since the start of the process.
    pub fn statistics(&self) -> Statistics {
        let memory = &self.0.memory;
        Statistics::read(&self.0.counters, memory.entry_count(), memory.weighted_size())
    }
}

/// A caller that waits, until it is dropped.
#[derive(Debug)]
pub struct WaiterGuard<'c>(&'c watch::Sender<usize>);

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiters| *waiters -= 1);
    }
}

impl<O: Origin> Inner<O> {
    fn register_waiter(&self) -> WaiterGuard<'_> {
        self.waiters.send_modify(|waiters| *waiters += 1);
        WaiterGuard(&self.waiters)
    }

    fn hit(self: &Arc<Self>, key: &O::Key) -> Option<Read<O::Value>> {
        let (read, refresh_due) = self.fresh(key)?;
        if refresh_due {
            self.refresh_in_background(key);
        }
        Some(read)
    }

    /// Returns a fresh value from memory, and whether it should be refreshed.
    fn fresh(&self, key: &O::Key) -> Option<(Read<O::Value>, bool)> {
        let now = self.clock.now();
        let fresh =
            |entry: Arc<Entry<O::Value>>| match entry.standing(&self.family, &entry.scope.known(), now) {
                Standing::Fresh { left, refresh_due } => {
                    Some((Read { entry, outcome: Outcome::Memory, fresh_for: left }, refresh_due))
                }
                Standing::Expired { .. } | Standing::Outdated => None,
            };
        // `memory` may have a younger value of the same version. A newer version would make this one outdated.
        let in_front = self.in_front(key).and_then(fresh).filter(|(_, refresh_due)| !refresh_due);
        in_front.or_else(|| {
            let found = fresh(self.memory.get(key)?)?;
            self.put_in_front(key, &found.0.entry);
            Some(found)
        })
    }

    fn in_front(&self, key: &O::Key) -> Option<Arc<Entry<O::Value>>> {
        let front = self.front.get().filter(|front| front.key == *key)?;
        Some(Arc::clone(&front.entry.read()))
    }

    /// Not for values of the shared tier, which the origin replaces at the same version. Nor without a scope, where no
    /// newer value makes one outdated.
    fn put_in_front(&self, key: &O::Key, entry: &Arc<Entry<O::Value>>) {
        if entry.source != Source::Origin || self.origin.scope(key).is_none() {
            return;
        }
        let first = || Front { key: key.clone(), entry: RwLock::new(Arc::clone(entry)) };
        let front = self.front.get_or_init(first);
        if front.key == *key {
            *front.entry.write() = Arc::clone(entry);
        }
    }

    async fn miss(self: &Arc<Self>, key: &O::Key) -> Result<Read<O::Value>, ReadError> {
        let scope = self.scope(key);
        let known = scope.known();
        let fallback = self.fallback(key, &known);
        let now = self.clock.now();

        let (flight, failing, error) = {
            let mut slots = self.slots.lock();
            // A load may have ended since the first look at memory.
            if let Some((read, _)) = self.fresh(key) {
                return Ok(read);
            }
            if slots.len() >= MAX_SLOTS {
                slots.retain(|_, slot| slot.flights.is_flying());
            }
            let slot = slots.entry(key.clone()).or_default();
            // A version that was read since shows that the origin answers again.
            let answers =
                |failures: &Backoff| known.seen.is_some_and(|seen| failures.ended_before(seen.begun));
            let failing = slot.failures.filter(|failures| !answers(failures));
            let due = failing.is_none_or(|failures| match fallback {
                Some(_) => failures.due_in(now).is_zero(),
                None => failures.passed(now) >= WITHOUT_VALUE,
            });
            let flight = if due || slot.flights.is_flying() {
                Some(self.join_or_start(key, &scope, slot))
            } else {
                None
            };
            (flight, failing.is_some(), slot.error.clone())
        };
        let patience = match (&fallback, &flight) {
            (Some(_), _) if failing => Duration::ZERO,
            (Some(fallback), Some(flight)) => {
                fallback.patience.saturating_sub(now.saturating_duration_since(flight.asked))
            }
            _ => self.family.hard_limit,
        };
        let Some(flight) = flight else {
            return stale(fallback).ok_or_else(|| ReadError(error.unwrap_or(LoadError::TimedOut)));
        };
        let _waits = self.register_waiter();
        let failure = match self.clock.timeout(patience, flight.landed()).await {
            Ok(Ok(Landed { entry, outcome })) => {
                let fresh_for = match entry.standing(&self.family, &scope.known(), self.clock.now()) {
                    Standing::Fresh { left, .. } => left,
                    Standing::Expired { .. } | Standing::Outdated => Duration::ZERO,
                };
                return Ok(Read { entry, outcome, fresh_for });
            }
            Ok(Err(error)) => error,
            Err(_) => LoadError::TimedOut,
        };
        stale(fallback).ok_or(ReadError(failure))
    }

    /// Returns the value that the family serves in place of a fresh one.
    fn fallback(&self, key: &O::Key, known: &Known) -> Option<Fallback<O::Value>> {
        let family = &self.family;
        let held = self.memory.get(key).and_then(|entry| {
            let patience = match (entry.standing(family, known, self.clock.now()), family.on_origin_failure) {
                (Standing::Outdated, OnOriginFailure::ServeAnyAge) => family.hard_limit,
                (_, OnOriginFailure::ServeAnyAge) => family.soft_limit,
                (Standing::Expired { age }, OnOriginFailure::ServeUpTo(limit)) if age <= limit => {
                    family.soft_limit
                }
                _ => return None,
            };
            Some(Fallback { entry, patience })
        });
        held.or_else(|| self.floor.clone().map(|entry| Fallback { entry, patience: family.hard_limit }))
    }

    fn flight(self: &Arc<Self>, key: &O::Key) -> Load<O::Value> {
        let scope = self.scope(key);
        let mut slots = self.slots.lock();
        self.join_or_start(key, &scope, slots.entry(key.clone()).or_default())
    }

    fn refresh_in_background(self: &Arc<Self>, key: &O::Key) {
        let scope = self.scope(key);
        let now = self.clock.now();
        let mut slots = self.slots.lock();
        let slot = slots.entry(key.clone()).or_default();
        if slot.failures.is_none_or(|failures| failures.due_in(now).is_zero()) {
            // No caller waits.
            drop(self.join_or_start(key, &scope, slot));
        }
    }
}

fn stale<V>(fallback: Option<Fallback<V>>) -> Option<Read<V>> {
    fallback.map(|Fallback { entry, .. }| Read { entry, outcome: Outcome::Stale, fresh_for: Duration::ZERO })
}
