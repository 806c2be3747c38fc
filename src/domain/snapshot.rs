//! The whole catalogue at one revision, with indexes for queries.

mod groups;

pub(super) use groups::{Groups, Tested};

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::heap::{Heap as _, table};
use super::id::{ModelId, ProviderId};
use super::model::{Inconsistent, Model, ModelStatus};
use super::order::{Order, Sorted};
use super::price_band::PriceBand;
use super::provider::Provider;
use super::search::SearchIndex;
use super::task::TaskType;

/// The catalogue at one revision. Immutable.
///
/// Callers wait for [`Snapshot::build`] after a change, so the first query that needs the search index or a sort builds
/// it, and other such queries wait.
#[derive(Debug)]
pub struct Snapshot {
    providers: Vec<Provider>,
    tasks: Vec<TaskType>,
    models: Vec<Model>,
    provider_at: HashMap<ProviderId, usize>,
    model_at: HashMap<ModelId, usize>,
    search: OnceLock<SearchIndex>,
    sorted: Sorted,
    traits: Groups,
    by_provider: Groups,
    listed: usize,
    left_out: LeftOut,
}

/// Content of a source that the snapshot lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Unreadable rows.
    pub rows: usize,
    /// Unreadable optional details of readable rows.
    pub details: usize,
}

/// Shares the texts of provider and task ids with their rows. Sorts tasks by bytes, because a database's order depends
/// on its locale.
fn share_ids(model: &mut Model, provider_at: &HashMap<ProviderId, usize>, tasks: &[TaskType]) {
    if let Some((id, _)) = provider_at.get_key_value(&model.provider) {
        model.provider = id.clone();
    }
    model.tasks.sort_unstable();
    for id in &mut model.tasks {
        if let Ok(at) = tasks.binary_search_by(|task| task.id.cmp(id)) {
            *id = tasks[at].id.clone();
        }
    }
}

/// A rejected model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The model's id.
    pub id: ModelId,
    /// The reason.
    pub reason: Inconsistent,
}

/// The stored form: rows without indexes.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    providers: Cow<'a, [Provider]>,
    tasks: Cow<'a, [TaskType]>,
    models: Cow<'a, [Model]>,
    skipped: usize,
    details_ignored: usize,
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { providers, tasks, models, left_out, .. } = self;
        let (providers, tasks, models) = (providers.into(), tasks.into(), models.into());
        let LeftOut { rows: skipped, details: details_ignored } = *left_out;
        Stored { providers, tasks, models, skipped, details_ignored }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let left_out = LeftOut { rows: stored.skipped, details: stored.details_ignored };
        let (providers, tasks) = (stored.providers.into_owned(), stored.tasks.into_owned());
        Ok(Self::build(providers, tasks, stored.models.into_owned(), left_out).0)
    }
}

impl Snapshot {
    /// Builds the snapshot. Rejects and returns models that are inconsistent or name an unknown provider; they count as
    /// skipped, like `left_out`. Of two rows with one id the first stays.
    pub fn build(
        mut providers: Vec<Provider>,
        mut tasks: Vec<TaskType>,
        models: Vec<Model>,
        left_out: LeftOut,
    ) -> (Self, Vec<Rejected>) {
        providers.sort_by(|a, b| a.id.cmp(&b.id));
        providers.dedup_by(|b, a| a.id == b.id);
        tasks.sort_by(|a, b| a.id.cmp(&b.id));
        tasks.dedup_by(|b, a| a.id == b.id);
        let provider_at: HashMap<_, _> =
            providers.iter().enumerate().map(|(at, p)| (p.id.clone(), at)).collect();

        let mut rejected = Vec::new();
        let mut kept: Vec<Model> = Vec::with_capacity(models.len());
        for mut model in models {
            if model.id.provider() != model.provider.as_str() {
                rejected.push(Rejected { id: model.id, reason: Inconsistent::ForeignId });
            } else if !provider_at.contains_key(&model.provider) {
                rejected.push(Rejected { id: model.id, reason: Inconsistent::UnknownProvider });
            } else {
                share_ids(&mut model, &provider_at, &tasks);
                kept.push(model);
            }
        }
        // The default order, so that an unsorted query needs no sort.
        kept.sort_by(|a, b| (&a.provider, &a.name, &a.id).cmp(&(&b.provider, &b.name, &b.id)));
        let mut model_at = HashMap::with_capacity(kept.len());
        kept.retain(|model| {
            let at = model_at.len();
            *model_at.entry(model.id.clone()).or_insert(at) == at
        });

        let mut snapshot = Self {
            left_out: LeftOut { rows: left_out.rows + rejected.len(), ..left_out },
            listed: 0,
            providers,
            tasks,
            search: OnceLock::new(),
            sorted: Sorted::default(),
            traits: Groups::default(),
            by_provider: Groups::by(&kept, |model| model.provider.clone()),
            models: kept,
            provider_at,
            model_at,
        };
        // Everything that queries and facets test, except the provider and open values.
        snapshot.traits = Groups::by(&snapshot.models, |model| {
            let lists =
                (&model.capabilities, &model.input_modalities, &model.output_modalities, &model.tasks);
            let facts = (model.kind, model.status, model.is_free, model.open_weights, PriceBand::of(model));
            (snapshot.is_enabled(model), lists, facts)
        });
        snapshot.listed = snapshot.models.iter().filter(|m| snapshot.is_listed(m)).count();
        (snapshot, rejected)
    }

    /// Returns the bytes in memory, without the search index and the sorts that later queries build.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.providers.heap()
            + self.tasks.heap()
            + self.models.heap()
            + table(&self.provider_at)
            + table(&self.model_at)
            + self.sorted.bytes()
            + self.traits.bytes()
            + self.by_provider.bytes()
    }

    /// Returns all providers, by id.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// Returns all task types, by id.
    pub fn tasks(&self) -> &[TaskType] {
        &self.tasks
    }

    /// Returns all models, hidden and retired ones included, by provider, name and id.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Returns a provider.
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.provider_at.get(id).and_then(|&at| self.providers.get(at))
    }

    /// Returns a model.
    pub fn model(&self, id: &str) -> Option<&Model> {
        self.place(id).and_then(|at| self.models.get(at))
    }

    /// Returns a model's position in [`Snapshot::models`].
    pub fn place(&self, id: &str) -> Option<usize> {
        self.model_at.get(id).copied()
    }

    /// Returns the search index, which numbers models by their position in [`Snapshot::models`].
    pub fn search(&self) -> &SearchIndex {
        self.search.get_or_init(|| SearchIndex::build(&self.models))
    }

    /// Returns the positions of all models, in an order.
    pub(super) fn places(&self, order: Order) -> impl Iterator<Item = usize> + '_ {
        self.sorted.places(order, &self.models)
    }

    /// Returns models grouped by all closed values: enabled or not, lists, kind, status, known facts, price band.
    pub(super) fn traits(&self) -> &Groups {
        &self.traits
    }

    /// Returns models grouped by provider.
    pub(super) fn by_provider(&self) -> &Groups {
        &self.by_provider
    }

    /// Whether neither the model nor its provider is hidden.
    pub fn is_enabled(&self, model: &Model) -> bool {
        model.enabled && self.provider(model.provider.as_str()).is_some_and(|p| p.enabled)
    }

    /// Whether lists show the model by default: enabled and not retired.
    pub fn is_listed(&self, model: &Model) -> bool {
        model.status != ModelStatus::Retired && self.is_enabled(model)
    }

    /// Returns the number of models that lists show by default.
    pub fn listed(&self) -> usize {
        self.listed
    }

    /// Returns the number of rejected rows.
    pub fn skipped(&self) -> usize {
        self.left_out.rows
    }

    /// Returns the number of ignored optional details.
    pub fn details_ignored(&self) -> usize {
        self.left_out.details
    }
}
