//! Counts durations in buckets. Recording costs two atomic additions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in seconds; one more bucket holds longer durations.
pub const BOUNDS: [f64; 16] =
    [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Live counts, without a lock: a read may miss concurrent records.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < duration.as_secs_f64());
        // Relaxed, because counters order nothing.
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Returns a copy of the counts.
    pub fn read(&self) -> Durations {
        Durations {
            counts: std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed)),
            total: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}

/// Counts of durations at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durations {
    /// Count per bucket of [`BOUNDS`], and of longer durations.
    pub counts: [u64; BOUNDS.len() + 1],
    /// Sum of all durations.
    pub total: Duration,
}

impl Durations {
    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the mean since `before`, in milliseconds with three decimals; `None` without any.
    pub fn mean_since(&self, before: &Self) -> Option<f64> {
        let count = u32::try_from(self.count().saturating_sub(before.count())).unwrap_or(u32::MAX);
        let mean = self.total.saturating_sub(before.total).checked_div(count)?;
        Some((mean.as_secs_f64() * 1e6).round() / 1e3)
    }
}

impl std::ops::AddAssign for Durations {
    fn add_assign(&mut self, other: Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.total = self.total.saturating_add(other.total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_falls_into_the_first_bucket_that_fits() {
        let histogram = Histogram::default();
        let mut expected = [0; BOUNDS.len() + 1];
        for (bucket, bound) in BOUNDS.iter().enumerate() {
            histogram.record(Duration::from_secs_f64(*bound));
            histogram.record(Duration::from_secs_f64(*bound) + Duration::from_nanos(1));
            expected[bucket] += 1;
            expected[bucket + 1] += 1;
        }
        let read = histogram.read();
        assert_eq!((read.counts, read.count()), (expected, 32));
        assert_eq!(read.total, Duration::from_nanos(38_888_700_016));
    }

    #[test]
    fn histograms_add_up() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_hours(1));
        let mut twice = histogram.read();
        twice += histogram.read();
        assert_eq!((twice.count(), twice.total), (2, Duration::from_hours(2)));
    }
}
