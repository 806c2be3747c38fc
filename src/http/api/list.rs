//! The one envelope of all lists.

use std::marker::PhantomData;

use serde::Serialize;
use utoipa::openapi::schema::{Array, Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::catalogue::CatalogueRead;
use crate::catalogue::CatalogueSource;

/// What every list looks like.
#[derive(Serialize)]
pub struct Envelope<T, F = (), H = ()> {
    object: &'static str,
    data: T,
    /// The matches of the query, whatever the page.
    total: usize,
    revision: u64,
    source: CatalogueSource,
    next_cursor: Option<String>,
    /// Counts over all matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facets: Option<F>,
    /// What to drop from a query without matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hints: Option<H>,
}

impl<T: Serialize> Envelope<T> {
    /// A whole list.
    pub fn whole(read: &CatalogueRead, total: usize, data: T) -> Self {
        Self::page(read, total, data, None)
    }
}

impl<T: Serialize, F: Serialize, H: Serialize> Envelope<T, F, H> {
    /// One page of a list.
    pub fn page(read: &CatalogueRead, total: usize, data: T, next_cursor: Option<String>) -> Self {
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

/// The schema of a list of these.
pub struct ListOf<T>(PhantomData<T>);

impl<T: ToSchema> ListOf<T> {
    /// What every list has.
    pub fn object() -> ObjectBuilder {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let whole = || Object::builder().schema_type(Type::Integer).minimum(Some(0));
        let cursor = SchemaType::from_iter([Type::String, Type::Null]);
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("object", text().enum_values(Some(["list"])))
            .property("data", Array::new(Ref::from_schema_name(T::name())))
            .property(
                "total",
                whole().description(Some("How many match, whatever `limit` and `cursor` say.")),
            )
            .property(
                "revision",
                whole().description(Some("The version of the catalogue. Rises with every change; 0 for `builtin`.")),
            )
            .property("source", Ref::from_schema_name(CatalogueSource::name()))
            .property(
                "next_cursor",
                text().schema_type(cursor).description(Some(
                    "Give it as `cursor`, with the same filters and sort, for the next page; `null` on the last one.",
                )),
            )
            .required("object")
            .required("data")
            .required("total")
            .required("revision")
            .required("source")
            .required("next_cursor")
    }
}

impl<T: ToSchema> PartialSchema for ListOf<T> {
    fn schema() -> RefOr<Schema> {
        Self::object().into()
    }
}

impl<T: ToSchema> ToSchema for ListOf<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("{}List", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into(), T::schema()));
        schemas.push((CatalogueSource::name().into(), CatalogueSource::schema()));
        T::schemas(schemas);
    }
}
