//! Sort keys and their comparison.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{Order, Sort, SortKey};
use crate::domain::date::PartialDate;
use crate::domain::id::ModelId;
use crate::domain::model::Model;
use crate::domain::price::{Price, Pricing};
use crate::domain::search::Relevance;

/// What an order compares before ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::domain) enum Key<'a> {
    Name(Cow<'a, str>),
    /// Input, then output, in [`Price::smallest_units`].
    Price(Option<u64>, Option<u64>),
    Context(Option<u32>),
    Release(Option<PartialDate>),
    /// The name; the id has the provider.
    Provider(Cow<'a, str>),
    Relevance(Relevance),
}

impl<'a> Key<'a> {
    pub(in crate::domain) fn of(order: Order, model: &'a Model, relevance: Relevance) -> Self {
        let Order::By(sort) = order else {
            return Self::Relevance(relevance);
        };
        match sort.key {
            SortKey::Name => Self::Name(Cow::Borrowed(&model.name)),
            SortKey::Provider => Self::Provider(Cow::Borrowed(&model.name)),
            SortKey::Context => Self::Context(model.context_length),
            SortKey::Release => Self::Release(model.release_date),
            SortKey::Price => {
                let unknown = Pricing::default();
                let pricing = model.pricing.as_ref().unwrap_or(&unknown);
                Self::Price(
                    pricing.input.map(Price::smallest_units),
                    pricing.output.map(Price::smallest_units),
                )
            }
        }
    }

    pub(in crate::domain) fn into_owned(self) -> Key<'static> {
        match self {
            Self::Name(name) => Key::Name(Cow::Owned(name.into_owned())),
            Self::Provider(name) => Key::Provider(Cow::Owned(name.into_owned())),
            Self::Price(input, output) => Key::Price(input, output),
            Self::Context(tokens) => Key::Context(tokens),
            Self::Release(date) => Key::Release(date),
            Self::Relevance(relevance) => Key::Relevance(relevance),
        }
    }

    /// Whether the order compares such keys.
    pub(in crate::domain) fn is_of(&self, order: Order) -> bool {
        match order {
            Order::Relevance => matches!(self, Self::Relevance(_)),
            Order::By(sort) => match sort.key {
                SortKey::Name => matches!(self, Self::Name(_)),
                SortKey::Price => matches!(self, Self::Price(..)),
                SortKey::Context => matches!(self, Self::Context(_)),
                SortKey::Release => matches!(self, Self::Release(_)),
                SortKey::Provider => matches!(self, Self::Provider(_)),
            },
        }
    }
}

/// Compares two positions. A total order: ids are unique, and keys of different orders are equal.
pub(in crate::domain) fn compare(order: Order, a: (&Key<'_>, &ModelId), b: (&Key<'_>, &ModelId)) -> Ordering {
    let descending = matches!(order, Order::By(Sort { descending: true, .. }));
    let ((a_key, a_id), (b_key, b_id)) = (a, b);
    let ordering = match (a_key, b_key) {
        (Key::Name(a), Key::Name(b)) => directed(descending, a.cmp(b)),
        (Key::Price(a_input, a_output), Key::Price(b_input, b_output)) => {
            known_first(descending, *a_input, *b_input)
                .then_with(|| known_first(descending, *a_output, *b_output))
        }
        (Key::Context(a), Key::Context(b)) => known_first(descending, *a, *b),
        (Key::Release(a), Key::Release(b)) => known_first(descending, *a, *b),
        (Key::Provider(a), Key::Provider(b)) => {
            directed(descending, a_id.provider().cmp(b_id.provider()).then_with(|| a.cmp(b)))
        }
        (Key::Relevance(a), Key::Relevance(b)) => a.cmp(b),
        _ => Ordering::Equal,
    };
    ordering.then_with(|| a_id.cmp(b_id))
}

fn directed(descending: bool, ordering: Ordering) -> Ordering {
    if descending { ordering.reverse() } else { ordering }
}

/// Sorts unknown values last in both directions.
fn known_first<T: Ord>(descending: bool, a: Option<T>, b: Option<T>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => directed(descending, a.cmp(&b)),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}
