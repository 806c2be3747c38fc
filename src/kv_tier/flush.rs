//! Writing the queue to the shared tier: deletes, then writes, each granted by the ledger first.

use std::time::Duration;

use crate::cache::FAMILIES;
use crate::kv_client::{KvErrorClass, KvFailure, KvKey, KvMisconfiguration, KvPair};
use crate::store::{KvClaim, KvClaimed, KvSpending, StoreError};

use super::budget::KvLimits;
use super::delete::{Undeleted, delete_within_budget, refund};
use super::key::{key_prefix, superseded};
use super::operation::{Operation, Skip};
use super::queue::{Write, rewrite_after};
use super::tier::{Inner, SharedTier};

/// The longest pause before asking again about a key that another instance is writing, which will be done long before its
/// claim ends.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What became of the deletes or writes that were due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flushed {
    /// Nothing was due, or other instances have taken it on.
    Nothing,
    /// The call was made.
    Done,
    /// No call was made, for this reason. The queue keeps everything.
    Deferred(Skip),
    /// The call failed.
    Failed(KvErrorClass),
}

impl SharedTier {
    /// Deletes and writes what is due, in one call each. What fails stays queued until a newer value replaces it.
    pub async fn flush(&self) {
        let _one_at_a_time = self.0.flushing.lock().await;
        let flushed = [self.0.flush_deletes().await, self.0.flush_writes().await];
        if flushed.iter().any(|flushed| matches!(flushed, Flushed::Done | Flushed::Failed(_))) {
            self.0.read_spending().await;
        }
    }

    /// Queues the deletion of keys that older releases left, a day after a newer schema took their place.
    pub(super) async fn sweep(&self) {
        let inner = &self.0;
        let Some(ledger) = inner.ledger.get() else { return };
        // The next sweep is in an hour.
        let Ok(known) = ledger.keys(&key_prefix(&inner.environment)).await else { return };
        let now = inner.clock.now();
        let mut queue = inner.queue.lock();
        for key in superseded(&known, &inner.environment, &FAMILIES) {
            queue.delete(key, now);
        }
    }
}

impl Inner {
    async fn flush_deletes(&self) -> Flushed {
        let keys = self.queue.lock().due_deletes(self.clock.now());
        if keys.is_empty() {
            return Flushed::Nothing;
        }
        let deleted = self.delete(&keys).await;
        let now = self.clock.now();
        let mut queue = self.queue.lock();
        match deleted {
            Ok(refused) => {
                // The instance that finds a refused one again queues it again.
                let gone: Vec<_> = keys.into_iter().filter(|key| !refused.contains(key)).collect();
                self.counters.deleted(gone.len());
                queue.record_deleted(&gone, now);
                Flushed::Done
            }
            Err(undone) => {
                for key in keys {
                    queue.delete(key, now);
                }
                undone
            }
        }
    }

    /// Returns the keys that KV refused, or why none is deleted.
    async fn delete(&self, keys: &[KvKey]) -> Result<Vec<KvKey>, Flushed> {
        let Some(ledger) = self.ledger.get() else { return Err(self.defer(Skip::NoDatabase)) };
        let admitted = self.gate.lock().admit(Operation::Delete, self.clock.now());
        admitted.map_err(|skip| self.defer(skip))?;
        let limit = KvLimits::usable(self.limits.deletes);
        let delete = self.call(Operation::Delete, self.namespace.delete_many(keys));
        let deleted = delete_within_budget(&**ledger, keys, limit, self.clock.utc(), delete).await;
        if !matches!(deleted, Err(Undeleted::Ledger(_))) {
            self.found_ledger(Operation::Delete);
        }
        deleted.map_err(|undeleted| match undeleted {
            Undeleted::OverBudget => self.over_budget(Operation::Delete),
            Undeleted::Ledger(error) => self.lost_ledger(Operation::Delete, &error),
            Undeleted::Kv(error) => {
                self.queue.lock().pause(self.clock.now());
                Flushed::Failed(error.class)
            }
        })
    }

    async fn flush_writes(&self) -> Flushed {
        let due = self.queue.lock().due(self.clock.now());
        if due.is_empty() {
            return Flushed::Nothing;
        }
        let admitted = self.gate.lock().admit(Operation::Write, self.clock.now());
        if let Err(skip) = admitted {
            self.put_back(due);
            return self.defer(skip);
        }
        match self.claim(due).await {
            Ok(ours) if ours.is_empty() => Flushed::Nothing,
            Ok(ours) => self.write(ours).await,
            Err(undone) => undone,
        }
    }

    /// Returns the pairs that the ledger grants to this instance, paid from the day's budget. Pairs that others are writing
    /// go back to the queue or are dropped. Without an answer of the ledger, or beyond the budget, all go back.
    async fn claim(&self, due: Vec<Write>) -> Result<Vec<Write>, Flushed> {
        let Some(ledger) = self.ledger.get() else {
            self.put_back(due);
            return Err(self.defer(Skip::NoDatabase));
        };
        let limit = KvLimits::usable(self.limits.writes);
        let (mut ours, open): (Vec<_>, Vec<_>) = due.into_iter().partition(|write| write.claimed);
        if !ours.is_empty() {
            let spent = ledger.spend(KvSpending::Write, ours.len() as u64, limit).await;
            if let Err(undone) = self.granted(spent.map(|granted| granted.then_some(()))) {
                self.put_back(ours);
                self.put_back(open);
                return Err(undone);
            }
        }
        if open.is_empty() {
            return Ok(ours);
        }
        let claims: Vec<_> = open.iter().map(|write| self.claim_of(write)).collect();
        let outcomes = match self.granted(ledger.claim(&claims, limit).await) {
            Ok(outcomes) => outcomes,
            Err(undone) => {
                self.put_back(open);
                return if ours.is_empty() { Err(undone) } else { Ok(ours) };
            }
        };
        let now = self.clock.now();
        let mut queue = self.queue.lock();
        for (write, outcome) in open.into_iter().zip(outcomes) {
            match outcome {
                KvClaimed::Granted => ours.push(Write { claimed: true, ..write }),
                KvClaimed::Later(wait) => {
                    let not_before = Some(now + wait.min(ASK_AGAIN));
                    queue.put(Write { not_before, ..write }, now);
                }
                KvClaimed::Written(good_for) => {
                    queue.record_held(&write.key, write.version, now + good_for, now);
                }
                KvClaimed::Superseded => {}
            }
        }
        Ok(ours)
    }

    fn claim_of(&self, write: &Write) -> KvClaim {
        KvClaim {
            key: write.key.as_str().to_owned(),
            version: write.version,
            digest: write.digest,
            missing: self.queue.lock().missing_for(&write.key, self.clock.now()),
            rewrite_after: rewrite_after(write.keep),
        }
    }

    /// Records the ledger's answer to a claim or a payment for writes. `None` means that the budget is used up.
    fn granted<T>(&self, answer: Result<Option<T>, StoreError>) -> Result<T, Flushed> {
        match answer {
            Ok(granted) => {
                self.found_ledger(Operation::Write);
                granted.ok_or_else(|| self.over_budget(Operation::Write))
            }
            Err(error) => Err(self.lost_ledger(Operation::Write, &error)),
        }
    }

    async fn write(&self, due: Vec<Write>) -> Flushed {
        let pairs: Vec<_> = due.iter().map(KvPair::from).collect();
        let put = self.call(Operation::Write, self.namespace.put_many(&pairs)).await;
        let now = self.clock.now();
        match put {
            Ok(refused) => {
                let (back, written): (Vec<_>, Vec<_>) =
                    due.into_iter().partition(|write| refused.contains(&write.key));
                self.counters.wrote(written.len());
                let confirmed: Vec<_> =
                    written.iter().map(|write| (write.key.as_str().to_owned(), write.version)).collect();
                {
                    let mut queue = self.queue.lock();
                    queue.record_written(written, now);
                    if !back.is_empty() {
                        queue.put_back(back, now);
                        queue.pause(now);
                    }
                }
                if let Some(ledger) = self.ledger.get() {
                    // Unconfirmed, another instance that loads this version writes it once more, 10 minutes later.
                    let _ = ledger.confirm(&confirmed).await;
                }
                Flushed::Done
            }
            Err(error) => {
                // What Cloudflare refuses as such would be refused again.
                let is_hopeless = matches!(
                    error.class,
                    KvErrorClass::Configuration(KvMisconfiguration::Request)
                        | KvErrorClass::Failure(KvFailure::TooLarge)
                );
                let count = due.len() as u64;
                if !is_hopeless {
                    self.put_back(due);
                }
                self.queue.lock().pause(now);
                if let Some(ledger) = self.ledger.get() {
                    refund(&**ledger, KvSpending::Write, count, error.class, self.clock.utc()).await;
                }
                Flushed::Failed(error.class)
            }
        }
    }

    /// Reads what was used of the day, for health.
    pub async fn read_spending(&self) {
        let Some(ledger) = self.ledger.get() else { return };
        if let Ok(used) = ledger.used().await {
            self.spending.lock().take_in(used);
        }
    }

    fn put_back(&self, due: Vec<Write>) {
        self.queue.lock().put_back(due, self.clock.now());
    }

    /// Counts why no call is made.
    fn defer(&self, skip: Skip) -> Flushed {
        self.counters.skipped(skip);
        Flushed::Deferred(skip)
    }

    /// Shuts the gate for the operation until tomorrow: all instances together have used up its budget.
    fn over_budget(&self, operation: Operation) -> Flushed {
        self.spend_day(operation);
        self.defer(Skip::Quota)
    }

    /// Logs an outage of the ledger, and pauses the queue.
    fn lost_ledger(&self, operation: Operation, error: &StoreError) -> Flushed {
        let now = self.clock.now();
        let is_news = self.ledger_outage.lock().record_failure(operation, now);
        if is_news {
            tracing::warn!(%operation, %error, "the database keeps no account of Cloudflare KV; no {operation} is made");
        }
        self.queue.lock().pause(now);
        self.defer(Skip::NoDatabase)
    }

    /// Logs a recovery of the ledger, if it had failed for this operation. Success with another one proves nothing.
    fn found_ledger(&self, operation: Operation) {
        let recovered = {
            let mut outage = self.ledger_outage.lock();
            if outage.has(&operation) { outage.record_success(self.clock.now()) } else { None }
        };
        if recovered.is_some() {
            tracing::info!("the database keeps account of Cloudflare KV again");
        }
    }
}
