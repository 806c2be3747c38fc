//! Which models a query keeps, one parameter at a time.

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
    /// The parameters of a query that keep models out, by the names that callers use.
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
    /// The parameter to drop, with all its values.
    #[serde(rename = "drop")]
    pub parameter: Parameter,
    /// How many models match without it.
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
}

/// A query made ready to be put to one model after the other.
pub(super) struct Filters<'a> {
    query: &'a ModelQuery,
    snapshot: &'a Snapshot,
    health: &'a ProviderHealth,
    /// The parameters that can keep a model out.
    active: Vec<Parameter>,
    /// Those of them that have to be asked model by model.
    single: Vec<Parameter>,
    /// By what models of the same traits, and of the same provider, have in common.
    traits: Tested<'a>,
    providers: Tested<'a>,
    /// A caller may ask for hundreds of ids, so they are looked up, not searched.
    ids: HashSet<&'a ModelId>,
    /// By place in the snapshot; empty without `q`.
    ranks: Vec<Option<Relevance>>,
}

impl<'a> Filters<'a> {
    pub(super) fn new(query: &'a ModelQuery, snapshot: &'a Snapshot, health: &'a ProviderHealth) -> Self {
        // Retired and hidden models are kept out even when nothing is asked for.
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

    /// Whether the model at that place of the snapshot passes every filter.
    pub(super) fn keeps(&self, at: usize, model: &Model) -> bool {
        self.traits.holds(at)
            && self.providers.holds(at)
            && self.single.iter().all(|&parameter| self.passes(parameter, at, model))
    }

    /// The relevance of the model at that place; the same for all without `q`.
    pub(super) fn relevance(&self, at: usize) -> Relevance {
        self.ranks.get(at).copied().flatten().unwrap_or_default()
    }

    pub(super) fn hints(&self) -> Vec<Hint> {
        let mut matches: BTreeMap<Parameter, usize> = BTreeMap::new();
        for (at, model) in self.snapshot.models().iter().enumerate() {
            let mut failed =
                self.active.iter().copied().filter(|&parameter| !self.passes(parameter, at, model));
            match (failed.next(), failed.next()) {
                (None, _) => return Vec::new(),
                (Some(only), None) if self.query.is_given(only) && self.passes_without(only, model) => {
                    *matches.entry(only).or_default() += 1;
                }
                _ => {}
            }
        }
        matches.into_iter().map(|(parameter, matches)| Hint { parameter, matches }).collect()
    }

    /// Whether the model passes what holds when the parameter is not given.
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

/// What a parameter looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// What [`Snapshot::traits`] groups by.
    Traits,
    /// The provider alone.
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

fn all_in<T: PartialEq>(wanted: &[T], present: &[T]) -> bool {
    wanted.iter().all(|value| present.contains(value))
}

fn at_most(limit: Option<Price>, model: &Model, price: fn(&Pricing) -> Option<Price>) -> bool {
    let price = model.pricing.as_ref().and_then(price);
    price.zip(limit).is_some_and(|(price, limit)| price <= limit)
}
