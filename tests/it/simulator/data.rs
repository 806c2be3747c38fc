//! Values that identify their writer, and the truth about when each was current.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The subject of a value; the key of the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Subject {
    /// The one snapshot.
    Catalogue,
    /// A user's preferences.
    User(u32),
    /// An answer of an upstream API, which has no versions.
    Upstream(u32),
}

impl Subject {
    /// Returns its scope, if it has one.
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
    /// Its database; without meaning at version 0.
    pub database: u32,
    pub version: u64,
    /// The last edit that raised no version; 0 without one.
    #[serde(default)]
    pub lost: u32,
}

/// A database that no instance was ever connected to.
pub(super) const FOREIGN: u32 = 999;

impl Data {
    pub(super) fn new(subject: Subject, database: u32, version: u64) -> Self {
        Self { subject, schema: 1, database: if version == 0 { 0 } else { database }, version, lost: 0 }
    }
}

/// When a value was current.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// When it first became current.
    first: Duration,
    /// When an edit that raised no version replaced it.
    replaced_at_its_version: Option<Duration>,
    /// When it last ceased to be current; `None` while it or its version is current.
    last: Option<Duration>,
}

/// When each value was current.
#[derive(Debug, Default)]
pub(super) struct Truth {
    lives: HashMap<Data, Life>,
    /// Values that an edit replaced at a version that is still current.
    replaced: Vec<Data>,
}

impl Truth {
    pub(super) fn becomes(&mut self, data: Data, now: Duration) {
        let life = Life { first: now, replaced_at_its_version: None, last: None };
        let life = self.lives.entry(data).or_insert(life);
        (life.replaced_at_its_version, life.last) = (None, None);
        self.replaced.retain(|replaced| *replaced != data);
    }

    /// Records an edit that raises no version. Until the version is raised, nothing can detect the change.
    pub(super) fn is_replaced_at_its_version(&mut self, data: Data, now: Duration) {
        if let Some(life) = self.lives.get_mut(&data) {
            life.replaced_at_its_version.get_or_insert(now);
            self.replaced.push(data);
        }
    }

    pub(super) fn ceases(&mut self, data: Data, now: Duration) {
        let (ceased, replaced) =
            std::mem::take(&mut self.replaced).into_iter().partition(|other| other.subject == data.subject);
        self.replaced = replaced;
        for data in std::iter::once(data).chain::<Vec<_>>(ceased) {
            if let Some(life) = self.lives.get_mut(&data) {
                life.last = Some(now);
            }
        }
    }

    /// Returns whether it was ever current.
    pub(super) fn knows(&self, data: Data) -> bool {
        self.lives.contains_key(&data)
    }

    /// Returns when it last ceased to be current; `None` while it is current, or if it never was.
    pub(super) fn ceased(&self, data: Data) -> Option<Duration> {
        self.lives.get(&data).and_then(|life| life.last)
    }

    /// Returns when an edit that raised no version replaced it; `None` while it is current.
    pub(super) fn replaced_at_its_version(&self, data: Data) -> Option<Duration> {
        self.lives.get(&data).and_then(|life| life.replaced_at_its_version)
    }

    /// Returns when it first became current.
    pub(super) fn first_current(&self, data: Data) -> Option<Duration> {
        self.lives.get(&data).map(|life| life.first)
    }
}
