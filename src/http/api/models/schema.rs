//! The schemas of a model and of lists of them, made of the same table of fields as the models themselves.

use std::borrow::Cow;

use utoipa::openapi::schema::{Array, ObjectBuilder, OneOf, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::model::Model;
use crate::domain::provider::ProviderStatus;
use crate::domain::query::Facets;
use crate::domain::query::{Hint, Parameter};

use super::view::{Field, ModelView, PricingView};
use crate::http::api::list::ListOf;

type Schemas = Vec<(String, RefOr<Schema>)>;

/// The fields of a model. Their types and meanings are those of the catalogue's own type.
fn fields() -> ObjectBuilder {
    let RefOr::T(Schema::Object(stored)) = Model::schema() else { return ObjectBuilder::new() };
    let of = |field: Field| match field {
        Field::Enabled => ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .description(Some("Whether neither it nor its provider is hidden."))
            .into(),
        Field::ProviderStatus => Ref::from_schema_name(ProviderStatus::name()).into(),
        Field::Pricing => OneOf::builder()
            .item(ObjectBuilder::new().schema_type(Type::Null))
            .item(Ref::from_schema_name(PricingView::name()))
            .into(),
        _ => stored.properties.get(field.as_str()).cloned().unwrap_or_default(),
    };
    Field::ALL.iter().fold(ObjectBuilder::new().schema_type(Type::Object), |object, field| {
        object.property(field.as_str(), of(*field))
    })
}

fn parts(schemas: &mut Schemas) {
    Model::schemas(schemas);
    PricingView::schemas(schemas);
    schemas.push((PricingView::name().into(), PricingView::schema()));
    schemas.push((ProviderStatus::name().into(), ProviderStatus::schema()));
}

impl PartialSchema for ModelView<'_> {
    fn schema() -> RefOr<Schema> {
        let object =
            fields().description(Some("A model of one provider. `null` is unknown, never zero or false."));
        Field::NAMES.iter().fold(object, |object, name| object.required(*name)).into()
    }
}

impl ToSchema for ModelView<'_> {
    fn name() -> Cow<'static, str> {
        "Model".into()
    }

    fn schemas(schemas: &mut Schemas) {
        parts(schemas);
    }
}

/// A model in a list: `fields` may leave some of it out.
pub struct ListedModel;

impl PartialSchema for ListedModel {
    fn schema() -> RefOr<Schema> {
        fields().description(Some("A model, with all its fields, or those that `fields` names.")).into()
    }
}

impl ToSchema for ListedModel {
    fn schemas(schemas: &mut Schemas) {
        parts(schemas);
    }
}

/// A list of models.
pub struct ModelList;

impl PartialSchema for ModelList {
    fn schema() -> RefOr<Schema> {
        let hints = Array::builder().items(Ref::from_schema_name(Hint::name())).description(Some(
            "What to drop from a query without matches: each parameter whose removal gives some.",
        ));
        ListOf::<ListedModel>::object()
            .property("facets", Ref::from_schema_name(Facets::name()))
            .property("hints", hints)
            .description(Some("With `facets` when asked for, and with `hints` when nothing matches."))
            .into()
    }
}

impl ToSchema for ModelList {
    fn schemas(schemas: &mut Schemas) {
        ListOf::<ListedModel>::schemas(schemas);
        Facets::schemas(schemas);
        schemas.push((Facets::name().into(), Facets::schema()));
        schemas.push((Hint::name().into(), Hint::schema()));
        schemas.push((Parameter::name().into(), Parameter::schema()));
    }
}
