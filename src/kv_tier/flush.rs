//! Writing the queue to the shared tier: deletes, then writes, each agreed on with all other instances first.

use std::time::Duration;

use crate::cache::{FAMILIES, Family};
use crate::kv_client::{KvErrorClass, KvFailure, KvKey, KvMisconfiguration, KvPair};
use crate::store::{KvClaim, KvClaimed, KvKnownKey, KvSpending, StoreError};

use super::budget::KvLimits;
use super::operation::{Operation, Skip};
use super::queue::{Write, rewrite_after};
use super::tier::{Inner, SharedTier, is_day_young};

/// How soon to ask again for what another instance is writing: it will be done long before its time is over.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// How long old keys stay after the first key of a newer schema was written: a deploy that is taken back finds them.
const SUPERSEDED_STAYS: Duration = Duration::from_hours(24);

impl SharedTier {
    /// Deletes and writes what waits, in one call each. What fails waits on, while it is the newest.
    pub async fn flush(&self) {
        let _one_at_a_time = self.0.flushing.lock().await;
        let spent = self.0.flush_deletes().await | self.0.flush_writes().await;
        if spent {
            self.0.look_at_spending().await;
        }
    }

    /// Queues the deletion of what older releases left, a day after a newer schema took its place.
    pub(super) async fn sweep(&self) {
        let inner = &self.0;
        let Some(ledger) = inner.ledger.get() else { return };
        // It is looked at again in an hour.
        let Ok(known) = ledger.keys(&inner.prefix()).await else { return };
        let now = inner.clock.now();
        let mut queue = inner.queue.lock();
        for key in superseded(&known, &inner.prefix(), &FAMILIES) {
            queue.delete(key, now);
        }
    }
}

/// The keys of older schemas whose place was taken long enough ago.
fn superseded(known: &[KvKnownKey], prefix: &str, families: &[Family]) -> Vec<KvKey> {
    let is_superseded = |old: &&KvKnownKey| {
        let (family, schema, id) = parts(&old.key, prefix)?;
        let current = families.iter().find(|current| current.name == family)?;
        let newer = format!("{prefix}{family}.{}:{id}", current.schema);
        let newer = known.iter().find(|known| known.key == newer)?;
        Some(schema < current.schema && newer.known_for >= SUPERSEDED_STAYS)
    };
    let old = known.iter().filter(|old| is_superseded(old) == Some(true));
    old.filter_map(|old| old.key.parse().ok()).collect()
}

/// Family, schema and id in a key of this deployment.
fn parts<'k>(key: &'k str, prefix: &str) -> Option<(&'k str, u32, &'k str)> {
    let (name, id) = key.strip_prefix(prefix)?.split_once(':')?;
    let (family, schema) = name.rsplit_once('.')?;
    Some((family, schema.parse().ok()?, id))
}

impl Inner {
    /// Whether anything was spent.
    async fn flush_deletes(&self) -> bool {
        let keys = self.queue.lock().due_deletes(self.clock.now());
        if keys.is_empty() {
            return false;
        }
        let deleted = self.delete(&keys).await;
        let now = self.clock.now();
        let mut queue = self.queue.lock();
        match deleted {
            Ok(refused) => {
                // Whoever finds a refused one again asks again.
                let gone: Vec<_> = keys.into_iter().filter(|key| !refused.contains(key)).collect();
                self.counters.deleted(gone.len());
                queue.deleted(&gone, now);
                true
            }
            Err(spent) => {
                for key in keys {
                    queue.delete(key, now);
                }
                spent
            }
        }
    }

    /// Returns the keys that were not taken or, where nothing was deleted, whether anything was spent.
    async fn delete(&self, keys: &[KvKey]) -> Result<Vec<KvKey>, bool> {
        let Some(ledger) = self.ledger.get() else { return Err(self.skips(Skip::NoDatabase)) };
        let admitted = self.gate.lock().admit(Operation::Delete, self.clock.now());
        admitted.map_err(|skip| self.skips(skip))?;
        let count = keys.len() as u64;
        match ledger.spend(KvSpending::Delete, count, KvLimits::usable(self.limits.deletes)).await {
            Ok(true) => self.found_ledger(Operation::Delete),
            Ok(false) => {
                self.over_budget(Operation::Delete);
                return Err(false);
            }
            Err(error) => return Err(self.lost_ledger(Operation::Delete, &error)),
        }
        let names: Vec<_> = keys.iter().map(|key| key.as_str().to_owned()).collect();
        // Before they are gone, so that whoever has their values may write them right after. If the database is lost in
        // between, they are written 10 minutes later.
        let _ = ledger.forget(&names).await;
        match self.call(Operation::Delete, self.namespace.delete_many(keys)).await {
            Ok(refused) => Ok(refused),
            Err(class) => {
                self.queue.lock().failed(self.clock.now());
                self.refund(KvSpending::Delete, count, class).await;
                Err(true)
            }
        }
    }

    /// Whether anything was spent.
    async fn flush_writes(&self) -> bool {
        let due = self.queue.lock().due(self.clock.now());
        if due.is_empty() {
            return false;
        }
        let admitted = self.gate.lock().admit(Operation::Write, self.clock.now());
        if let Err(skip) = admitted {
            self.skips(skip);
            self.put_back(due);
            return false;
        }
        let due = match self.claim(due).await {
            Ok(claimed) if claimed.is_empty() => return false,
            Ok(claimed) => claimed,
            Err(due) => {
                self.put_back(due);
                return false;
            }
        };
        self.write(due).await;
        true
    }

    /// Keeps of the pairs those that this instance is to write, paid for from the day's budget. What others are at is
    /// put back or dropped.
    ///
    /// # Errors
    /// The pairs, when the ledger does not answer or the budget is used up.
    async fn claim(&self, due: Vec<Write>) -> Result<Vec<Write>, Vec<Write>> {
        let Some(ledger) = self.ledger.get() else {
            self.skips(Skip::NoDatabase);
            return Err(due);
        };
        let limit = KvLimits::usable(self.limits.writes);
        let (mut ours, open): (Vec<_>, Vec<_>) = due.into_iter().partition(|pending| pending.claimed);
        if !ours.is_empty() {
            let spent = ledger.spend(KvSpending::Write, ours.len() as u64, limit).await;
            if !self.is_granted(spent) {
                return Err([ours, open].concat());
            }
        }
        if open.is_empty() {
            return Ok(ours);
        }
        let claims: Vec<_> = open.iter().map(|pending| self.claim_of(pending)).collect();
        let outcomes = match ledger.claim(&claims, limit).await {
            Ok(Some(outcomes)) => {
                self.found_ledger(Operation::Write);
                outcomes
            }
            refused => {
                self.is_granted(refused.map(|_| false));
                self.put_back(open);
                return Ok(ours);
            }
        };
        let now = self.clock.now();
        let mut queue = self.queue.lock();
        for (pending, outcome) in open.into_iter().zip(outcomes) {
            match outcome {
                KvClaimed::Granted => ours.push(Write { claimed: true, ..pending }),
                KvClaimed::Later(wait) => {
                    let ask_again = now + wait.min(ASK_AGAIN);
                    queue.put(Write { not_before: Some(ask_again), ..pending }, now);
                }
                KvClaimed::Written(good_for) => {
                    queue.holds(&pending.key, pending.version, now + good_for, now);
                }
                KvClaimed::Superseded => {}
            }
        }
        Ok(ours)
    }

    fn claim_of(&self, pending: &Write) -> KvClaim {
        KvClaim {
            key: pending.key.as_str().to_owned(),
            version: pending.version,
            digest: pending.digest,
            missing: self.queue.lock().missing_for(&pending.key, self.clock.now()),
            rewrite_after: rewrite_after(pending.keep),
        }
    }

    /// Takes in what the ledger said.
    fn is_granted(&self, granted: Result<bool, StoreError>) -> bool {
        match granted {
            Ok(granted) => {
                self.found_ledger(Operation::Write);
                if !granted {
                    self.over_budget(Operation::Write);
                }
                granted
            }
            Err(error) => self.lost_ledger(Operation::Write, &error),
        }
    }

    async fn write(&self, due: Vec<Write>) {
        let pairs: Vec<_> = due
            .iter()
            .map(|pending| KvPair {
                key: pending.key.clone(),
                value: pending.bytes.clone(),
                time_to_live: pending.keep,
            })
            .collect();
        let put = self.call(Operation::Write, self.namespace.put_many(&pairs)).await;
        let now = self.clock.now();
        match put {
            Ok(refused) => {
                let (back, written): (Vec<_>, Vec<_>) =
                    due.into_iter().partition(|pending| refused.contains(&pending.key));
                self.counters.wrote(written.len());
                let confirmed: Vec<_> = written
                    .iter()
                    .map(|pending| (pending.key.as_str().to_owned(), pending.version))
                    .collect();
                {
                    let mut queue = self.queue.lock();
                    queue.written(written, now);
                    if !back.is_empty() {
                        queue.put_back(back, now);
                        queue.failed(now);
                    }
                }
                if let Some(ledger) = self.ledger.get() {
                    // Unconfirmed, another instance that loads this version writes it once more, 10 minutes later.
                    let _ = ledger.confirm(&confirmed).await;
                }
            }
            Err(class) => {
                // What Cloudflare refuses as such would be refused again.
                let is_hopeless = matches!(
                    class,
                    KvErrorClass::Configuration(KvMisconfiguration::Request)
                        | KvErrorClass::Failure(KvFailure::TooLarge)
                );
                let count = due.len() as u64;
                if !is_hopeless {
                    self.put_back(due);
                }
                self.queue.lock().failed(now);
                self.refund(KvSpending::Write, count, class).await;
            }
        }
    }

    /// What was refused for sure costs Cloudflare's quota nothing; what failed otherwise may have been done. Nothing is
    /// given back to a day that may not have paid for it.
    async fn refund(&self, kind: KvSpending, count: u64, class: KvErrorClass) {
        let is_refused = matches!(
            class,
            KvErrorClass::Configuration(_) | KvErrorClass::Permission | KvErrorClass::Throttled { .. }
        );
        if let Some(ledger) = self.ledger.get().filter(|_| is_refused && !is_day_young(self.clock.utc())) {
            // Lost, it is some operations less today.
            let _ = ledger.refund(kind, count).await;
        }
    }

    /// Reads what was used of the day, for health.
    pub async fn look_at_spending(&self) {
        let Some(ledger) = self.ledger.get() else { return };
        if let Ok(used) = ledger.used().await {
            self.spending.lock().take_in(used);
        }
    }

    fn put_back(&self, due: Vec<Write>) {
        self.queue.lock().put_back(due, self.clock.now());
    }

    /// Counts why nothing is done; false, as nothing was spent.
    fn skips(&self, skip: Skip) -> bool {
        self.counters.skipped(skip);
        false
    }

    /// Logs an outage, and leaves the queue alone for a while.
    fn lost_ledger(&self, operation: Operation, error: &StoreError) -> bool {
        let now = self.clock.now();
        let is_news = self.ledger_outage.lock().fails(operation, now);
        if is_news {
            tracing::warn!(%operation, %error, "the database keeps no account of Cloudflare KV; no {operation} is made");
        }
        self.queue.lock().failed(now);
        self.skips(Skip::NoDatabase)
    }

    /// Logs a recovery: it works for an operation that it failed for. That it works for another one proves nothing.
    fn found_ledger(&self, operation: Operation) {
        let recovered = {
            let mut outage = self.ledger_outage.lock();
            if outage.has(&operation) { outage.works(self.clock.now()) } else { None }
        };
        if recovered.is_some() {
            tracing::info!("the database keeps account of Cloudflare KV again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CATALOGUE;

    #[test]
    fn keys_of_an_older_schema_go_a_day_after_the_newer_one_was_first_written() {
        let known = |hours| {
            [
                ("catalogue.1:all", 500),
                ("catalogue.2:all", hours),
                ("catalogue.3:all", 500),
                ("catalogue.1:other", 500),
                ("unknown.1:all", 500),
                ("", 500),
            ]
            .map(|(key, hours)| KvKnownKey {
                key: format!("chatchonk:production:{key}"),
                known_for: Duration::from_hours(hours),
            })
        };
        let families = [Family { schema: 2, ..CATALOGUE }];
        let superseded = |hours| superseded(&known(hours), "chatchonk:production:", &families);
        assert_eq!(superseded(23), []);
        let old: KvKey = "chatchonk:production:catalogue.1:all".parse().unwrap();
        assert_eq!(superseded(24), [old]);
    }
}
