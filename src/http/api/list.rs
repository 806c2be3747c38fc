//! The envelope of every list.

use std::marker::PhantomData;

use serde::Serialize;
use utoipa::openapi::schema::{Array, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::catalogue::{CatalogueRead, CatalogueSource};
use crate::domain::query::{Facets, Hint};

// A doc comment would enter the schema of every list.
#[derive(Serialize, ToSchema)]
pub struct Envelope<'a, T> {
    #[schema(schema_with = list_literal)]
    object: &'static str,
    #[schema(schema_with = array_of::<T>)]
    data: Vec<T>,
    /// How many match, whatever `limit` and `cursor` say.
    total: usize,
    /// The version of the catalogue. Rises with every change; 0 for `builtin`.
    #[schema(value_type = usize)]
    revision: u64,
    source: CatalogueSource,
    /// Give it as `cursor`, with the same filters and sort, for the next page; `null` on the last one.
    next_cursor: Option<String>,
    /// Counts over all matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub facets: Option<Facets<'a>>,
    /// Parameters to drop from a query without matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub hints: Option<Vec<Hint>>,
}

fn list_literal() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["list"]))
}

fn array_of<T: ToSchema>() -> Array {
    Array::new(Ref::from_schema_name(T::name()))
}

impl<T: Serialize> Envelope<'_, T> {
    /// Wraps a whole list.
    pub fn whole(read: &CatalogueRead, data: Vec<T>) -> Self {
        Self::page(read, data.len(), data, None)
    }

    /// Wraps one page of a list of `total`.
    pub fn page(read: &CatalogueRead, total: usize, data: Vec<T>, next_cursor: Option<String>) -> Self {
        Self {
            object: "list",
            data,
            total,
            revision: read.revision(),
            source: read.source(),
            next_cursor,
            facets: None,
            hints: None,
        }
    }
}

/// The schema of a list of `T`, named after it.
pub struct ListOf<T>(PhantomData<T>);

impl<T: ToSchema> PartialSchema for ListOf<T> {
    fn schema() -> RefOr<Schema> {
        Envelope::<T>::schema()
    }
}

impl<T: ToSchema> ToSchema for ListOf<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("{}List", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Envelope::<T>::schemas(schemas);
        T::schemas(schemas);
        schemas.push((T::name().into(), T::schema()));
    }
}
