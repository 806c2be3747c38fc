//! The ledger: what instances agree on before they write or delete.

use crate::cache::Pending;
use crate::store::{KvClaim, KvClaimed, KvKnownKey, KvSpending, KvUsed, Store, StoreError};

/// The ledger that all instances share: the database, or the simulator. Contracts are those of [`Store`]'s methods.
pub trait Ledger: Send + Sync + 'static {
    /// See [`Store::claim_kv_writes`].
    fn claim<'a>(
        &'a self,
        claims: &'a [KvClaim],
        limit: u64,
    ) -> Pending<'a, Result<Option<Vec<KvClaimed>>, StoreError>>;
    /// See [`Store::spend_kv`].
    fn spend(&self, kind: KvSpending, count: u64, limit: u64) -> Pending<'_, Result<bool, StoreError>>;
    /// See [`Store::refund_kv`].
    fn refund(&self, kind: KvSpending, count: u64) -> Pending<'_, Result<(), StoreError>>;
    /// See [`Store::confirm_kv_writes`].
    fn confirm<'a>(&'a self, written: &'a [(String, u64)]) -> Pending<'a, Result<(), StoreError>>;
    /// See [`Store::forget_kv_keys`].
    fn forget<'a>(&'a self, keys: &'a [String]) -> Pending<'a, Result<(), StoreError>>;
    /// See [`Store::kv_keys`].
    fn keys<'a>(&'a self, prefix: &'a str) -> Pending<'a, Result<Vec<KvKnownKey>, StoreError>>;
    /// See [`Store::kv_used`].
    fn used(&self) -> Pending<'_, Result<KvUsed, StoreError>>;
}

impl Ledger for Store {
    fn claim<'a>(
        &'a self,
        claims: &'a [KvClaim],
        limit: u64,
    ) -> Pending<'a, Result<Option<Vec<KvClaimed>>, StoreError>> {
        Box::pin(self.claim_kv_writes(claims, limit))
    }

    fn spend(&self, kind: KvSpending, count: u64, limit: u64) -> Pending<'_, Result<bool, StoreError>> {
        Box::pin(self.spend_kv(kind, count, limit))
    }

    fn refund(&self, kind: KvSpending, count: u64) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(self.refund_kv(kind, count))
    }

    fn confirm<'a>(&'a self, written: &'a [(String, u64)]) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(self.confirm_kv_writes(written))
    }

    fn forget<'a>(&'a self, keys: &'a [String]) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(self.forget_kv_keys(keys))
    }

    fn keys<'a>(&'a self, prefix: &'a str) -> Pending<'a, Result<Vec<KvKnownKey>, StoreError>> {
        Box::pin(self.kv_keys(prefix))
    }

    fn used(&self) -> Pending<'_, Result<KvUsed, StoreError>> {
        Box::pin(self.kv_used())
    }
}
