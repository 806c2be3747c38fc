//! The generic cache in front of an origin: memory, and behind it Cloudflare KV, which all instances share.
//!
//! It knows no model, no SQL and no route. A value is validated by the version of its *scope*, which the origin raises in
//! the transaction of every change: equal version means equal data. See `docs/cache.md`.

mod backoff;
mod bucket;
mod entry;
mod envelope;
mod family;
mod fault;
mod flight;
mod flush;
mod follow;
mod gate;
mod inner;
mod kv;
mod load;
mod meter;
mod origin;
mod queue;
mod race;
mod read;
mod remote;
mod scope;
mod settings;
mod shared;
mod shared_stats;
mod stats;

pub use entry::{Entry, Source};
pub use family::{CATALOGUE, FAMILIES, Family, OnOriginFailure, PREFERENCES, PROVIDER_CONFIGS, RESPONSES};
pub use follow::{CATCH_UP, Follower, ListenerState};
pub use gate::{Operation, Skip};
pub use kv::{
    InvalidKvKey, KvAllowance, KvClient, KvError, KvErrorClass, KvFailure, KvKey, KvMisconfiguration,
    KvNamespace, KvPair, TokenStatus,
};
pub use meter::{Meter, Metered};
pub use origin::{LoadError, Loaded, Origin};
pub use read::{Cache, Read, ReadError, Waits};
pub use remote::{Announcements, Announcer, Ledger, Namespace, Pending};
pub use scope::{Scope, ScopeName, Scopes};
pub use settings::{InvalidKvSetting, KvBaseUrl, KvConnection, KvId, KvLimits, KvSettings, KvToken};
pub use shared::SharedTier;
pub use shared_stats::{CallOutcome, KvBudget, KvBudgetLine, KvCalls, KvReport, LatencyReport};
pub use stats::{Outcome, Statistics};
