//! What a cache asks for values and versions.

use std::hash::Hash;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::scope::ScopeName;
use super::tier::Digest;

/// The source of truth of one family. Two kinds exist: the database, and the simulated one that proves the cache.
pub trait Origin: Send + Sync + 'static {
    /// What a value is asked for by.
    type Key: Clone + Eq + Hash + Send + Sync + std::fmt::Debug + 'static;
    /// The value.
    type Value: Send + Sync + 'static;

    /// What is invalidated together with the value of this key. `None`: nothing announces its changes; its age counts
    /// from the load, and its version is the time of the load.
    fn scope(&self, key: &Self::Key) -> Option<ScopeName>;

    /// Reads the value and the version of its scope from one state of the data.
    fn load(&self, key: &Self::Key) -> impl Future<Output = Result<Loaded<Self::Value>, LoadError>> + Send;

    /// Reads the version of the key's scope alone; 0 when it has never changed. Not asked where there is no scope.
    fn version(&self, key: &Self::Key) -> impl Future<Output = Result<u64, LoadError>> + Send;

    /// Reads the version of the key's scope and, from the same state, what proves a value of the shared tier under
    /// `shared_key`. Without a digest no such value is taken for current.
    fn proof(
        &self,
        key: &Self::Key,
        shared_key: &str,
    ) -> impl Future<Output = Result<Proof, LoadError>> + Send {
        let _ = shared_key;
        async { Ok(Proof { version: self.version(key).await?, digest: None }) }
    }

    /// The key's name in the shared tier, out of `A-Z a-z 0-9 . _ : -`.
    fn id(&self, key: &Self::Key) -> String;

    /// The value as JSON for the shared tier; `None` where it cannot be written, or must not be.
    fn encode(&self, value: &Self::Value) -> Option<Box<RawValue>>;

    /// The value back from JSON; `None` where it is not one.
    fn decode(&self, json: &str) -> Option<Self::Value>;

    /// The bytes that the value takes in memory, measured.
    fn weight(&self, value: &Self::Value) -> u32;
}

/// What the origin says about the value under one key of the shared tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The current version of the scope.
    pub version: u64,
    /// Digest of the value that was written for that version; `None` if no writer recorded one.
    pub digest: Option<Digest>,
}

/// A value as the origin has it.
#[derive(Debug)]
pub struct Loaded<V> {
    /// The value.
    pub value: V,
    /// The version it belongs to. Ignored where there is no scope.
    pub version: u64,
}

/// Why a value could not be had. Shared by all who wait for it, hence cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// There is no origin, or not yet. Expected, and not logged.
    #[error("no database is connected")]
    NoOrigin,
    /// The origin failed.
    #[error("{0}")]
    Failed(Arc<str>),
    /// It took longer than a flight may.
    #[error("loading took too long")]
    TimedOut,
    /// The load panicked; the panic itself is in the log.
    #[error("loading broke off")]
    Panicked,
}
