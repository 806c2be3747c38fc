//! What the cache talks to: the announcements of a database, the calls of a KV namespace, and the ledger that all
//! instances keep together.

use std::collections::HashMap;
use std::pin::Pin;

use crate::store::{ChangeListener, KvClaim, KvClaimed, KvKnownKey, KvSpending, KvUsed, Store, StoreError};

use super::kv::{KvAllowance, KvClient, KvError, KvKey, KvPair};

/// A call under way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The calls of one namespace. Two kinds exist: Cloudflare's, and the simulated one that proves the cache.
///
/// Contracts and limits are those of [`KvClient`]'s methods of the same names.
pub trait Namespace: Send + Sync + 'static {
    /// Looks a key up.
    fn get<'a>(&'a self, key: &'a KvKey) -> Pending<'a, Result<Option<Vec<u8>>, KvError>>;
    /// Writes pairs; returns the keys that were not taken.
    fn put_many<'a>(&'a self, pairs: &'a [KvPair]) -> Pending<'a, Result<Vec<KvKey>, KvError>>;
    /// Deletes keys; returns those that were not taken.
    fn delete_many<'a>(&'a self, keys: &'a [KvKey]) -> Pending<'a, Result<Vec<KvKey>, KvError>>;
    /// Asks for the namespace itself, which costs no quota.
    fn probe(&self) -> Pending<'_, Result<(), KvError>>;
    /// How many calls are left, as the last answer told.
    fn allowance(&self) -> Option<KvAllowance>;
}

impl Namespace for KvClient {
    fn get<'a>(&'a self, key: &'a KvKey) -> Pending<'a, Result<Option<Vec<u8>>, KvError>> {
        Box::pin(Self::get(self, key))
    }

    fn put_many<'a>(&'a self, pairs: &'a [KvPair]) -> Pending<'a, Result<Vec<KvKey>, KvError>> {
        Box::pin(Self::put_many(self, pairs))
    }

    fn delete_many<'a>(&'a self, keys: &'a [KvKey]) -> Pending<'a, Result<Vec<KvKey>, KvError>> {
        Box::pin(Self::delete_many(self, keys))
    }

    fn probe(&self) -> Pending<'_, Result<(), KvError>> {
        Box::pin(async move { Self::probe(self).await.map(drop) })
    }

    fn allowance(&self) -> Option<KvAllowance> {
        Self::allowance(self)
    }
}

/// What all instances know together. Without it nothing is written or deleted. Two kinds exist: the database, and the
/// simulated one.
///
/// Contracts are those of [`Store`]'s methods.
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

/// A database that has versions and announces their changes. Two kinds exist: PostgreSQL, and the simulated one that
/// proves the cache.
pub trait Announcer: Send + Sync + 'static {
    /// See [`Announcements`].
    type Connection: Announcements;

    /// See [`ChangeListener::connect`].
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, StoreError>> + Send;
    /// See [`Store::versions`].
    fn versions(
        &self,
        scopes: &[String],
    ) -> impl Future<Output = Result<HashMap<String, u64>, StoreError>> + Send;
}

/// A connection on which changes are announced.
///
/// Contracts are those of [`ChangeListener`]'s methods of the same names.
pub trait Announcements: Send {
    /// Waits for the next announcement.
    fn next(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Reads the versions on this connection.
    fn versions(
        &mut self,
        scopes: &[String],
    ) -> impl Future<Output = Result<HashMap<String, u64>, StoreError>> + Send;
}

impl Announcer for Store {
    type Connection = ChangeListener;

    async fn connect(&self) -> Result<ChangeListener, StoreError> {
        ChangeListener::connect(self).await
    }

    async fn versions(&self, scopes: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        self.versions(scopes).await
    }
}

impl Announcements for ChangeListener {
    async fn next(&mut self) -> Result<(), StoreError> {
        self.next().await
    }

    async fn versions(&mut self, scopes: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        self.versions(scopes).await
    }
}
