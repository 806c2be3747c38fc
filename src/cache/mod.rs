//! The generic cache in front of an origin: values in memory, and behind them a tier that all instances share.
//!
//! It knows no model, no SQL, no route and no Cloudflare: it reaches them through [`Origin`], [`Announcer`] and [`Tier`].
//! A value is validated by the version of its *scope*, which the origin raises in the transaction of every change: equal
//! version means equal data. See `docs/cache.md`.

mod backoff;
mod entry;
mod family;
mod flight;
mod follow;
mod inner;
mod load;
mod meter;
mod origin;
mod race;
mod read;
mod scope;
mod stats;
mod tier;

pub use backoff::{Backoff, jitter};
pub use entry::{Entry, Source};
pub use family::{CATALOGUE, FAMILIES, Family, OnOriginFailure, PREFERENCES, PROVIDER_CONFIGS, RESPONSES};
pub use follow::{Announcements, Announcer, CATCH_UP, Follower, ListenerState};
pub use meter::{Meter, Metered};
pub use origin::{LoadError, Loaded, Origin, Proof};
pub use read::{Cache, Read, ReadError, Waits};
pub use scope::{Scope, ScopeName, Scopes};
pub use stats::{Outcome, Statistics};
pub use tier::{Digest, Found, Pending, Tier, Verdict};
