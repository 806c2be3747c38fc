//! The counters of a cache for whoever does not know what it holds.

use std::fmt;
use std::sync::Arc;

use crate::histogram::Durations;

use super::origin::Origin;
use super::read::Cache;
use super::stats::Statistics;

/// Reads the counters of one cache. Cheap to clone. Keeps the cache alive.
#[derive(Clone)]
pub struct Meter(Arc<dyn Fn() -> Metered + Send + Sync>);

/// The counters of one family since the start of the process.
#[derive(Debug, Clone, Copy)]
pub struct Metered {
    /// Its name.
    pub family: &'static str,
    /// Reads and what is held.
    pub statistics: Statistics,
    /// How long loads from the origin took that ended, well or not.
    pub loads: Durations,
}

impl Meter {
    /// What the counters say now.
    pub fn read(&self) -> Metered {
        (self.0)()
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Meter").field(&self.read()).finish()
    }
}

impl<O: Origin> Cache<O> {
    /// A reader of its counters.
    pub fn meter(&self) -> Meter {
        let cache = self.clone();
        Meter(Arc::new(move || Metered {
            family: cache.0.family.name,
            statistics: cache.statistics(),
            loads: cache.0.counters.load_times(),
        }))
    }
}
