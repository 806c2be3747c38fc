//! A bounded store of bodies.

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::http::reply::representation::Slot;

use super::resource::{ENTRY_BYTES, Key};

/// Bodies in two segments: used once, and used again.
///
/// Each segment evicts its least recently used bodies, so a flood of queries that do not repeat evicts nothing in
/// demand. Frequency, moka's other policy, would keep a long body out for as long as many short ones are held.
pub(super) struct Bodies {
    once: Cache<Key, Slot>,
    in_demand: Cache<Key, Slot>,
}

impl Bodies {
    /// Bounded in bytes, two thirds for bodies in demand.
    pub fn bounded(bytes: u64) -> Self {
        let bounded = |bytes| {
            let weigh = |(resource, _): &Key, slot: &Slot| {
                let body = slot.get().map_or(0, |body| body.bytes.len());
                u32::try_from(ENTRY_BYTES + resource.key_bytes() + body).unwrap_or(u32::MAX)
            };
            Cache::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru()).build()
        };
        Self { once: bounded(bytes / 3), in_demand: bounded(bytes - bytes / 3) }
    }

    /// Returns the slot of a body, if it has one.
    pub fn get(&self, key: &Key) -> Option<Slot> {
        self.in_demand.get(key).or_else(|| {
            let slot = self.once.get(key)?;
            if slot.initialized() {
                self.in_demand.insert(key.clone(), Slot::clone(&slot));
                self.once.invalidate(key);
            }
            Some(slot)
        })
    }

    /// Returns the slot of a body, or a new one.
    pub fn get_or_add(&self, key: &Key) -> Slot {
        self.in_demand.get(key).unwrap_or_else(|| self.once.get_with(key.clone(), Slot::default))
    }

    /// Weighs a finished body and evicts at once, instead of 64 bodies later.
    pub fn weigh(&self, key: Key, slot: Slot) {
        if !self.in_demand.contains_key(&key) {
            self.once.insert(key, slot);
            self.once.run_pending_tasks();
        }
    }

    /// Removes the slot of a body.
    pub fn remove(&self, key: &Key) {
        self.once.invalidate(key);
        self.in_demand.invalidate(key);
    }

    /// Returns the number of bodies and their bytes, with a short delay.
    pub fn kept(&self) -> (u64, u64) {
        [&self.once, &self.in_demand]
            .iter()
            .fold((0, 0), |(n, sum), cache| (n + cache.entry_count(), sum + cache.weighted_size()))
    }

    /// Applies pending maintenance, so that counts are exact.
    #[cfg(test)]
    pub fn settle(&self) {
        self.once.run_pending_tasks();
        self.in_demand.run_pending_tasks();
    }
}
