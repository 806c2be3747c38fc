//! The orders that a list can have.

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
    /// What a list can be sorted by.
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
/// Reversing turns the key round and nothing else: unknown values come last both ways, and models with equal keys are
/// in the order of their ids both ways, so that a list reads the same wherever its keys say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sort {
    /// What to sort by.
    pub key: SortKey,
    /// Whether the greatest comes first.
    pub descending: bool,
}

impl Sort {
    /// Every sort, as callers write them.
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

/// The order that applies to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// A sort, asked for or by default.
    By(Sort),
    /// What was searched for first, then by id.
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
    fn every_sort_is_read_back_as_written() {
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
