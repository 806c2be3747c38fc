//! The state of a cache.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::outage::Outage;

use super::backoff::Backoff;
use super::entry::Entry;
use super::family::Family;
use super::flight::Flights;
use super::origin::{LoadError, Origin};
use super::scope::{Scope, Scopes};
use super::stats::{Counters, Outcome};
use super::tier::Tier;

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
    /// Scope of keys without one.
    pub unscoped: Arc<Scope>,
    /// Number of callers that wait for a load.
    pub waiters: watch::Sender<usize>,
    pub slots: Mutex<HashMap<O::Key, Slot<O::Value>>>,
    pub outage: Mutex<Outage>,
}

/// The loads of one key, and the result of the last.
pub(super) struct Slot<V> {
    pub flights: Flights<Load<V>>,
    pub failures: Option<Backoff>,
    pub error: Option<LoadError>,
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self { flights: Flights::default(), failures: None, error: None }
    }
}

/// The result of a load.
#[derive(Debug)]
pub(super) struct Landed<V> {
    pub entry: Arc<Entry<V>>,
    /// `Memory` if the value in memory was unchanged, `Kv` if the shared tier had it, `Origin` if it was loaded.
    pub outcome: Outcome,
}

impl<V> Clone for Landed<V> {
    fn clone(&self) -> Self {
        Self { entry: Arc::clone(&self.entry), outcome: self.outcome }
    }
}

pub(super) type Landing<V> = Result<Landed<V>, LoadError>;

/// A load that callers wait for.
#[derive(Debug)]
pub(super) struct Load<V> {
    pub asked: Instant,
    pub landing: watch::Sender<Option<Landing<V>>>,
}

impl<V> Clone for Load<V> {
    fn clone(&self) -> Self {
        Self { asked: self.asked, landing: self.landing.clone() }
    }
}

impl<V> Load<V> {
    pub fn new(asked: Instant) -> Self {
        Self { asked, landing: watch::Sender::new(None) }
    }

    /// Waits for the end. Cancelling the wait affects no other caller.
    pub async fn landed(self) -> Landing<V> {
        let mut landing = self.landing.subscribe();
        let landed = landing.wait_for(Option::is_some).await;
        landed.ok().and_then(|landing| landing.clone()).unwrap_or(Err(LoadError::Panicked))
    }
}

/// The value of the first key that was hit, outside `memory`.
///
/// A family of one key needs no recency. Every `get` of `memory` records it, which costs more than the rest of a hit
/// and allocates: without this field, `tests/allocations.rs` counts one allocation per hit. Our own map of slots, with
/// `memory` for keys and weights, would have to record it too, or evict keys in use.
pub(super) struct Front<K, V> {
    pub key: K,
    pub entry: RwLock<Arc<Entry<V>>>,
}

impl<O: Origin> Inner<O> {
    pub fn scope(&self, key: &O::Key) -> Arc<Scope> {
        self.origin.scope(key).map_or_else(|| Arc::clone(&self.unscoped), |name| self.scopes.of(&name))
    }
}
