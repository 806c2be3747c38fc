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
    /// When it first became so.
    first: Duration,
    /// When an edit that raised no version replaced it.
    replaced_at_its_version: Option<Duration>,
    /// When it last ceased to be; nothing while it is, or while its version is current.
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

    /// An edit that raises no version replaces it: nothing can know that it ceased before the version is raised.
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

    /// Whether it was ever current.
    pub(super) fn knows(&self, data: Data) -> bool {
        self.lives.contains_key(&data)
    }

    /// When it last ceased to be current; nothing while it is, or when it never was.
    pub(super) fn ceased(&self, data: Data) -> Option<Duration> {
        self.lives.get(&data).and_then(|life| life.last)
    }

    /// When an edit that raised no version replaced it; nothing while it is current.
    pub(super) fn replaced_at_its_version(&self, data: Data) -> Option<Duration> {
        self.lives.get(&data).and_then(|life| life.replaced_at_its_version)
    }

    /// When it first became current.
    pub(super) fn first_current(&self, data: Data) -> Option<Duration> {
        self.lives.get(&data).map(|life| life.first)
    }
}
