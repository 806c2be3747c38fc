//! Everything that is written of one revision: a body is built once and then shared by all answers.

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

/// The bound of the bodies of single models and providers, in bytes.
const ITEMS_BYTES: u64 = 4 << 20;
/// The bound of the bodies of filtered lists, in bytes.
const QUERIES_BYTES: u64 = 6 << 20;
/// The longest body that is kept under such a bound: one alone must not push out all others.
const MAX_BYTES: usize = 512 << 10;
/// Shorter bodies go out as they are: they would not fill a packet anyway.
const MIN_CODED_BYTES: usize = 1 << 10;
/// Longer bodies take half a millisecond or more to compress, and are compressed where no other request waits.
const MAX_INLINE_BYTES: usize = 64 << 10;
/// Lists of larger catalogues are written where no other request waits.
const MAX_INLINE_MODELS: usize = 500;

/// Where a body is kept.
enum Place<'a> {
    /// In a room of its own.
    Fixed(&'a Slot),
    /// Among others, which may push it out.
    Bounded(&'a Bodies),
}

/// The bodies of one snapshot together with one state of the providers' health. A change of either makes a new edition.
///
/// Bounded: the whole lists are as many as the routes that have one, and in proportion to the catalogue; everything else
/// is bounded in bytes, items, queries and addresses apart: 11 MiB together, and on a catalogue of 5,000 models the whole
/// lists take another 6 MB. A flood of queries pushes out what nobody asked for twice.
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

    /// The catalogue.
    pub fn read(&self) -> &CatalogueRead {
        &self.read
    }

    /// What is known of the providers.
    pub fn health(&self) -> &Arc<ProviderHealth> {
        &self.health
    }

    /// The text of a model with all its fields, as `write` writes it. The first call writes all models, about 1 KB each.
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

    /// Bodies kept, and their bytes. Behind by a moment.
    pub fn kept(&self) -> (u64, u64) {
        let lists = self.lists.iter().flatten().filter_map(|slot| slot.get());
        let lists = lists.fold((0, 0), |(n, sum), body| (n + 1, sum + body.bytes.len() as u64));
        [&self.items, &self.queries].iter().fold(lists, |(n, sum), bounded| {
            let (more, bytes) = bounded.kept();
            (n + more, sum + bytes)
        })
    }

    /// The same, exact.
    #[cfg(test)]
    fn kept_by_now(&self) -> (u64, u64) {
        self.items.settle();
        self.queries.settle();
        self.kept()
    }

    /// The body of a resource as the client accepts it. `write` makes it when it is not there yet; of callers who come
    /// at the same time one makes it and the others wait.
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
            // In a task of its own: a caller who goes away, or a fault in writing, leaves the others what they wait for.
            None => tokio::spawn(Arc::clone(self).make(key, write)).await.map_err(failed)??,
        };
        Ok(body.accepted(accepted))
    }

    /// What the address came to before and the body of that, if both are kept.
    pub fn known(&self, address: &str, accepted: Accepted) -> Option<(Representation, Target)> {
        let target = self.targets.get(address)?;
        let key = (target.resource, accepted.coding);
        let body = self.ready(&key)?;
        Some((body.accepted(accepted), Target { resource: key.0, ..target }))
    }

    /// Keeps in mind what the address came to.
    pub fn remember(&self, address: &str, target: Target) {
        self.targets.put(address, target);
    }

    /// What is there already.
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

    /// Puts what `make` makes into its place, unless it is there meanwhile.
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

/// Holds the edition of the newest snapshot and health that a request saw. Begins empty.
#[derive(Default)]
pub struct Editions(RwLock<Option<Arc<Edition>>>);

impl Editions {
    /// The edition that shows this read of the catalogue with the providers' current health. A new edition replaces the
    /// last, whose bodies are freed once no answer uses them.
    pub fn of(&self, read: &CatalogueRead, health: &ProviderHealthBoard) -> Arc<Edition> {
        let current = self.0.read().clone();
        if let Some(edition) = current.filter(|edition| edition.shows(read, &health.current())) {
            return edition;
        }
        let mut current = self.0.write();
        // Read again behind the lock, so that health never goes back.
        let health = health.current();
        if let Some(edition) = current.as_ref().filter(|edition| edition.shows(read, &health)) {
            // Another request was quicker.
            return Arc::clone(edition);
        }
        let edition = Arc::new(Edition::new(read.clone(), health));
        let last = current.replace(Arc::clone(&edition));
        drop(current);
        drop(last);
        edition
    }

    /// Bodies kept, and their bytes.
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
