//! An origin in memory that a test can hold, break, change and replace.

use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use chatchonk::cache::{LoadError, Loaded, Origin, Proof, ScopeName};

use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

pub(super) const SCOPE: &str = "catalogue";

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key(pub u32);

/// A value contains its database and version, so a mix-up shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    pub database: u32,
    pub version: u64,
}

/// Clones share the same origin.
#[derive(Clone)]
pub(super) struct SimulatedOrigin(Arc<Mutex<State>>);

#[expect(clippy::struct_excessive_bools, reason = "each may hold with any of the others")]
struct State {
    data: Data,
    /// Whether no scope announces changes.
    unscoped: bool,
    fails: bool,
    panics: bool,
    /// Whether calls wait for [`SimulatedOrigin::release`] after they have read the data, like an answer in transit.
    held: bool,
    waiting: VecDeque<oneshot::Sender<()>>,
    weight: u32,
    loads: u64,
    version_reads: u64,
}

impl Default for SimulatedOrigin {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            data: Data { database: 0, version: 1 },
            unscoped: false,
            fails: false,
            panics: false,
            held: false,
            waiting: VecDeque::new(),
            weight: 100,
            loads: 0,
            version_reads: 0,
        })))
    }
}

impl SimulatedOrigin {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn version_now(&self) -> u64 {
        self.state().data.version
    }

    pub(super) fn data_now(&self) -> Data {
        self.state().data
    }

    /// An origin that announces no changes, such as another company's API.
    pub(super) fn unscoped() -> Self {
        let origin = Self::default();
        origin.state().unscoped = true;
        origin
    }

    /// Sets the weight of values, in bytes, from now on.
    pub(super) fn weigh(&self, bytes: u32) {
        self.state().weight = bytes;
    }

    /// Edits the data, as a writer does.
    pub(super) fn change(&self) {
        self.state().data.version += 1;
    }

    /// Replaces the database by another one at this version.
    pub(super) fn replace(&self, version: u64) {
        let mut state = self.state();
        state.data = Data { database: state.data.database + 1, version };
    }

    /// Sets the data.
    pub(super) fn set(&self, data: Data) {
        self.state().data = data;
    }

    pub(super) fn fail(&self, fails: bool) {
        self.state().fails = fails;
    }

    pub(super) fn panic(&self, panics: bool) {
        self.state().panics = panics;
    }

    /// Holds answers from now on until they are released.
    pub(super) fn hold(&self) {
        self.state().held = true;
    }

    /// Returns the number of held answers.
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// Releases the oldest held answer.
    pub(super) fn release_one(&self) {
        let waiting = self.state().waiting.pop_front();
        // The caller that waited may have been abandoned.
        let _ = waiting.unwrap().send(());
    }

    /// Releases the newest held answer.
    pub(super) fn release_newest(&self) {
        let waiting = self.state().waiting.pop_back();
        let _ = waiting.unwrap().send(());
    }

    /// Releases all answers and holds no further ones.
    pub(super) fn release(&self) {
        let mut state = self.state();
        state.held = false;
        for waiting in state.waiting.drain(..) {
            let _ = waiting.send(());
        }
    }

    /// Returns the number of loads and of version reads.
    pub(super) fn calls(&self) -> (u64, u64) {
        let state = self.state();
        (state.loads, state.version_reads)
    }

    async fn answer(&self, count: impl FnOnce(&mut State) -> &mut u64) -> Result<Data, LoadError> {
        let (data, fails, panics, arrival) = {
            let mut state = self.state();
            *count(&mut state) += 1;
            let arrival = state.held.then(|| {
                let (arrive, arrival) = oneshot::channel();
                state.waiting.push_back(arrive);
                arrival
            });
            (state.data, state.fails, state.panics, arrival)
        };
        if let Some(arrival) = arrival {
            arrival.await.unwrap();
        }
        assert!(!panics, "the test made the origin panic");
        if fails { Err(LoadError::Failed("the test made the origin fail".into())) } else { Ok(data) }
    }
}

impl Origin for SimulatedOrigin {
    type Key = Key;
    type Value = Data;

    fn scope(&self, _: &Key) -> Option<ScopeName> {
        (!self.state().unscoped).then(|| ScopeName::new(SCOPE))
    }

    async fn load(&self, _: &Key) -> Result<Loaded<Data>, LoadError> {
        let value = self.answer(|state| &mut state.loads).await?;
        Ok(Loaded { value, version: value.version })
    }

    async fn version(&self, _: &Key) -> Result<u64, LoadError> {
        Ok(self.answer(|state| &mut state.version_reads).await?.version)
    }

    /// Every writer of a version writes the same value.
    async fn proof(&self, _: &Key, _: &str) -> Result<Proof, LoadError> {
        let data = self.answer(|state| &mut state.version_reads).await?;
        let json = self.encode(&data).unwrap();
        Ok(Proof { version: data.version, digest: Some(Sha256::digest(json.get()).into()) })
    }

    fn id(&self, _: &Key) -> String {
        "only".to_owned()
    }

    fn encode(&self, data: &Data) -> Option<Box<RawValue>> {
        serde_json::value::to_raw_value(&(data.database, data.version)).ok()
    }

    fn decode(&self, json: &str) -> Option<Data> {
        let (database, version) = serde_json::from_str(json).ok()?;
        Some(Data { database, version })
    }

    fn weight(&self, _: &Data) -> u32 {
        self.state().weight
    }
}
