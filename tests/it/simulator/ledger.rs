//! The instances' ledger, by the rules of the SQL in `src/store/kv_ledger.rs`. It is part of the database: it fails and
//! is restored with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chatchonk::cache::Pending;
use chatchonk::kv_tier;
use chatchonk::store::{KvClaim, KvClaimed, KvDigest, KvKnownKey, KvSpending, KvUsed, StoreError};
use time::Date;

use super::instance::{Process, Who};
use super::world::MINUTE;

/// A row of `kv_keys`.
#[derive(Debug, Clone)]
struct Key {
    version: u64,
    created: Duration,
    claimed: Duration,
    written: Option<Duration>,
    digest: Option<KvDigest>,
}

/// The tables `kv_keys` and `kv_budget`.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    keys: BTreeMap<String, Key>,
    used: BTreeMap<(Date, bool), u64>,
}

fn is_write(kind: KvSpending) -> bool {
    kind == KvSpending::Write
}

impl Ledger {
    /// `claim_kv_writes`: claims and spending are one transaction, which is rolled back beyond the limit.
    fn claim(
        &mut self,
        claims: &[KvClaim],
        limit: u64,
        today: Date,
        now: Duration,
    ) -> Option<Vec<KvClaimed>> {
        let before = self.keys.clone();
        let outcomes: Vec<_> = claims.iter().map(|claim| self.claim_one(claim, now)).collect();
        let granted = outcomes.iter().filter(|outcome| **outcome == KvClaimed::Granted).count() as u64;
        if granted > 0 && !self.spend(KvSpending::Write, granted, limit, today) {
            self.keys = before;
            return None;
        }
        Some(outcomes)
    }

    fn claim_one(&mut self, claim: &KvClaim, now: Duration) -> KvClaimed {
        // `insert … on conflict do nothing`: an unknown key is granted.
        let Some(held) = self.keys.get_mut(&claim.key) else {
            let digest = Some(claim.digest);
            let key = Key { version: claim.version, created: now, claimed: now, written: None, digest };
            self.keys.insert(claim.key.clone(), key);
            return KvClaimed::Granted;
        };
        let claimed_for = now.saturating_sub(held.claimed);
        // A claim is due for a newer version, or for the same one if its writer failed 10 minutes after its claim, if
        // it was seen missing 10 minutes after the write, if its rewrite is due, or if a release without digests
        // claimed it. It is never due within a minute of the last claim.
        let is_due = held.version == claim.version
            && (held.digest.is_none()
                || held.written.map_or(claimed_for >= 10 * MINUTE, |at| {
                    claim.missing.is_some_and(|missing| now.saturating_sub(at) >= 10 * MINUTE + missing)
                        || now.saturating_sub(at) >= claim.rewrite_after
                }));
        if claimed_for >= MINUTE && (held.version < claim.version || is_due) {
            (held.version, held.claimed, held.written) = (claim.version, now, None);
            held.digest = Some(claim.digest);
            return KvClaimed::Granted;
        }
        // The result of the third statement, and its interpretation.
        match held.version.cmp(&claim.version) {
            std::cmp::Ordering::Greater => KvClaimed::Superseded,
            std::cmp::Ordering::Less => KvClaimed::Later(MINUTE.saturating_sub(claimed_for)),
            std::cmp::Ordering::Equal => match held.written {
                _ if held.digest.is_none() => KvClaimed::Later(MINUTE.saturating_sub(claimed_for)),
                Some(at) => KvClaimed::Written(claim.rewrite_after.saturating_sub(now.saturating_sub(at))),
                None => KvClaimed::Later((10 * MINUTE).saturating_sub(claimed_for)),
            },
        }
    }

    /// `spend_kv`: all or nothing, and never beyond the limit.
    fn spend(&mut self, kind: KvSpending, count: u64, limit: u64, today: Date) -> bool {
        let used = self.used.entry((today, is_write(kind))).or_default();
        let fits = *used + count <= limit;
        if fits {
            *used += count;
        }
        fits
    }

    /// `refund_kv`: for today, and never below zero. Returns the refunded count.
    fn refund(&mut self, kind: KvSpending, count: u64, today: Date) -> u64 {
        let used = self.used.entry((today, is_write(kind))).or_default();
        let back = count.min(*used);
        *used -= back;
        back
    }

    /// `confirm_kv_writes`: only for the version that holds the claim.
    fn confirm(&mut self, written: &[(String, u64)], now: Duration) {
        for (key, version) in written {
            if let Some(held) = self.keys.get_mut(key).filter(|held| held.version == *version) {
                held.written = Some(now);
            }
        }
    }

    /// `version_and_digest`: the digest of the value that the version's writer wrote.
    pub(super) fn digest(&self, key: &str, version: u64) -> Option<KvDigest> {
        self.keys.get(key).filter(|held| held.version == version).and_then(|held| held.digest)
    }

    /// The previous release claims and writes every key again, without a digest.
    pub(super) fn forgets_digests(&mut self) {
        self.keys.values_mut().for_each(|held| held.digest = None);
    }

    pub(super) fn used(&self, kind: KvSpending, day: Date) -> u64 {
        self.used.get(&(day, is_write(kind))).copied().unwrap_or(0)
    }
}

/// The ledger as one process reaches it.
pub(super) struct Connected(pub Arc<Process>);

impl kv_tier::Ledger for Connected {
    fn claim<'a>(
        &'a self,
        claims: &'a [KvClaim],
        limit: u64,
    ) -> Pending<'a, Result<Option<Vec<KvClaimed>>, StoreError>> {
        Box::pin(async move {
            let statement = self.0.statement(Who::Ledger, |state, world| {
                let outcomes = state.ledger.claim(claims, limit, world.clock.utc().date(), world.now());
                let granted = outcomes.iter().flatten().filter(|it| **it == KvClaimed::Granted).count();
                world.namespace.paid(KvSpending::Write, granted as u64);
                outcomes
            });
            statement.await.map_err(|_| StoreError::TimedOut)
        })
    }

    fn spend(&self, kind: KvSpending, count: u64, limit: u64) -> Pending<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let statement = self.0.statement(Who::Ledger, |state, world| {
                let spent = state.ledger.spend(kind, count, limit, world.clock.utc().date());
                world.namespace.paid(kind, if spent { count } else { 0 });
                spent
            });
            statement.await.map_err(|_| StoreError::TimedOut)
        })
    }

    fn refund(&self, kind: KvSpending, count: u64) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let statement = self.0.statement(Who::Ledger, |state, world| {
                let back = state.ledger.refund(kind, count, world.clock.utc().date());
                world.namespace.refunded(kind, back);
            });
            statement.await.map_err(|_| StoreError::TimedOut)
        })
    }

    fn confirm<'a>(&'a self, written: &'a [(String, u64)]) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let statement =
                self.0.statement(Who::Ledger, |state, world| state.ledger.confirm(written, world.now()));
            statement.await.map_err(|_| StoreError::TimedOut)
        })
    }

    fn forget<'a>(&'a self, keys: &'a [String]) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let statement = self.0.statement(Who::Ledger, |state, _| {
                for key in keys {
                    state.ledger.keys.remove(key);
                }
            });
            statement.await.map_err(|_| StoreError::TimedOut)
        })
    }

    fn keys<'a>(&'a self, prefix: &'a str) -> Pending<'a, Result<Vec<KvKnownKey>, StoreError>> {
        Box::pin(async move {
            let statement = self.0.statement(Who::Ledger, |state, world| {
                let keys = state.ledger.keys.iter().filter(|(key, _)| key.starts_with(prefix));
                keys.map(|(key, held)| KvKnownKey {
                    key: key.clone(),
                    known_for: world.now().saturating_sub(held.created),
                })
                .collect()
            });
            statement.await.map_err(|_| StoreError::TimedOut)
        })
    }

    fn used(&self) -> Pending<'_, Result<KvUsed, StoreError>> {
        Box::pin(async move {
            let statement = self.0.statement(Who::Ledger, |state, world| {
                let day = world.clock.utc().date();
                let used = |kind| state.ledger.used(kind, day);
                KvUsed { day, writes: used(KvSpending::Write), deletes: used(KvSpending::Delete) }
            });
            statement.await.map_err(|_| StoreError::TimedOut)
        })
    }
}
