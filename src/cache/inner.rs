//! The state of a cache.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::outage::Outage;

use super::entry::Entry;
use super::family::Family;
use super::flight::Slot;
use super::origin::Origin;
use super::scope::{Scope, Scopes};
use super::stats::Counters;
use super::tier::Tier;

/// What the clones of a cache share.
pub(super) struct Inner<O: Origin> {
    pub family: Family,
    pub origin: O,
    pub scopes: Arc<Scopes>,
    pub clock: Clock,
    pub runtime: Handle,
    pub memory: moka::sync::Cache<O::Key, Arc<Entry<O::Value>>>,
    pub front: OnceLock<Front<O::Key, O::Value>>,
    pub counters: Counters,
    pub shared: Option<Arc<dyn Tier>>,
    pub floor: Option<Arc<Entry<O::Value>>>,
    /// The scope of keys that have none.
    pub unscoped: Arc<Scope>,
    /// How many callers wait for a flight.
    pub waiters: watch::Sender<usize>,
    pub slots: Mutex<HashMap<O::Key, Slot<O::Value>>>,
    /// Loads that fail, of whatever key.
    pub outage: Mutex<Outage>,
    pub flights: AtomicU64,
}

/// The value of the first key that was hit, once more: a family of one key, such as the catalogue, is read without the
/// housekeeping of `memory`, which takes longer than the rest of a hit and now and then allocates.
pub(super) struct Front<K, V> {
    pub key: K,
    pub entry: RwLock<Arc<Entry<V>>>,
}

impl<O: Origin> Inner<O> {
    pub fn scope(&self, key: &O::Key) -> Arc<Scope> {
        self.origin.scope(key).map_or_else(|| Arc::clone(&self.unscoped), |name| self.scopes.of(&name))
    }

    pub fn next_flight(&self) -> u64 {
        self.flights.fetch_add(1, Ordering::Relaxed)
    }
}
