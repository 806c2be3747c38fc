//! Counters of the shared tier, and its report.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use crate::domain::closed::closed_enum;
use crate::histogram::{Durations, Histogram};
use crate::kv_client::{KvErrorClass, KvFailure};

use super::budget::KvBudget;
use super::notice::Fault;
use super::operation::{Operation, Skip};

/// Number of calls that the percentiles cover.
const WINDOW: usize = 128;

closed_enum!(
    /// How a call to Cloudflare ended.
    CallOutcome {
        /// It was answered, with a value or without one.
        Ok = "ok",
        /// Refused for a wrong setting.
        Configuration = "configuration",
        /// Refused for its token.
        Permission = "permission",
        /// The day's quota is used up.
        Quota = "quota",
        /// Too many calls.
        Throttled = "throttled",
        /// The time limit passed.
        Timeout = "timeout",
        /// No connection, or one that broke.
        Connect = "connect",
        /// Cloudflare reports a fault of its own.
        Server = "server",
        /// Not an answer of KV's.
        Malformed = "malformed",
        /// Larger than the limits allow.
        TooLarge = "too_large",
    }
);

impl From<KvErrorClass> for CallOutcome {
    fn from(class: KvErrorClass) -> Self {
        match class {
            KvErrorClass::Configuration(_) => Self::Configuration,
            KvErrorClass::Permission => Self::Permission,
            KvErrorClass::Quota => Self::Quota,
            KvErrorClass::Throttled { .. } => Self::Throttled,
            KvErrorClass::Failure(KvFailure::Timeout) => Self::Timeout,
            KvErrorClass::Failure(KvFailure::Connect) => Self::Connect,
            KvErrorClass::Failure(KvFailure::Server) => Self::Server,
            KvErrorClass::Failure(KvFailure::Malformed) => Self::Malformed,
            KvErrorClass::Failure(KvFailure::TooLarge) => Self::TooLarge,
        }
    }
}

/// Calls of one operation since the start of the process.
#[derive(Debug, Clone)]
pub struct KvCalls {
    /// The operation; querying the namespace counts as a read.
    pub operation: Operation,
    /// Number by outcome.
    pub outcomes: Vec<(CallOutcome, u64)>,
    /// How long they took.
    pub took: Durations,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    calls: AtomicU64,
    outcomes: [[AtomicU64; CallOutcome::ALL.len()]; Operation::ALL.len()],
    took: [Histogram; Operation::ALL.len()],
    hits: AtomicU64,
    misses: AtomicU64,
    rejected: AtomicU64,
    skipped: [AtomicU64; Skip::ALL.len()],
    writes: AtomicU64,
    deletes: AtomicU64,
    latencies: Mutex<Latencies>,
}

#[derive(Debug, Default)]
struct Latencies {
    microseconds: Vec<u32>,
    next: usize,
}

impl Counters {
    pub fn call(&self, operation: Operation, took: Duration) {
        self.took[operation as usize].record(took);
        self.calls.fetch_add(1, Ordering::Relaxed);
        let microseconds = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let mut latencies = self.latencies.lock();
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

    pub fn rejected(&self, reason: impl std::fmt::Debug) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(?reason, "a value in Cloudflare KV is not taken");
    }

    pub fn ended(&self, operation: Operation, outcome: CallOutcome) {
        self.outcomes[operation as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the calls by operation.
    pub fn by_operation(&self) -> Vec<KvCalls> {
        let calls = |operation: &Operation| {
            let outcomes = &self.outcomes[*operation as usize];
            let count = |outcome: &CallOutcome| outcomes[*outcome as usize].load(Ordering::Relaxed);
            KvCalls {
                operation: *operation,
                outcomes: CallOutcome::ALL.iter().map(|outcome| (*outcome, count(outcome))).collect(),
                took: self.took[*operation as usize].read(),
            }
        };
        Operation::ALL.iter().map(calls).collect()
    }

    fn failures(&self) -> u64 {
        let outcomes = self.by_operation().into_iter().flat_map(|calls| calls.outcomes);
        outcomes.filter(|(outcome, _)| *outcome != CallOutcome::Ok).map(|(_, count)| count).sum()
    }

    pub fn skipped(&self, skip: Skip) {
        self.skipped[skip as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn wrote(&self, pairs: usize) {
        self.writes.fetch_add(pairs as u64, Ordering::Relaxed);
    }

    pub fn deleted(&self, keys: usize) {
        self.deletes.fetch_add(keys as u64, Ordering::Relaxed);
    }

    fn percentile(&self, percent: usize) -> Option<f64> {
        let mut sorted = self.latencies.lock().microseconds.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent).div_ceil(100).checked_sub(1)?;
        sorted.get(at).map(|microseconds| f64::from(*microseconds) / 1e3)
    }
}

/// State of the shared tier.
#[derive(Debug, Clone, Serialize)]
pub struct KvReport {
    /// Whether the last call succeeded and no operation is out of quota.
    #[serde(skip)]
    pub available: bool,
    /// The circuit breaker: `closed`, `open` or `half_open`.
    pub state: &'static str,
    /// What is wrong, in plain words.
    pub reason: Option<&'static str>,
    /// How to fix it.
    pub remedy: Option<&'static str>,
    /// Calls to Cloudflare.
    pub calls: u64,
    /// Reads that found a valid envelope.
    pub hits: u64,
    /// Reads that found nothing.
    pub misses: u64,
    /// Reads that found something else.
    pub rejected: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Calls not made, by reason, without reasons that never occurred.
    pub skipped: BTreeMap<Skip, u64>,
    /// Pairs written by this instance.
    pub writes: u64,
    /// Keys deleted by this instance.
    pub deletes: u64,
    /// Keys that wait to be written or deleted.
    pub queued: usize,
    /// What was used of the day.
    pub budget: KvBudget,
    /// Percentiles of the last 128 calls, in milliseconds.
    pub latency_ms: LatencyReport,
}

/// Percentiles, in milliseconds; absent before the first call.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LatencyReport {
    /// Median.
    pub p50: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
}

impl KvReport {
    pub(super) fn new(
        state: &'static str,
        fault: Option<Fault>,
        queued: usize,
        budget: KvBudget,
        counters: &Counters,
    ) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let skipped = Skip::ALL.iter().map(|skip| (*skip, read(&counters.skipped[*skip as usize])));
        Self {
            available: fault.is_none(),
            state,
            reason: fault.map(|fault| fault.reason),
            remedy: fault.map(|fault| fault.remedy),
            calls: read(&counters.calls),
            hits: read(&counters.hits),
            misses: read(&counters.misses),
            rejected: read(&counters.rejected),
            failures: counters.failures(),
            skipped: skipped.filter(|(_, count)| *count > 0).collect(),
            writes: read(&counters.writes),
            deletes: read(&counters.deletes),
            queued,
            budget,
            latency_ms: LatencyReport { p50: counters.percentile(50), p95: counters.percentile(95) },
        }
    }
}
