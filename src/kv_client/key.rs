//! Keys and pairs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A key that is safe as a path segment: 1 to 512 bytes in `A-Z a-z 0-9 : . _ -`, neither `.` nor `..`.
///
/// KV forbids only `.`, `..` and the empty key, but `DELETE …/values/..` would become `DELETE …/`, close to deleting
/// the namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KvKey(String);

/// A key that is refused before any call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a KV key has 1 to 512 characters out of A-Z a-z 0-9 : . _ - and is neither `.` nor `..`")]
pub struct InvalidKvKey;

impl KvKey {
    /// The bare key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KvKey {
    type Err = InvalidKvKey;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b":._-".contains(&byte);
        let fits = (1..=512).contains(&key.len()) && key.bytes().all(known);
        (fits && key != "." && key != "..").then(|| Self(key.to_owned())).ok_or(InvalidKvKey)
    }
}

impl fmt::Display for KvKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pair of a bulk write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvPair {
    /// Its key.
    pub key: KvKey,
    /// Any bytes, at most 25 MiB (as base64 if not UTF-8).
    pub value: Vec<u8>,
    /// Life in KV, rounded up to whole seconds and at least 60 s.
    pub time_to_live: Duration,
}
