//! Editions: all bodies of one revision, each built once and shared by all answers.

mod bodies;
mod resource;
mod targets;

use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use serde_json::value::RawValue;
use tokio::task::{JoinError, spawn_blocking};

use crate::catalogue::CatalogueRead;
use crate::domain::health::ProviderHealth;
use crate::domain::model::Model;
use crate::domain::snapshot::Snapshot;
use crate::provider_health::ProviderHealthBoard;

use super::coding::{Accepted, Coding};
use super::error::{ApiError, Code};
use super::representation::{Representation, Slot};
use bodies::Bodies;
use resource::Key;
pub use resource::{List, Resource};
pub use targets::Target;
use targets::Targets;

/// Bound for bodies of single models and providers, in bytes.
const ITEMS_BYTES: u64 = 4 << 20;
/// Bound for bodies of filtered lists, in bytes.
const QUERIES_BYTES: u64 = 6 << 20;
/// Longest body under such a bound: one must not evict all others.
const MAX_BYTES: usize = 512 << 10;
/// Shorter bodies are sent unchanged: they fit into a packet anyway.
const MIN_CODED_BYTES: usize = 1 << 10;
/// Longer bodies take over half a millisecond to compress, so a blocking thread does it.
const MAX_INLINE_BYTES: usize = 64 << 10;
/// Lists of larger catalogues are written on a blocking thread.
const MAX_INLINE_MODELS: usize = 500;

/// Where a body is stored.
enum Place<'a> {
    /// In its own slot.
    Fixed(&'a Slot),
    /// In a bounded store.
    Bounded(&'a Bodies),
}

/// The bodies of one snapshot and one state of the providers' health. A change of either starts a new edition.
///
/// Bounded: one whole list per route (6 MB in all for 5,000 models), and 11 MiB for items, queries and addresses. A
/// flood of queries evicts bodies that were used once.
pub struct Edition {
    read: CatalogueRead,
    health: Arc<ProviderHealth>,
    texts: OnceLock<Vec<Option<Box<RawValue>>>>,
    lists: [[Slot; 3]; 4],
    items: Bodies,
    queries: Bodies,
    targets: Targets,
}

impl Edition {
    pub fn new(read: CatalogueRead, health: Arc<ProviderHealth>) -> Self {
        Self {
            read,
            health,
            texts: OnceLock::new(),
            lists: <_>::default(),
            items: Bodies::bounded(ITEMS_BYTES),
            queries: Bodies::bounded(QUERIES_BYTES),
            targets: Targets::default(),
        }
    }

    /// Whether this edition shows that snapshot and that health.
    pub fn shows(&self, read: &CatalogueRead, health: &Arc<ProviderHealth>) -> bool {
        self.read.is_same_as(read) && Arc::ptr_eq(&self.health, health)
    }

    pub fn read(&self) -> &CatalogueRead {
        &self.read
    }

    pub fn health(&self) -> &Arc<ProviderHealth> {
        &self.health
    }

    /// Returns the JSON of a model with all fields. The first call writes all models, about 1 KB each.
    pub fn text(
        &self,
        model: &Model,
        write: impl Fn(&Snapshot, &ProviderHealth, &Model) -> Option<Box<RawValue>>,
    ) -> Option<&RawValue> {
        let snapshot = self.read.snapshot();
        let texts = self.texts.get_or_init(|| {
            snapshot.models().iter().map(|model| write(snapshot, &self.health, model)).collect()
        });
        texts.get(snapshot.place(model.id.as_str())?)?.as_deref()
    }

    /// Returns the number of bodies and their bytes, with a short delay.
    pub fn kept(&self) -> (u64, u64) {
        let lists = self.lists.iter().flatten().filter_map(|slot| slot.get());
        let lists = lists.fold((0, 0), |(n, sum), body| (n + 1, sum + body.bytes.len() as u64));
        [&self.items, &self.queries].iter().fold(lists, |(n, sum), bounded| {
            let (more, bytes) = bounded.kept();
            (n + more, sum + bytes)
        })
    }

    /// As [`Edition::kept`], exact.
    #[cfg(test)]
    fn kept_by_now(&self) -> (u64, u64) {
        self.items.settle();
        self.queries.settle();
        self.kept()
    }

    /// Returns the body of a resource as the client accepts it. `write` builds it once; simultaneous callers wait.
    ///
    /// # Errors
    /// [`Code::InternalError`] when `write` panics.
    pub async fn body(
        self: &Arc<Self>,
        resource: Resource,
        accepted: Accepted,
        write: impl FnOnce(&Self) -> Vec<u8> + Send + 'static,
    ) -> Result<Representation, ApiError> {
        let key = (resource, accepted.coding);
        let body = match self.ready(&key) {
            Some(body) => body,
            // In its own task: a caller that leaves, or a panic, does not affect the others.
            None => tokio::spawn(Arc::clone(self).make(key, write)).await.map_err(failed)??,
        };
        Ok(body.accepted(accepted))
    }

    /// Returns the resource of a known address, and its body if kept.
    pub fn known(&self, address: &str, accepted: Accepted) -> Option<(Representation, Target)> {
        let target = self.targets.get(address)?;
        let key = (target.resource, accepted.coding);
        let body = self.ready(&key)?;
        Some((body.accepted(accepted), Target { resource: key.0, ..target }))
    }

    /// Remembers the resource of an address.
    pub fn remember(&self, address: &str, target: Target) {
        self.targets.put(address, target);
    }

    /// Returns a finished body.
    fn ready(&self, key: &Key) -> Option<Representation> {
        match self.place(key) {
            Place::Fixed(slot) => slot.get().cloned(),
            Place::Bounded(bodies) => bodies.get(key)?.get().cloned(),
        }
    }

    async fn make(
        self: Arc<Self>,
        (resource, coding): Key,
        write: impl FnOnce(&Self) -> Vec<u8> + Send + 'static,
    ) -> Result<Representation, ApiError> {
        let in_place = resource.is_item() || self.read.snapshot().models().len() <= MAX_INLINE_MODELS;
        let identity = self.fill((resource.clone(), Coding::Identity), async {
            let this = Arc::clone(&self);
            let write = move || Representation::new(write(&this), Coding::Identity);
            if in_place { Ok(write()) } else { spawn_blocking(write).await.map_err(failed) }
        });
        if coding == Coding::Identity {
            return identity.await;
        }
        self.fill((resource, coding), async { compressed(identity.await?, coding).await }).await
    }

    /// Builds a body with `make`, unless another caller has.
    async fn fill(
        &self,
        key: Key,
        make: impl Future<Output = Result<Representation, ApiError>>,
    ) -> Result<Representation, ApiError> {
        let bodies = match self.place(&key) {
            Place::Fixed(slot) => return slot.get_or_try_init(|| make).await.cloned(),
            Place::Bounded(bodies) => bodies,
        };
        let slot = bodies.get_or_add(&key);
        let body = slot.get_or_try_init(|| make).await?.clone();
        if body.bytes.len() > MAX_BYTES {
            bodies.remove(&key);
        } else {
            bodies.weigh(key, slot);
        }
        Ok(body)
    }

    fn place(&self, (resource, coding): &Key) -> Place<'_> {
        match resource {
            Resource::List(list) => Place::Fixed(&self.lists[*list as usize][*coding as usize]),
            Resource::Models { .. } => Place::Bounded(&self.queries),
            _ => Place::Bounded(&self.items),
        }
    }
}

/// Holds the edition of the newest snapshot and health.
#[derive(Default)]
pub struct Editions(RwLock<Option<Arc<Edition>>>);

impl Editions {
    /// Returns the edition for this read and the providers' current health. A new edition replaces the last, which is
    /// freed after its last answer.
    pub fn of(&self, read: &CatalogueRead, health: &ProviderHealthBoard) -> Arc<Edition> {
        let current = self.0.read().clone();
        if let Some(edition) = current.filter(|edition| edition.shows(read, &health.current())) {
            return edition;
        }
        let mut current = self.0.write();
        // Read again under the lock, so that health never goes back.
        let health = health.current();
        if let Some(edition) = current.as_ref().filter(|edition| edition.shows(read, &health)) {
            // Another request was faster.
            return Arc::clone(edition);
        }
        let edition = Arc::new(Edition::new(read.clone(), health));
        let last = current.replace(Arc::clone(&edition));
        drop(current);
        drop(last);
        edition
    }

    /// Returns the number of bodies and their bytes.
    pub fn kept(&self) -> (u64, u64) {
        let current = self.0.read().clone();
        current.map_or((0, 0), |edition| edition.kept())
    }
}

async fn compressed(body: Representation, coding: Coding) -> Result<Representation, ApiError> {
    match body.bytes.len() {
        ..MIN_CODED_BYTES => Ok(body),
        MIN_CODED_BYTES..=MAX_INLINE_BYTES => Ok(body.encoded(coding)),
        _ => spawn_blocking(move || body.encoded(coding)).await.map_err(failed),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: JoinError) -> ApiError {
    ApiError::new(Code::InternalError, error.to_string())
}

#[cfg(test)]
mod tests;
