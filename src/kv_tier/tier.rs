//! The tier over Cloudflare KV. Reads pass the gate, writes wait in the queue; nothing here fails or delays a hit.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use tracing::Instrument as _;

use crate::cache::{Family, Found, Pending, Tier, Verdict, jitter};
use crate::clock::Clock;
use crate::kv_client::{KvError, KvErrorClass, KvKey};
use crate::outage::Outage;

use super::budget::{KvLimits, Spending, until_renewal};
use super::envelope::{self, Rejected};
use super::gate::{Ended, Gate, News};
use super::key::key_of;
use super::ledger::Ledger;
use super::namespace::Namespace;
use super::notice::Fault;
use super::operation::{Operation, Skip};
use super::queue::{Queue, Write, rewrite_after};
use super::stats::{CallOutcome, Counters, KvCalls, KvReport};

/// Pause between flushes.
const FLUSH_INTERVAL: Duration = Duration::from_secs(2);
/// Flushes between two reads of the day's use: a minute.
const FLUSHES_PER_LOOK: u32 = 30;
/// Flushes between two sweeps: an hour.
const FLUSHES_PER_SWEEP: u32 = 1_800;
/// Cloudflare's rate limit per 5 minutes where no answer names it
/// (<https://developers.cloudflare.com/fundamentals/api/reference/limits/>).
const USUAL_ALLOWANCE: u64 = 1_200;

/// Cloudflare KV. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct SharedTier(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub namespace: Box<dyn Namespace>,
    pub ledger: OnceLock<Box<dyn Ledger>>,
    pub environment: String,
    pub limits: KvLimits,
    pub clock: Clock,
    pub gate: Mutex<Gate>,
    pub queue: Mutex<Queue>,
    pub spending: Mutex<Spending>,
    pub counters: Counters,
    /// Operations for which the ledger fails.
    pub ledger_outage: Mutex<Outage<Operation>>,
    /// One flush at a time: the last flush of a server waits for the current one.
    pub flushing: tokio::sync::Mutex<()>,
}

impl SharedTier {
    /// Creates a tier over `namespace`. `environment` separates the keys of deployments. Use stays within 90 % of
    /// `limits`.
    pub fn new(namespace: impl Namespace, environment: String, limits: KvLimits, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            namespace: Box::new(namespace),
            ledger: OnceLock::new(),
            environment,
            limits,
            clock,
            gate: Mutex::new(Gate::new(limits.reads)),
            queue: Mutex::default(),
            spending: Mutex::default(),
            counters: Counters::default(),
            ledger_outage: Mutex::new(Outage::new(Duration::ZERO)),
            flushing: tokio::sync::Mutex::default(),
        }))
    }

    /// Connects the ledger, before which nothing is written or deleted. The first call counts.
    pub fn connect(&self, ledger: impl Ledger) {
        // A second database in one process is a caller's error without effect on reads.
        let _ = self.0.ledger.set(Box::new(ledger));
    }

    /// Runs until dropped: probes at the start and after a fault, so that health is accurate without traffic, and
    /// flushes every 2 s.
    pub async fn run(&self) {
        self.probe().await;
        let mut flushes = 0_u32;
        loop {
            self.0.clock.sleep(FLUSH_INTERVAL).await;
            self.flush().await;
            let now = self.0.clock.now();
            let is_probe_due = self.0.gate.lock().admit_probe(now);
            if is_probe_due {
                self.probe().await;
            }
            let news = self.0.gate.lock().look(now);
            log_recovery(news);
            // A `for` over the call would hold the gate while logging.
            let renewed = self.0.gate.lock().take_renewed(now);
            for operation in renewed {
                tracing::info!(%operation, "Cloudflare KV's quota is back");
            }
            if flushes.is_multiple_of(FLUSHES_PER_LOOK) {
                self.0.read_spending().await;
            }
            if flushes.is_multiple_of(FLUSHES_PER_SWEEP) {
                self.sweep().await;
            }
            flushes = flushes.wrapping_add(1);
        }
    }

    /// Returns the calls to Cloudflare by operation.
    pub fn calls(&self) -> Vec<KvCalls> {
        self.0.counters.by_operation()
    }

    /// Returns the state of the tier.
    pub fn report(&self) -> KvReport {
        let inner = &self.0;
        let now = inner.clock.now();
        let (state, fault) = {
            let gate = inner.gate.lock();
            (gate.state(), gate.fault(now))
        };
        let budget = inner.spending.lock().report(inner.limits, inner.clock.utc());
        KvReport::new(state, fault, inner.queue.lock().len(), budget, &inner.counters)
    }

    /// Queries the namespace, which costs no quota.
    async fn probe(&self) {
        // The gate and the log have the result.
        let _ = self.0.call(Operation::Read, self.0.namespace.probe()).await;
    }
}

impl Tier for SharedTier {
    fn key(&self, family: &Family, id: &str) -> Option<String> {
        self.0.key(family, id).map(|key| key.as_str().to_owned())
    }

    fn get<'a>(&'a self, family: &'a Family, id: &'a str) -> Pending<'a, Option<Found>> {
        Box::pin(self.0.get(family, id))
    }

    fn put(&self, family: &Family, id: &str, version: u64, loaded_at: OffsetDateTime, value: &RawValue) {
        let Some(keep) = family.keep_shared else { return };
        let Some(key) = self.0.key(family, id) else { return };
        if version == 0 {
            // A scope without a row has no versions to compare.
            return;
        }
        if let Some(bytes) = envelope::seal(key.as_str(), family.schema, version, loaded_at, value) {
            let now = self.0.clock.now();
            let digest = envelope::digest(value.get());
            let write = Write { key, version, digest, bytes, keep, claimed: false, not_before: None };
            self.0.queue.lock().put(write, now);
        }
    }

    fn judged(&self, family: &Family, id: &str, found: &Found, verdict: Verdict) {
        let inner = &self.0;
        let Some(key) = inner.key(family, id) else { return };
        match verdict {
            Verdict::Unreadable | Verdict::Forged => inner.damaged(key, verdict),
            Verdict::Unrecorded => inner.counters.rejected(verdict),
            Verdict::Unproven => inner.counters.hit(),
            Verdict::Proven => {
                inner.counters.hit();
                // It needs no other write.
                if let Some(keep) = family.keep_shared {
                    let now = inner.clock.now();
                    let age = (inner.clock.utc() - found.loaded_at).unsigned_abs();
                    let until = now + rewrite_after(keep).saturating_sub(age);
                    inner.queue.lock().record_held(&key, found.version, until, now);
                }
            }
        }
    }

    fn is_answering(&self) -> bool {
        self.0.gate.lock().is_closed()
    }
}

impl Inner {
    fn key(&self, family: &Family, id: &str) -> Option<KvKey> {
        key_of(&self.environment, family.name, family.schema, id).ok()
    }

    /// Looks a value up, within the client's 1 s. Faults, misses and damaged envelopes are counted and return `None`.
    async fn get(&self, family: &Family, id: &str) -> Option<Found> {
        let key = self.key(family, id)?;
        if let Err(skip) = self.admits_read(&key) {
            self.counters.skipped(skip);
            return None;
        }
        self.spending.lock().read(self.clock.utc());
        let Some(bytes) = self.call(Operation::Read, self.namespace.get(&key)).await.ok()? else {
            self.counters.missed();
            self.queue.lock().record_absent(&key, self.clock.now());
            return None;
        };
        match envelope::open(&bytes, key.as_str(), family.schema) {
            Ok(found) => Some(found),
            // Another release wrote it and reads it.
            Err(reason @ Rejected::OtherSchema) => {
                self.counters.rejected(reason);
                None
            }
            Err(reason @ (Rejected::Unreadable | Rejected::OtherKey)) => {
                self.damaged(key, reason);
                None
            }
        }
    }

    fn admits_read(&self, key: &KvKey) -> Result<(), Skip> {
        let now = self.clock.now();
        if self.queue.lock().is_known_absent(key, now) {
            return Err(Skip::KnownAbsent);
        }
        // The gate last: once it has admitted a probe, the caller must make it.
        self.gate.lock().admit(Operation::Read, now)
    }

    /// Counts a value that no writer wrote, and queues its deletion, so that an instance with the value writes it.
    fn damaged(&self, key: KvKey, reason: impl std::fmt::Debug) {
        self.counters.rejected(reason);
        let now = self.clock.now();
        let mut queue = self.queue.lock();
        queue.record_absent(&key, now);
        queue.delete(key, now);
    }

    /// Makes a call, times it, moves the gate and logs changes.
    pub async fn call<T>(
        &self,
        operation: Operation,
        call: Pending<'_, Result<T, KvError>>,
    ) -> Result<T, KvError> {
        let begun = self.clock.now();
        let span = tracing::debug_span!("kv", otel.kind = "client", %operation);
        let result = call.instrument(span).await;
        let taken = self.clock.now().saturating_duration_since(begun);
        let took = self.took(operation, result);
        // Last, so that the count is visible only with its effects.
        self.counters.call(operation, taken);
        took
    }

    /// A fault of KV is never an error of the server.
    fn took<T>(&self, operation: Operation, result: Result<T, KvError>) -> Result<T, KvError> {
        let now = self.clock.now();
        let error = match result {
            Ok(value) => {
                self.counters.ended(operation, CallOutcome::Ok);
                self.ended(Ended::Well, None);
                self.hold_back(now);
                return Ok(value);
            }
            Err(error) => error,
        };
        self.counters.ended(operation, error.class.into());
        let ended = match error.class {
            KvErrorClass::Configuration(_) | KvErrorClass::Permission => Ended::Misconfigured,
            KvErrorClass::Quota => Ended::OutOfQuota(operation, until_renewal(self.clock.utc())),
            KvErrorClass::Throttled { retry_after } => Ended::Throttled(retry_after),
            KvErrorClass::Failure(_) => Ended::Failed,
        };
        self.ended(ended, Some((Fault::from(&error), &error.to_string())));
        Err(error)
    }

    /// Shuts the gate for one operation until tomorrow.
    pub fn spend_day(&self, operation: Operation) {
        let fault = Fault::over_budget(operation);
        let ended = Ended::OutOfQuota(operation, until_renewal(self.clock.utc()));
        self.ended(ended, Some((fault, fault.reason)));
    }

    /// Holds calls back when a tenth of the token's rate limit is left, which others may need.
    fn hold_back(&self, now: std::time::Instant) {
        let Some(allowance) = self.namespace.allowance() else { return };
        let is_little = allowance.left * 10 < allowance.quota.unwrap_or(USUAL_ALLOWANCE);
        let rest = allowance.full_at.saturating_duration_since(now);
        if is_little && !rest.is_zero() {
            self.ended(Ended::Throttled(Some(rest)), Some((Fault::HELD_BACK, Fault::HELD_BACK.reason)));
        }
    }

    fn ended(&self, ended: Ended, fault: Option<(Fault, &str)>) {
        let now = self.clock.now();
        let jitter = jitter(&self.clock);
        let turn = self.gate.lock().end(ended, fault.map(|(fault, _)| fault), now, jitter);
        if turn.reopened {
            self.queue.lock().resume();
        }
        match (turn.news, fault) {
            (News::Fault, Some((fault, words))) => {
                tracing::warn!(
                    remedy = fault.remedy,
                    "Cloudflare KV unavailable: {words}; memory carries on"
                );
            }
            (news, _) => log_recovery(news),
        }
    }
}

fn log_recovery(news: News) {
    if news == News::Recovery {
        tracing::info!("Cloudflare KV answers again");
    }
}
