//! The calls that the tier makes to Cloudflare KV.

use crate::cache::Pending;
use crate::kv_client::{KvAllowance, KvClient, KvError, KvKey, KvPair};

/// The calls to one namespace: Cloudflare's, or the simulator's. Contracts are those of [`KvClient`]'s methods.
pub trait Namespace: Send + Sync + 'static {
    /// Looks a key up.
    fn get<'a>(&'a self, key: &'a KvKey) -> Pending<'a, Result<Option<Vec<u8>>, KvError>>;
    /// Writes pairs; returns the keys that KV refused.
    fn put_many<'a>(&'a self, pairs: &'a [KvPair]) -> Pending<'a, Result<Vec<KvKey>, KvError>>;
    /// Deletes keys; returns those that KV refused.
    fn delete_many<'a>(&'a self, keys: &'a [KvKey]) -> Pending<'a, Result<Vec<KvKey>, KvError>>;
    /// Queries the namespace itself, which costs no quota.
    fn probe(&self) -> Pending<'_, Result<(), KvError>>;
    /// Returns the rate limit's state, as the last answer gave it.
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
