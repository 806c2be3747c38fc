//! Measures the bytes of values on the heap, without the allocator's overhead.

use std::collections::{BTreeMap, HashMap};

use super::id::{ModelId, ProviderId, TaskId};
use super::model::{Capability, Modality, Model};
use super::price::{OffPeak, OffPeakWindow, Pricing, Tier};
use super::provider::Provider;
use super::task::TaskType;

/// A value that knows its bytes on the heap.
pub(super) trait Heap {
    /// Returns the bytes on the heap, without the value itself.
    fn heap(&self) -> usize;
}

macro_rules! owns_nothing {
    ($($type:ty),+) => { $(impl Heap for $type { fn heap(&self) -> usize { 0 } })+ };
}

owns_nothing!(u8, u32, usize, Modality, Capability, Tier);

macro_rules! shared_text {
    ($($type:ty),+) => { $(impl Heap for $type {
        /// Two counters before the text.
        fn heap(&self) -> usize { (2 * size_of::<usize>() + self.as_str().len()).next_multiple_of(size_of::<usize>()) }
    })+ };
}

shared_text!(ModelId, ProviderId, TaskId);

impl Heap for String {
    fn heap(&self) -> usize {
        self.capacity()
    }
}

impl<T: Heap> Heap for Option<T> {
    fn heap(&self) -> usize {
        self.as_ref().map_or(0, Heap::heap)
    }
}

impl<T: Heap> Heap for Vec<T> {
    fn heap(&self) -> usize {
        self.capacity() * size_of::<T>() + self.iter().map(Heap::heap).sum::<usize>()
    }
}

impl<K: Heap, V: Heap> Heap for BTreeMap<K, V> {
    /// A node has room for eleven.
    fn heap(&self) -> usize {
        let node = 11 * (size_of::<K>() + size_of::<V>()) + 2 * size_of::<usize>();
        let entries = self.iter().map(|(key, value)| key.heap() + value.heap());
        self.len().div_ceil(11) * node + entries.sum::<usize>()
    }
}

impl Heap for Provider {
    fn heap(&self) -> usize {
        self.id.heap()
            + self.name.heap()
            + self.base_url.heap()
            + self.openai_compatible_base_url.heap()
            + self.docs_url.heap()
            + self.models_list_url.heap()
            + self.auth_header.heap()
            + self.auth_scheme.heap()
            + self.extra_headers.heap()
            + self.env.heap()
    }
}

impl Heap for TaskType {
    fn heap(&self) -> usize {
        self.id.heap() + self.name.heap() + self.description.heap()
    }
}

impl Heap for Model {
    /// Without the ids of provider and tasks, which share the texts of their rows.
    fn heap(&self) -> usize {
        self.id.heap()
            + self.provider_model_id.heap()
            + self.name.heap()
            + self.family.heap()
            + self.successor.heap()
            + self.input_modalities.heap()
            + self.output_modalities.heap()
            + self.capabilities.heap()
            + self.tasks.capacity() * size_of::<TaskId>()
            + self.pricing.heap()
            + self.price_source.heap()
    }
}

impl Heap for Pricing {
    fn heap(&self) -> usize {
        self.tiers.heap() + self.off_peak.heap()
    }
}

impl Heap for OffPeak {
    fn heap(&self) -> usize {
        self.windows_utc.heap()
    }
}

impl Heap for OffPeakWindow {
    fn heap(&self) -> usize {
        self.hours_utc.heap() + self.weekdays.heap()
    }
}

/// Returns the bytes of a map's table whose keys share their texts with others: a power of two of slots, seven in eight
/// used, and a byte for each.
pub(super) fn table<K, V>(map: &HashMap<K, V>) -> usize {
    let places = (map.capacity() * 8 / 7).next_power_of_two();
    if map.capacity() == 0 { 0 } else { places * (size_of::<(K, V)>() + 1) + 16 }
}
