//! The interface between a cache and the tier that all instances share.

use std::pin::Pin;

use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::family::Family;

/// A call in progress.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// SHA-256 of a value's JSON.
pub type Digest = [u8; 32];

/// A cache that all instances share. It never fails a read: a fault is a miss.
///
/// `id` is what [`Origin::id`](super::Origin::id) returns for the key.
pub trait Tier: Send + Sync + 'static {
    /// Returns the name of a value in the tier; `None` if the id is invalid there.
    fn key(&self, family: &Family, id: &str) -> Option<String>;

    /// Looks a value up.
    fn get<'a>(&'a self, family: &'a Family, id: &'a str) -> Pending<'a, Option<Found>>;

    /// Takes a value to write. Never waits.
    fn put(&self, family: &Family, id: &str, version: u64, loaded_at: OffsetDateTime, value: &RawValue);

    /// Records what the origin says about a value that [`get`](Self::get) returned.
    fn judged(&self, family: &Family, id: &str, found: &Found, verdict: Verdict);

    /// Whether it answers: the last calls did not all fail.
    fn is_answering(&self) -> bool;
}

/// A value found in the shared tier. Only the origin knows whether it is current.
#[derive(Debug)]
pub struct Found {
    /// The version of its scope, as its writer says.
    pub version: u64,
    /// When its writer read it from the origin, as the writer says.
    pub loaded_at: OffsetDateTime,
    /// The value as JSON.
    pub json: String,
    /// Digest of `json`.
    pub digest: Digest,
}

/// What the origin says about a value found in the shared tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The current value: its writer recorded its digest. Without versions, any readable value.
    Proven,
    /// Readable and unproven; it may serve while the origin fails.
    Unproven,
    /// At the current version, without a recorded digest.
    Unrecorded,
    /// No writer wrote it.
    Forged,
    /// Not a value of its family.
    Unreadable,
}
