//! Orders of a list.

mod key;
mod sorted;

pub(super) use key::{Key, compare};
pub(super) use sorted::Sorted;

use std::fmt;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::closed::{UnknownName, closed_enum};

closed_enum!(
    /// Sort key of a list.
    SortKey {
        /// The name, by its bytes.
        Name = "name",
        /// The base price of input, then of output.
        Price = "price",
        /// Tokens of context.
        Context = "context",
        /// The release date.
        Release = "release",
        /// The provider, then the name.
        Provider = "provider",
    }
);

/// A sort as callers write it: `price`, or `-price` for the reverse. By default `provider`.
///
/// In both directions unknown values come last, and models with equal keys are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sort {
    /// What to sort by.
    pub key: SortKey,
    /// Whether the greatest comes first.
    pub descending: bool,
}

impl Sort {
    /// Every sort as callers write it.
    pub const NAMES: &'static [&'static str] = &[
        "name",
        "-name",
        "price",
        "-price",
        "context",
        "-context",
        "release",
        "-release",
        "provider",
        "-provider",
    ];
}

impl Default for Sort {
    fn default() -> Self {
        Self { key: SortKey::Provider, descending: false }
    }
}

impl std::str::FromStr for Sort {
    type Err = UnknownName;
    fn from_str(given: &str) -> Result<Self, UnknownName> {
        let reversed = given.strip_prefix('-');
        match reversed.unwrap_or(given).parse() {
            Ok(key) => Ok(Self { key, descending: reversed.is_some() }),
            Err(_) => Err(UnknownName { given: given.to_owned(), allowed: Self::NAMES }),
        }
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.descending { "-" } else { "" })?;
        self.key.fmt(f)
    }
}

/// The order of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// The given or the default sort.
    By(Sort),
    /// Relevance to the search, then id.
    Relevance,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By(sort) => sort.fmt(f),
            Self::Relevance => f.write_str("relevance"),
        }
    }
}

impl ToSchema for Sort {}

impl PartialSchema for Sort {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Self::NAMES.iter().copied())).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sort_round_trips() {
        assert_eq!(Sort::NAMES.len(), 2 * SortKey::ALL.len());
        for name in Sort::NAMES {
            assert_eq!(name.parse::<Sort>().unwrap().to_string(), *name);
        }
        for bad in ["", "-", "--name", "Name", "relevance", " name"] {
            let error = bad.parse::<Sort>().unwrap_err();
            assert_eq!((error.given.as_str(), error.allowed), (bad, Sort::NAMES));
        }
    }
}
