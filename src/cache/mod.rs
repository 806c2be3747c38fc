//! The generic cache: values in memory, behind them a tier that all instances share, and behind both an origin.
//!
//! It reaches them through [`Origin`], [`Announcer`] and [`Tier`]. The origin raises the version of a *scope* in the
//! transaction of every change, so equal version means equal data. See `docs/cache.md`.

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
pub use read::{Cache, Read, ReadError, WaiterGuard};
pub use scope::{Scope, ScopeName, Scopes};
pub use stats::{Outcome, Statistics};
pub use tier::{Digest, Found, Pending, Tier, Verdict};
