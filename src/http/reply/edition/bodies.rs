//! Bodies that are kept as long as there is room.

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::http::reply::representation::Slot;

use super::resource::{ENTRY_BYTES, Key};

/// Bodies of which those asked for again stay when there are too many.
///
/// A body comes among those that were asked for once, and moves among those in demand when it is asked for again. Each kind
/// makes room among its own, by the time of the last use: a flood of bodies that nobody asks for twice pushes out none that
/// is in demand. Frequency, by which moka decides otherwise, would keep a long body out for as long as many short ones are
/// held.
pub(super) struct Bodies {
    once: Cache<Key, Slot>,
    in_demand: Cache<Key, Slot>,
}

impl Bodies {
    /// Bounded to so many bytes, of which those in demand have two thirds.
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

    /// The place of a body, if it has one.
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

    /// The place of a body, a new one if it has none.
    pub fn get_or_add(&self, key: &Key) -> Slot {
        self.in_demand.get(key).unwrap_or_else(|| self.once.get_with(key.clone(), Slot::default))
    }

    /// Weighs a body that has been made and makes room for it: at once, and not some 64 bodies later.
    pub fn weigh(&self, key: Key, slot: Slot) {
        if !self.in_demand.contains_key(&key) {
            self.once.insert(key, slot);
            self.once.run_pending_tasks();
        }
    }

    /// Gives up the place of a body.
    pub fn remove(&self, key: &Key) {
        self.once.invalidate(key);
        self.in_demand.invalidate(key);
    }

    /// Bodies kept, and their bytes. Behind by a moment.
    pub fn kept(&self) -> (u64, u64) {
        [&self.once, &self.in_demand]
            .iter()
            .fold((0, 0), |(n, sum), cache| (n + cache.entry_count(), sum + cache.weighted_size()))
    }

    /// Makes all that is due at once, so that what is kept is exact.
    #[cfg(test)]
    pub fn settle(&self) {
        self.once.run_pending_tasks();
        self.in_demand.run_pending_tasks();
    }
}
