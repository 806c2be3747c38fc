//! Counters of reads. Every read has exactly one outcome.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::domain::closed::closed_enum;
use crate::histogram::{Durations, Histogram};

closed_enum!(
    /// How a read ended.
    Outcome {
        /// A fresh value from memory, or one found unchanged.
        Memory = "memory",
        /// A value from the shared tier.
        Kv = "kv",
        /// An expired or builtin value, because the origin failed or was slow.
        Stale = "stale",
        /// A value loaded for this read or for one that shared the load.
        Origin = "origin",
        /// No value.
        Error = "error",
    }
);

/// Live counters of one family.
#[derive(Debug, Default)]
pub(super) struct Counters {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    loads: AtomicU64,
    load_failures: AtomicU64,
    validations: AtomicU64,
    load_times: Histogram,
}

impl Counters {
    pub fn record(&self, outcome: Outcome) {
        // Relaxed: the counters order nothing, and may be a moment late.
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn loaded(&self) {
        self.loads.fetch_add(1, Ordering::Relaxed);
    }

    pub fn load_failed(&self) {
        self.load_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub fn load_took(&self, duration: Duration) {
        self.load_times.record(duration);
    }

    pub fn load_times(&self) -> Durations {
        self.load_times.read()
    }

    pub fn validated(&self) {
        self.validations.fetch_add(1, Ordering::Relaxed);
    }
}

/// A copy of the counters since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// All reads: the sum of the five outcomes.
    pub reads: u64,
    /// Reads answered from memory.
    pub memory: u64,
    /// Reads answered from the shared tier.
    pub kv: u64,
    /// Reads answered with a stale or builtin value.
    pub stale: u64,
    /// Reads that waited for a load.
    pub origin: u64,
    /// Reads that got nothing.
    pub error: u64,
    /// Loads from the origin; many reads may share one.
    pub loads: u64,
    /// Loads and version reads that failed.
    pub load_failures: u64,
    /// Version reads that found the value unchanged.
    pub validations: u64,
    /// Values in memory.
    pub entries: u64,
    /// Their size in bytes, without indexes that later queries build.
    pub bytes: u64,
}

impl Statistics {
    pub(super) fn read(counters: &Counters, entries: u64, bytes: u64) -> Self {
        let count = |outcome: Outcome| counters.outcomes[outcome as usize].load(Ordering::Relaxed);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [memory, kv, stale, origin, error] =
            [Outcome::Memory, Outcome::Kv, Outcome::Stale, Outcome::Origin, Outcome::Error].map(count);
        Self {
            reads: memory + kv + stale + origin + error,
            memory,
            kv,
            stale,
            origin,
            error,
            loads: load(&counters.loads),
            load_failures: load(&counters.load_failures),
            validations: load(&counters.validations),
            entries,
            bytes,
        }
    }

    /// Reads that needed no load: memory, shared tier and stale.
    pub fn hits(&self) -> u64 {
        self.memory + self.kv + self.stale
    }

    /// Reads that waited for a load, or got nothing.
    pub fn misses(&self) -> u64 {
        self.origin + self.error
    }

    /// Hits among all reads, such as `96.5%`; `0.0%` before the first read.
    pub fn hit_ratio(&self) -> String {
        let per_mille = (self.hits() * 1_000 + self.reads / 2).checked_div(self.reads).unwrap_or(0);
        format!("{}.{}%", per_mille / 10, per_mille % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_add_up_to_reads_hits_and_misses() {
        let counters = Counters::default();
        for (outcome, times) in Outcome::ALL.iter().zip([5, 1, 2, 3, 1]) {
            (0..times).for_each(|_| counters.record(*outcome));
        }
        let statistics = Statistics::read(&counters, 1, 10);
        assert_eq!((statistics.reads, statistics.hits(), statistics.misses()), (12, 8, 4));
        assert_eq!(statistics.hit_ratio(), "66.7%");
    }

    #[test]
    fn the_ratio_before_the_first_read_is_zero() {
        assert_eq!(Statistics::default().hit_ratio(), "0.0%");
    }
}
