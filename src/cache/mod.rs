//! The generic cache in front of an origin: memory, and behind it Cloudflare KV, which all instances share.
//!
//! It knows no model, no SQL and no route. A value is validated by the version of its *scope*, which the origin raises in
//! the transaction of every change: equal version means equal data. See `docs/cache.md`.

mod entry;
mod envelope;
mod family;
mod flight;
mod follow;
mod gate;
mod kv;
mod origin;
mod queue;
mod race;
mod read;
mod retry;
mod scope;
mod settings;
mod shared;
mod shared_stats;
mod stats;

pub use entry::{Entry, Source};
pub use family::{CATALOGUE, Family, OnOriginFailure};
pub use follow::{Follower, ListenerState};
pub use kv::{
    InvalidKvKey, KvAllowance, KvClient, KvError, KvErrorClass, KvFailure, KvKey, KvMisconfiguration,
    KvNamespace, KvPair, TokenStatus,
};
pub use origin::{LoadError, Loaded, Origin};
pub use read::{Cache, Read, ReadError};
pub use scope::{Scope, ScopeName, Scopes};
pub use settings::{InvalidKvSetting, KvBaseUrl, KvConnection, KvId, KvLimits, KvSettings, KvToken};
pub use shared::SharedTier;
pub use shared_stats::{KvReport, LatencyReport};
pub use stats::{Outcome, Statistics};
