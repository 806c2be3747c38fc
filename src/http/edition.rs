//! Everything that is written of one revision: bodies are made once and then sent to everybody.

use std::sync::{Arc, OnceLock};

use actix_web::web;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde_json::value::{RawValue, to_raw_value};

use crate::catalogue::CatalogueRead;
use crate::domain::health::ProviderHealth;
use crate::domain::model::Model;

use super::coding::{Accepted, Coding};
use super::error::{ApiError, Code};
use super::model_view::ModelView;
use super::representation::{Representation, Slot};

/// The bound of the bodies of single models and providers, in bytes.
const ITEMS_BYTES: u64 = 4 << 20;
/// The bound of the bodies of filtered lists, in bytes.
const QUERIES_BYTES: u64 = 6 << 20;
/// The longest body that is kept of a filtered list: one alone must not push out all others.
const MAX_QUERY_BYTES: usize = 512 << 10;
/// What an entry costs beside its key and body, roughly.
const ENTRY_BYTES: usize = 256;
/// Shorter bodies go out as they are: they would not fill a packet anyway.
const MIN_CODED_BYTES: usize = 1 << 10;
/// Longer bodies take about a millisecond or more to compress, and are compressed where no other request waits.
const MAX_INLINE_BYTES: usize = 16 << 10;
/// Lists of larger catalogues are written where no other request waits.
const MAX_INLINE_MODELS: usize = 500;

/// What is shown. Models and providers by their place in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Resource {
    AllModels,
    Providers,
    Tasks,
    OpenAiModels,
    Model(usize),
    OpenAiModel(usize),
    Provider(usize),
    /// A list by its canonical query; of the provider in the path if there is one, which changes the hints.
    Models {
        query: Box<str>,
        of_provider: bool,
    },
}

/// The bodies of one snapshot together with one state of the providers' health. A change of either makes a new edition.
///
/// Bounded: the whole lists are as many as the routes that have one, and in proportion to the catalogue; everything else
/// is bounded in bytes, items and queries apart. So a flood of queries pushes out other queries at most.
pub(super) struct Edition {
    read: CatalogueRead,
    health: Arc<ProviderHealth>,
    texts: OnceLock<Vec<Option<Box<RawValue>>>>,
    lists: [[Slot; 3]; 4],
    items: Cache<(Resource, Coding), Slot>,
    queries: Cache<(Resource, Coding), Slot>,
}

impl Edition {
    pub fn new(read: CatalogueRead, health: Arc<ProviderHealth>) -> Self {
        let shelf = |bytes| {
            Cache::builder().max_capacity(bytes).weigher(|(resource, _): &(Resource, Coding), slot: &Slot| {
                let query = if let Resource::Models { query, .. } = resource { query.len() } else { 0 };
                let body = slot.get().map_or(0, |body| body.bytes.len());
                u32::try_from(ENTRY_BYTES + query + body).unwrap_or(u32::MAX)
            })
        };
        Self {
            read,
            health,
            texts: OnceLock::new(),
            lists: <_>::default(),
            // There are only so many items, and those in demand stay.
            items: shelf(ITEMS_BYTES).build(),
            // By the clock of use alone: frequency would keep a long body out for as long as many short ones are held.
            queries: shelf(QUERIES_BYTES).eviction_policy(EvictionPolicy::lru()).build(),
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

    /// The model with all its fields as a list shows it. The first call writes all models, about 1 KB each.
    pub fn text(&self, model: &Model) -> Option<&RawValue> {
        let snapshot = self.read.snapshot();
        let texts = self.texts.get_or_init(|| {
            // Writing into memory does not fail; a list would write the model itself then.
            let view = |model| to_raw_value(&ModelView::new(snapshot, &self.health, model)).ok();
            snapshot.models().iter().map(view).collect()
        });
        texts.get(snapshot.place(model.id.as_str())?)?.as_deref()
    }

    /// Bodies kept, and their bytes. Behind by a moment.
    pub fn kept(&self) -> (u64, u64) {
        let lists = self.lists.iter().flatten().filter_map(|slot| slot.get());
        let lists = lists.fold((0, 0), |(n, sum), body| (n + 1, sum + body.bytes.len() as u64));
        [&self.items, &self.queries].iter().fold(lists, |(n, sum), shelf| {
            shelf.run_pending_tasks();
            (n + shelf.entry_count(), sum + shelf.weighted_size())
        })
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
        let body = match accepted.coding {
            Coding::Identity => self.identity(resource, write).await?,
            coding => {
                let key = (resource, coding);
                self.filled(key.clone(), async {
                    compressed(self.identity(key.0, write).await?, coding).await
                })
                .await?
            }
        };
        // A short body that the client does not take as it is: rare, and quickly done.
        let refused = body.coding == Coding::Identity && !accepted.identity;
        Ok(if refused { body.encoded(accepted.coding) } else { body })
    }

    async fn identity(
        self: &Arc<Self>,
        resource: Resource,
        write: impl FnOnce(&Self) -> Vec<u8> + Send + 'static,
    ) -> Result<Representation, ApiError> {
        let is_item =
            matches!(resource, Resource::Model(_) | Resource::OpenAiModel(_) | Resource::Provider(_));
        let written = async {
            let this = Arc::clone(self);
            let write = move || Representation::new(write(&this), Coding::Identity);
            if is_item || self.read.snapshot().models().len() <= MAX_INLINE_MODELS {
                return Ok(write());
            }
            web::block(write).await.map_err(failed)
        };
        self.filled((resource, Coding::Identity), written).await
    }

    /// What is in the place of that key, made by `make` where there is nothing yet.
    async fn filled(
        &self,
        key: (Resource, Coding),
        make: impl Future<Output = Result<Representation, ApiError>>,
    ) -> Result<Representation, ApiError> {
        let shelf = match &key.0 {
            Resource::AllModels => return fill(&self.lists[0][key.1 as usize], make).await,
            Resource::Providers => return fill(&self.lists[1][key.1 as usize], make).await,
            Resource::Tasks => return fill(&self.lists[2][key.1 as usize], make).await,
            Resource::OpenAiModels => return fill(&self.lists[3][key.1 as usize], make).await,
            Resource::Model(_) | Resource::OpenAiModel(_) | Resource::Provider(_) => &self.items,
            Resource::Models { .. } => &self.queries,
        };
        if let Some(body) = shelf.get(&key).and_then(|slot| slot.get().cloned()) {
            return Ok(body);
        }
        let slot = shelf.get_with(key.clone(), Slot::default);
        let body = fill(&slot, make).await?;
        if body.bytes.len() > MAX_QUERY_BYTES {
            shelf.invalidate(&key);
        } else {
            // Now it can be weighed.
            shelf.insert(key, slot);
        }
        Ok(body)
    }
}

async fn fill(
    slot: &Slot,
    make: impl Future<Output = Result<Representation, ApiError>>,
) -> Result<Representation, ApiError> {
    if let Some(body) = slot.get() {
        return Ok(body.clone());
    }
    slot.get_or_try_init(|| make).await.cloned()
}

async fn compressed(body: Representation, coding: Coding) -> Result<Representation, ApiError> {
    match body.bytes.len() {
        ..MIN_CODED_BYTES => Ok(body),
        MIN_CODED_BYTES..=MAX_INLINE_BYTES => Ok(body.encoded(coding)),
        _ => web::block(move || body.encoded(coding)).await.map_err(failed),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: actix_web::error::BlockingError) -> ApiError {
    ApiError::new(Code::InternalError, error.to_string())
}
