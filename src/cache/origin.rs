//! The interface between a cache and its origin.

use std::hash::Hash;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::scope::ScopeName;
use super::tier::Digest;

/// The source of truth of one family: the database or an upstream, or the simulator.
pub trait Origin: Send + Sync + 'static {
    /// Identifies a value.
    type Key: Clone + Eq + Hash + Send + Sync + std::fmt::Debug + 'static;
    /// What is cached.
    type Value: Send + Sync + 'static;

    /// Returns the scope that invalidates the value. `None`: no change is announced; age counts from the load, whose
    /// time is the version.
    fn scope(&self, key: &Self::Key) -> Option<ScopeName>;

    /// Reads the value and the version of its scope from one state of the data.
    fn load(&self, key: &Self::Key) -> impl Future<Output = Result<Loaded<Self::Value>, LoadError>> + Send;

    /// Reads the version of the key's scope; 0 if it has never changed. Not called for keys without a scope.
    fn version(&self, key: &Self::Key) -> impl Future<Output = Result<u64, LoadError>> + Send;

    /// Reads, from one state, the version of the key's scope and the digest of the value under `shared_key`. Without a
    /// digest no value of the shared tier counts as current.
    fn proof(
        &self,
        key: &Self::Key,
        shared_key: &str,
    ) -> impl Future<Output = Result<Proof, LoadError>> + Send {
        let _ = shared_key;
        async { Ok(Proof { version: self.version(key).await?, digest: None }) }
    }

    /// Returns the key's name in the shared tier, in `A-Z a-z 0-9 . _ : -`.
    fn id(&self, key: &Self::Key) -> String;

    /// Returns the value as JSON for the shared tier; `None` if it must stay out.
    fn encode(&self, value: &Self::Value) -> Option<Box<RawValue>>;

    /// Parses the value; `None` if the JSON is not one.
    fn decode(&self, json: &str) -> Option<Self::Value>;

    /// Returns the bytes that the value takes in memory.
    fn weight(&self, value: &Self::Value) -> u32;
}

/// What the origin knows about the value under a key of the shared tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The current version of the scope.
    pub version: u64,
    /// Digest of the value written for this version; `None` if no writer recorded one.
    pub digest: Option<Digest>,
}

/// A value from the origin.
#[derive(Debug)]
pub struct Loaded<V> {
    /// The value.
    pub value: V,
    /// The version of its scope. Ignored without a scope.
    pub version: u64,
}

/// Why there is no value. Cheap to clone, because all waiters share it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// No origin is connected yet. Expected, so not logged.
    #[error("no database is connected")]
    NoOrigin,
    /// The origin failed.
    #[error("{0}")]
    Failed(Arc<str>),
    /// It exceeded the time limit.
    #[error("loading took too long")]
    TimedOut,
    /// It panicked; the log has the panic.
    #[error("loading broke off")]
    Panicked,
}
