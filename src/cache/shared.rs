//! The shared tier: Cloudflare KV as the caches see it. Calls pass a gate, writes wait in a queue, and nothing in here
//! ever fails a request or holds up a hit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use time::OffsetDateTime;

use crate::clock::Clock;

use super::envelope::{self, Rejected};
use super::family::Family;
use super::gate::{Change, Ended, Gate, Operation};
use super::kv::{KvClient, KvError, KvErrorClass, KvFailure, KvKey, KvMisconfiguration, KvPair};
use super::queue::{Pending, Queue};
use super::shared_stats::{Counters, KvReport};

/// How often the queue is written, in one call.
const FLUSH_INTERVAL: Duration = Duration::from_secs(2);

/// Cloudflare KV. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct SharedTier(Arc<Inner>);

struct Inner {
    client: KvClient,
    environment: String,
    clock: Clock,
    gate: Mutex<Gate>,
    queue: Mutex<Queue>,
    fault: Mutex<Option<KvError>>,
    counters: Counters,
    /// One flush at a time, so that whoever flushes last waits for the one under way.
    flushing: tokio::sync::Mutex<()>,
}

/// A value found in the shared tier, in its whole envelope. Whether it is current is for the database to say.
#[derive(Debug)]
pub(super) struct Found {
    pub version: u64,
    pub loaded_at: OffsetDateTime,
    /// The value as JSON.
    pub json: String,
}

impl SharedTier {
    /// A tier over `client`. `environment` keeps the keys of deployments apart.
    #[must_use]
    pub fn new(client: KvClient, environment: String, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            client,
            environment,
            clock,
            gate: Mutex::new(Gate::new()),
            queue: Mutex::default(),
            fault: Mutex::default(),
            counters: Counters::default(),
            flushing: tokio::sync::Mutex::default(),
        }))
    }

    /// Looks a value up. A fault, a miss and an envelope that is not whole are all `None`, counted and, where the state
    /// changes, logged. At most the client's 1 s.
    pub(super) async fn get(&self, family: &Family, id: &str) -> Option<Found> {
        let inner = &self.0;
        let key = inner.key(family, id)?;
        if !inner.gate().admits(Operation::Read, inner.clock.now()) {
            inner.counters.skipped();
            return None;
        }
        let begun = inner.clock.now();
        let got = inner.client.get(&key).await;
        inner.counters.call(inner.clock.now().saturating_duration_since(begun));
        let bytes = inner.took(Operation::Read, got).ok().flatten();
        let Some(bytes) = bytes else {
            inner.counters.missed();
            return None;
        };
        match envelope::open(&bytes, key.as_str(), family.schema, inner.clock.utc()) {
            Ok(opened) => {
                let json = opened.value.to_owned();
                Some(Found { version: opened.version, loaded_at: opened.loaded_at, json })
            }
            Err(rejected) => {
                inner.counters.rejected(rejected);
                None
            }
        }
    }

    /// Takes in that a value found could be decoded, so that it need not be written again, or that it could not.
    pub(super) fn decoded(&self, family: &Family, id: &str, found: &Found, decoded: bool) {
        let inner = &self.0;
        if !decoded {
            inner.counters.rejected(Rejected::Unreadable);
            return;
        }
        inner.counters.hit();
        if let (Some(key), Some(keep)) = (inner.key(family, id), family.keep_shared) {
            let age = (inner.clock.utc() - found.loaded_at).unsigned_abs();
            let rest = (keep / 2).saturating_sub(age);
            inner.queue().holds(key, found.version, inner.clock.now() + rest);
        }
    }

    /// Queues a value to be written; the newest of a key wins. Never waits.
    pub(super) fn put(
        &self,
        family: &Family,
        id: &str,
        version: u64,
        loaded_at: OffsetDateTime,
        value: &RawValue,
    ) {
        let Some(keep) = family.keep_shared else { return };
        let Some(key) = self.0.key(family, id) else { return };
        if let Some(bytes) = envelope::seal(key.as_str(), family.schema, version, loaded_at, value) {
            let now = self.0.clock.now();
            self.0.queue().put(Pending { key, version, bytes, keep }, now);
        }
    }

    /// Keeps the tier going: probes it at the start, writes the queue every 2 s, and looks again after a fault, so that
    /// health tells the truth even without traffic. Runs until it is dropped.
    pub async fn run(&self) {
        self.probe().await;
        loop {
            self.0.clock.sleep(FLUSH_INTERVAL).await;
            self.flush().await;
            if self.0.gate().admits_probe(self.0.clock.now()) {
                self.probe().await;
            }
        }
    }

    /// Writes what waits, in one call. What fails waits on, while it is the newest.
    pub async fn flush(&self) {
        let inner = &self.0;
        let _one_at_a_time = inner.flushing.lock().await;
        let now = inner.clock.now();
        let due = inner.queue().due(now);
        if due.is_empty() {
            return;
        }
        if !inner.gate().admits(Operation::Write, now) {
            inner.counters.skipped();
            inner.queue().put_back(due, now);
            return;
        }
        let pairs: Vec<_> = due
            .iter()
            .map(|pending| KvPair {
                key: pending.key.clone(),
                value: pending.bytes.clone(),
                time_to_live: pending.keep,
            })
            .collect();
        let put = inner.client.put_many(&pairs).await;
        inner.counters.call(inner.clock.now().saturating_duration_since(now));
        match inner.took(Operation::Write, put) {
            // What Cloudflare refuses as such would be refused again.
            Err(
                KvErrorClass::Configuration(KvMisconfiguration::Request)
                | KvErrorClass::Failure(KvFailure::TooLarge),
            ) => {}
            Err(_) => inner.queue().put_back(due, now),
            Ok(refused) => {
                let (back, written): (Vec<_>, Vec<_>) =
                    due.into_iter().partition(|pending| refused.contains(&pending.key));
                inner.counters.wrote(written.len());
                let mut queue = inner.queue();
                queue.written(written, now);
                queue.put_back(back, now);
            }
        }
    }

    /// How the tier stands.
    #[must_use]
    pub fn report(&self) -> KvReport {
        let inner = &self.0;
        let (available, state) = {
            let gate = inner.gate();
            (gate.is_open_for_all(inner.clock.now()), gate.state())
        };
        let fault = inner.fault().clone().filter(|_| !available);
        KvReport::new(available, state, fault.as_ref(), inner.queue().len(), &inner.counters)
    }

    /// Asks for the namespace, which costs no quota of reads.
    async fn probe(&self) {
        let inner = &self.0;
        let begun = inner.clock.now();
        let probed = inner.client.probe().await;
        inner.counters.call(inner.clock.now().saturating_duration_since(begun));
        // The gate and the log have it already.
        let _ = inner.took(Operation::Read, probed);
    }
}

impl Inner {
    /// `chatchonk:{environment}:{family}.{schema}:{id}`.
    fn key(&self, family: &Family, id: &str) -> Option<KvKey> {
        format!("chatchonk:{}:{}.{}:{id}", self.environment, family.name, family.schema).parse().ok()
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> MutexGuard<'_, Option<KvError>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in how a call went: moves the gate, and tells the log of every change once. KV is never an error.
    fn took<T>(&self, operation: Operation, result: Result<T, KvError>) -> Result<T, KvErrorClass> {
        let ended = match &result {
            Ok(_) => Ended::Well,
            Err(error) => {
                self.counters.failed();
                match error.class {
                    KvErrorClass::Configuration(_) | KvErrorClass::Permission => Ended::Misconfigured,
                    KvErrorClass::Quota => Ended::OutOfQuota(operation, until_midnight(self.clock.utc())),
                    KvErrorClass::Throttled { retry_after } => Ended::Throttled(retry_after),
                    KvErrorClass::Failure(_) => Ended::Failed,
                }
            }
        };
        let now = self.clock.now();
        let jitter =
            xxhash_rust::xxh3::xxh3_64(&self.clock.utc().nanosecond().to_le_bytes()).to_le_bytes()[0];
        let change = self.gate().ended(ended, now, jitter);
        match result {
            Ok(value) => {
                if change == Some(Change::Reopened) {
                    tracing::info!("Cloudflare KV answers again");
                }
                Ok(value)
            }
            Err(error) => {
                if change == Some(Change::Shut) {
                    tracing::warn!(
                        remedy = error.remedy(),
                        "Cloudflare KV unavailable: {error}; memory carries on"
                    );
                }
                let class = error.class;
                *self.fault() = Some(error);
                Err(class)
            }
        }
    }
}

/// Quotas return at 00:00 UTC (<https://developers.cloudflare.com/kv/platform/pricing/>).
fn until_midnight(now: OffsetDateTime) -> Duration {
    let passed = now - now.replace_time(time::Time::MIDNIGHT);
    Duration::from_hours(24).saturating_sub(passed.unsigned_abs())
}
