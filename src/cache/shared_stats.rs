//! Counters of the shared tier, and its report for health.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::envelope::Rejected;
use super::kv::KvError;

/// How many calls the percentiles look back on.
const WINDOW: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Counters {
    calls: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    rejected: AtomicU64,
    failures: AtomicU64,
    skipped: AtomicU64,
    writes: AtomicU64,
    latencies: Mutex<Latencies>,
}

#[derive(Debug, Default)]
struct Latencies {
    microseconds: Vec<u32>,
    next: usize,
}

impl Counters {
    pub fn call(&self, took: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let microseconds = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        let next = latencies.next;
        match latencies.microseconds.get_mut(next) {
            Some(oldest) => *oldest = microseconds,
            None => latencies.microseconds.push(microseconds),
        }
        latencies.next = (next + 1) % WINDOW;
    }

    pub fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub fn rejected(&self, reason: Rejected) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(?reason, "a value in Cloudflare KV is not taken");
    }

    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub fn wrote(&self, pairs: usize) {
        self.writes.fetch_add(pairs as u64, Ordering::Relaxed);
    }

    fn percentile(&self, percent: usize) -> Option<f64> {
        let mut sorted = self.latencies.lock().unwrap_or_else(PoisonError::into_inner).microseconds.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent).div_ceil(100).checked_sub(1)?;
        sorted.get(at).map(|microseconds| f64::from(*microseconds) / 1e3)
    }
}

/// How the shared tier stands.
#[derive(Debug, Clone, Serialize)]
pub struct KvReport {
    /// Whether the last call went well and nothing is held back.
    #[serde(skip)]
    pub available: bool,
    /// The circuit breaker: `closed`, `open` or `half_open`.
    pub state: &'static str,
    /// What is wrong, in plain words.
    pub reason: Option<&'static str>,
    /// The way out.
    pub remedy: Option<&'static str>,
    /// Calls to Cloudflare.
    pub calls: u64,
    /// Reads that found a whole envelope.
    pub hits: u64,
    /// Reads that found nothing, failures included.
    pub misses: u64,
    /// Reads that found something else.
    pub rejected: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Calls not made: breaker, throttling or quota.
    pub skipped: u64,
    /// Pairs written.
    pub writes: u64,
    /// Pairs that wait to be written.
    pub queued: usize,
    /// Percentiles of the last 128 calls, in milliseconds.
    pub latency_ms: LatencyReport,
}

/// Percentiles, in milliseconds; absent before the first call.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LatencyReport {
    /// Half of the calls were quicker.
    pub p50: Option<f64>,
    /// All but one in twenty were quicker.
    pub p95: Option<f64>,
}

impl KvReport {
    pub(super) fn new(
        available: bool,
        state: &'static str,
        fault: Option<&KvError>,
        queued: usize,
        counters: &Counters,
    ) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            available,
            state,
            reason: fault.map(KvError::reason),
            remedy: fault.map(KvError::remedy),
            calls: read(&counters.calls),
            hits: read(&counters.hits),
            misses: read(&counters.misses),
            rejected: read(&counters.rejected),
            failures: read(&counters.failures),
            skipped: read(&counters.skipped),
            writes: read(&counters.writes),
            queued,
            latency_ms: LatencyReport { p50: counters.percentile(50), p95: counters.percentile(95) },
        }
    }
}
