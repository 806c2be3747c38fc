//! Values that tell who wrote them, and the truth about when each was current.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a value is about; the key of the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Subject {
    /// The one snapshot.
    Catalogue,
    /// A user's preferences.
    User(u32),
    /// What an upstream API answers. It has no versions.
    Upstream(u32),
}

impl Subject {
    /// Its scope, where it has one.
    pub(super) fn scope(self) -> Option<String> {
        match self {
            Self::Catalogue => Some("catalogue".to_owned()),
            Self::User(user) => Some(format!("user:{user}")),
            Self::Upstream(_) => None,
        }
    }

    pub(super) fn of_scope(name: &str) -> Self {
        match name.strip_prefix("user:") {
            Some(user) => Self::User(user.parse().unwrap()),
            None => Self::Catalogue,
        }
    }
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Data {
    pub subject: Subject,
    /// The layout of the release that wrote it.
    pub schema: u32,
    /// The database that it is of; nobody's, where its version is 0.
    pub database: u32,
    pub version: u64,
}

/// A database that no instance was ever connected to.
pub(super) const FOREIGN: u32 = 999;

impl Data {
    pub(super) fn new(subject: Subject, database: u32, version: u64) -> Self {
        Self { subject, schema: 1, database: if version == 0 { 0 } else { database }, version }
    }
}

/// When a value was current.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// When it first became so.
    first: Duration,
    /// When it last ceased to be; nothing while it is.
    last: Option<Duration>,
}

/// When each value was current.
#[derive(Debug, Default)]
pub(super) struct Truth(HashMap<Data, Life>);

impl Truth {
    pub(super) fn becomes(&mut self, data: Data, now: Duration) {
        self.0.entry(data).or_insert(Life { first: now, last: None }).last = None;
    }

    pub(super) fn ceases(&mut self, data: Data, now: Duration) {
        if let Some(life) = self.0.get_mut(&data) {
            life.last = Some(now);
        }
    }

    /// Whether it was ever current.
    pub(super) fn knows(&self, data: Data) -> bool {
        self.0.contains_key(&data)
    }

    /// When it last ceased to be current; nothing while it is, or when it never was.
    pub(super) fn ceased(&self, data: Data) -> Option<Duration> {
        self.0.get(&data).and_then(|life| life.last)
    }

    /// When it first became current.
    pub(super) fn first_current(&self, data: Data) -> Option<Duration> {
        self.0.get(&data).map(|life| life.first)
    }
}
