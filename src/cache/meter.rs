//! Counters of a cache, whatever it holds.

use std::sync::Arc;

use crate::histogram::Durations;

use super::origin::Origin;
use super::read::Cache;
use super::stats::Statistics;

/// Reads the counters of one cache, and keeps the cache alive.
pub type Meter = Arc<dyn Fn() -> Metered + Send + Sync>;

/// The counters of one family since the start of the process.
#[derive(Debug, Clone, Copy)]
pub struct Metered {
    /// Its name.
    pub family: &'static str,
    /// Reads, and the number and size of values.
    pub statistics: Statistics,
    /// Duration of loads from the origin, failed ones included.
    pub loads: Durations,
}

impl<O: Origin> Cache<O> {
    /// Returns a reader of the cache's counters.
    pub fn meter(&self) -> Meter {
        let cache = self.clone();
        Arc::new(move || Metered {
            family: cache.0.family.name,
            statistics: cache.statistics(),
            loads: cache.0.counters.load_times(),
        })
    }
}
