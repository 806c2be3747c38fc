//! Resources by address: a repeated address is answered without parsing it.

use moka::sync::Cache;

use crate::http::reply::freshness::Lifetime;
use crate::http::reply::route::Route;

use super::resource::{ENTRY_BYTES, Resource};

/// Bound of all addresses, in bytes.
pub(super) const TARGETS_BYTES: u64 = 1 << 20;

/// The resource of an address.
#[derive(Clone)]
pub struct Target {
    pub resource: Resource,
    pub lifetime: Lifetime,
    /// Its label in the metrics.
    pub route: Option<Route>,
}

/// Targets by literal path and query. Frequent ones stay.
pub(super) struct Targets(Cache<Box<str>, Target>);

impl Default for Targets {
    fn default() -> Self {
        let targets = Cache::<Box<str>, Target>::builder().max_capacity(TARGETS_BYTES);
        let targets = targets.weigher(|address, target| {
            u32::try_from(ENTRY_BYTES + address.len() + target.resource.key_bytes()).unwrap_or(u32::MAX)
        });
        Self(targets.build())
    }
}

impl Targets {
    pub fn get(&self, address: &str) -> Option<Target> {
        self.0.get(address)
    }

    pub fn put(&self, address: &str, target: Target) {
        self.0.insert(address.into(), target);
    }

    #[cfg(test)]
    /// Returns the number of addresses and their bytes, with a short delay.
    pub fn kept(&self) -> (u64, u64) {
        self.0.run_pending_tasks();
        (self.0.entry_count(), self.0.weighted_size())
    }
}
