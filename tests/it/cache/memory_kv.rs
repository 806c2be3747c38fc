//! A shared tier in memory under the test's control, and a ledger that grants everything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chatchonk::cache::Pending;
use chatchonk::clock::Clock;
use chatchonk::kv_client::{KvAllowance, KvError, KvKey, KvPair};
use chatchonk::kv_tier::{KvLimits, Ledger, Namespace, SharedTier};
use chatchonk::store::{KvClaim, KvClaimed, KvKnownKey, KvSpending, KvUsed, StoreError};
use time::macros::date;

/// Clones share the same values.
#[derive(Clone, Default)]
pub(super) struct MemoryKv(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    values: BTreeMap<KvKey, Vec<u8>>,
    calls: u64,
}

impl MemoryKv {
    /// Returns the tier of one instance.
    pub(super) fn tier(&self, clock: &Clock) -> SharedTier {
        let tier = SharedTier::new(self.clone(), "test".to_owned(), KvLimits::FREE_PLAN, clock.clone());
        tier.connect(GrantsAll);
        tier
    }

    /// Returns the number of calls of all kinds.
    pub(super) fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.0.lock().unwrap().values.keys().map(ToString::to_string).collect()
    }

    /// Changes every value, as a foreign process could.
    pub(super) fn rewrite(&self, change: impl Fn(&[u8]) -> Vec<u8>) {
        self.0.lock().unwrap().values.values_mut().for_each(|value| *value = change(value));
    }

    fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut State) -> T,
    ) -> Pending<'static, Result<T, KvError>> {
        let mut state = self.0.lock().unwrap();
        state.calls += 1;
        let answer = act(&mut state);
        Box::pin(async move { Ok(answer) })
    }
}

impl Namespace for MemoryKv {
    fn get<'a>(&'a self, key: &'a KvKey) -> Pending<'a, Result<Option<Vec<u8>>, KvError>> {
        self.call(|state| state.values.get(key).cloned())
    }

    fn put_many<'a>(&'a self, pairs: &'a [KvPair]) -> Pending<'a, Result<Vec<KvKey>, KvError>> {
        self.call(|state| {
            state.values.extend(pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())));
            Vec::new()
        })
    }

    fn delete_many<'a>(&'a self, keys: &'a [KvKey]) -> Pending<'a, Result<Vec<KvKey>, KvError>> {
        self.call(|state| {
            state.values.retain(|key, _| !keys.contains(key));
            Vec::new()
        })
    }

    fn probe(&self) -> Pending<'_, Result<(), KvError>> {
        self.call(|_| ())
    }

    fn allowance(&self) -> Option<KvAllowance> {
        None
    }
}

struct GrantsAll;

fn granted<T: Send + 'static>(answer: T) -> Pending<'static, Result<T, StoreError>> {
    Box::pin(async move { Ok(answer) })
}

impl Ledger for GrantsAll {
    fn claim<'a>(
        &'a self,
        claims: &'a [KvClaim],
        _: u64,
    ) -> Pending<'a, Result<Option<Vec<KvClaimed>>, StoreError>> {
        granted(Some(vec![KvClaimed::Granted; claims.len()]))
    }

    fn spend(&self, _: KvSpending, _: u64, _: u64) -> Pending<'_, Result<bool, StoreError>> {
        granted(true)
    }

    fn refund(&self, _: KvSpending, _: u64) -> Pending<'_, Result<(), StoreError>> {
        granted(())
    }

    fn confirm<'a>(&'a self, _: &'a [(String, u64)]) -> Pending<'a, Result<(), StoreError>> {
        granted(())
    }

    fn forget<'a>(&'a self, _: &'a [String]) -> Pending<'a, Result<(), StoreError>> {
        granted(())
    }

    fn keys<'a>(&'a self, _: &'a str) -> Pending<'a, Result<Vec<KvKnownKey>, StoreError>> {
        granted(Vec::new())
    }

    fn used(&self) -> Pending<'_, Result<KvUsed, StoreError>> {
        granted(KvUsed { day: date!(1970 - 01 - 01), writes: 0, deletes: 0 })
    }
}
