//! The filters of a query.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::ModelQuery;
use crate::domain::closed::closed_enum;
use crate::domain::health::ProviderHealth;
use crate::domain::id::ModelId;
use crate::domain::model::{Model, ModelStatus};
use crate::domain::price::{Price, Pricing};
use crate::domain::search::Relevance;
use crate::domain::snapshot::{Snapshot, Tested};

closed_enum!(
    /// The filters of a query, by their parameters.
    Parameter {
        /// The providers.
        Provider = "provider",
        /// The capabilities.
        Capability = "capability",
        /// What must go in.
        InputModality = "input_modality",
        /// What must come out.
        OutputModality = "output_modality",
        /// The task types.
        Task = "task",
        /// The kinds.
        Kind = "kind",
        /// The statuses.
        Status = "status",
        /// The ids.
        Ids = "ids",
        /// The least context.
        MinContext = "min_context",
        /// The highest price of input.
        MaxInputPrice = "max_input_price",
        /// The highest price of output.
        MaxOutputPrice = "max_output_price",
        /// Whether it costs nothing.
        Free = "free",
        /// Whether the weights are open.
        OpenWeights = "open_weights",
        /// Whether it is hidden.
        Enabled = "enabled",
        /// Whether its provider is usable.
        HealthyOnly = "healthy_only",
        /// The search.
        Q = "q",
    }
);

/// A parameter whose removal gives results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Hint {
    /// The parameter to remove, with all its values.
    #[serde(rename = "drop")]
    pub parameter: Parameter,
    /// Number of matches without it.
    pub matches: usize,
}

impl ModelQuery {
    /// Whether the parameter was given.
    pub fn is_given(&self, parameter: Parameter) -> bool {
        match parameter {
            Parameter::Provider => !self.provider.is_empty(),
            Parameter::Capability => !self.capability.is_empty(),
            Parameter::InputModality => !self.input_modality.is_empty(),
            Parameter::OutputModality => !self.output_modality.is_empty(),
            Parameter::Task => !self.task.is_empty(),
            Parameter::Kind => !self.kind.is_empty(),
            Parameter::Status => !self.status.is_empty(),
            Parameter::Ids => !self.ids.is_empty(),
            Parameter::MinContext => self.min_context.is_some(),
            Parameter::MaxInputPrice => self.max_input_price.is_some(),
            Parameter::MaxOutputPrice => self.max_output_price.is_some(),
            Parameter::Free => self.free.is_some(),
            Parameter::OpenWeights => self.open_weights.is_some(),
            Parameter::Enabled => self.enabled.is_some(),
            Parameter::HealthyOnly => self.healthy_only,
            Parameter::Q => self.q.is_some(),
        }
    }

    /// Returns, for a query without matches, each parameter whose removal alone gives results, in the order of
    /// [`Parameter::ALL`]. Empty for other queries.
    ///
    /// Excluding retired and hidden models is no parameter, so they give no hint; removing `status` or `enabled`
    /// restores that default.
    pub fn hints(&self, snapshot: &Snapshot, health: &ProviderHealth) -> Vec<Hint> {
        let filters = Filters::new(self, snapshot, health);
        let mut matches: BTreeMap<Parameter, usize> = BTreeMap::new();
        for (at, model) in snapshot.models().iter().enumerate() {
            let mut failed =
                filters.active.iter().copied().filter(|&parameter| !filters.passes(parameter, at, model));
            match (failed.next(), failed.next()) {
                (None, _) => return Vec::new(),
                (Some(only), None) if self.is_given(only) && filters.passes_without(only, model) => {
                    *matches.entry(only).or_default() += 1;
                }
                _ => {}
            }
        }
        matches.into_iter().map(|(parameter, matches)| Hint { parameter, matches }).collect()
    }
}

/// A query prepared for a snapshot.
pub(super) struct Filters<'a> {
    query: &'a ModelQuery,
    snapshot: &'a Snapshot,
    health: &'a ProviderHealth,
    /// Parameters that can exclude a model.
    active: Vec<Parameter>,
    /// Those tested for each model.
    single: Vec<Parameter>,
    /// Results for groups.
    traits: Tested<'a>,
    providers: Tested<'a>,
    /// A set, because a caller may give hundreds.
    ids: HashSet<&'a ModelId>,
    /// By position in the snapshot; empty without `q`.
    ranks: Vec<Option<Relevance>>,
}

impl<'a> Filters<'a> {
    pub(super) fn new(query: &'a ModelQuery, snapshot: &'a Snapshot, health: &'a ProviderHealth) -> Self {
        // Retired and hidden models are excluded by default.
        let active = |parameter: &Parameter| {
            matches!(parameter, Parameter::Status | Parameter::Enabled) || query.is_given(*parameter)
        };
        let active: Vec<_> = Parameter::ALL.iter().copied().filter(active).collect();
        let mut filters = Self {
            query,
            snapshot,
            health,
            single: active.iter().copied().filter(|parameter| parameter.reach() == Reach::Model).collect(),
            active,
            traits: Tested::default(),
            providers: Tested::default(),
            ids: query.ids.iter().collect(),
            ranks: query.q.as_ref().map_or_else(Vec::new, |text| snapshot.search().rank(text)),
        };
        let passes = |reach: Reach, at: usize| {
            let mut of_reach = filters.active.iter().filter(|parameter| parameter.reach() == reach);
            of_reach.all(|&parameter| filters.passes(parameter, at, &snapshot.models()[at]))
        };
        let traits = snapshot.traits().test(|at| passes(Reach::Traits, at));
        let providers = snapshot.by_provider().test(|at| passes(Reach::Provider, at));
        (filters.traits, filters.providers) = (traits, providers);
        filters
    }

    /// Whether the model at a position passes every filter.
    pub(super) fn keeps(&self, at: usize, model: &Model) -> bool {
        self.traits.holds(at)
            && self.providers.holds(at)
            && self.single.iter().all(|&parameter| self.passes(parameter, at, model))
    }

    /// Returns the relevance of the model at a position; the same for all without `q`.
    pub(super) fn relevance(&self, at: usize) -> Relevance {
        self.ranks.get(at).copied().flatten().unwrap_or_default()
    }

    /// Whether the model passes the parameter's default.
    fn passes_without(&self, parameter: Parameter, model: &Model) -> bool {
        match parameter {
            Parameter::Status => model.status != ModelStatus::Retired,
            Parameter::Enabled => self.snapshot.is_enabled(model),
            _ => true,
        }
    }

    fn passes(&self, parameter: Parameter, at: usize, model: &Model) -> bool {
        let query = self.query;
        match parameter {
            Parameter::Provider => query.provider.contains(&model.provider),
            Parameter::Capability => all_in(&query.capability, &model.capabilities),
            Parameter::InputModality => all_in(&query.input_modality, &model.input_modalities),
            Parameter::OutputModality => all_in(&query.output_modality, &model.output_modalities),
            Parameter::Task => all_in(&query.task, &model.tasks),
            Parameter::Kind => query.kind.contains(&model.kind),
            Parameter::Status if query.status.is_empty() => model.status != ModelStatus::Retired,
            Parameter::Status => query.status.contains(&model.status),
            Parameter::Free => model.is_free == query.free,
            Parameter::OpenWeights => model.open_weights == query.open_weights,
            Parameter::Enabled => self.snapshot.is_enabled(model) == query.enabled.unwrap_or(true),
            Parameter::HealthyOnly => self.health.status_of(model.provider.as_str()).is_usable(),
            Parameter::Ids => self.ids.contains(&model.id),
            Parameter::MinContext => model.context_length >= query.min_context,
            Parameter::MaxInputPrice => at_most(query.max_input_price, model, |p| p.input),
            Parameter::MaxOutputPrice => at_most(query.max_output_price, model, |p| p.output),
            Parameter::Q => self.ranks.get(at).is_some_and(Option::is_some),
        }
    }
}

/// What a parameter tests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The groups of [`Snapshot::traits`].
    Traits,
    /// The provider only.
    Provider,
    /// The model itself.
    Model,
}

impl Parameter {
    fn reach(self) -> Reach {
        match self {
            Self::Provider | Self::HealthyOnly => Reach::Provider,
            Self::Capability
            | Self::InputModality
            | Self::OutputModality
            | Self::Task
            | Self::Kind
            | Self::Status
            | Self::Free
            | Self::OpenWeights
            | Self::Enabled => Reach::Traits,
            Self::Ids | Self::MinContext | Self::MaxInputPrice | Self::MaxOutputPrice | Self::Q => {
                Reach::Model
            }
        }
    }
}

/// Whether every wanted value is present.
pub(super) fn all_in<T: PartialEq>(wanted: &[T], present: &[T]) -> bool {
    wanted.iter().all(|value| present.contains(value))
}

fn at_most(limit: Option<Price>, model: &Model, price: fn(&Pricing) -> Option<Price>) -> bool {
    let price = model.pricing.as_ref().and_then(price);
    price.zip(limit).is_some_and(|(price, limit)| price <= limit)
}
