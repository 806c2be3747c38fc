//! The JSON of a model and its schema, both from one table of fields.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::openapi::schema::{Array, ObjectBuilder, OneOf, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::closed::closed_enum;
use crate::domain::health::ProviderHealth;
use crate::domain::model::Model;
use crate::domain::price::{CURRENCY, Pricing, UNIT};
use crate::domain::provider::ProviderStatus;
use crate::domain::query::{Facets, Hint, Parameter};
use crate::domain::snapshot::Snapshot;
use crate::http::api::list::ListOf;

closed_enum!(
    /// The fields of a model, in the order of the JSON.
    Field {
        /// `provider/name`.
        Id = "id",
        /// The provider's id.
        Provider = "provider",
        /// The name to send to the provider.
        ProviderModelId = "provider_model_id",
        /// Display name.
        Name = "name",
        /// The series.
        Family = "family",
        /// The kind of work.
        Kind = "kind",
        /// Stage of its life cycle.
        Status = "status",
        /// Whether neither it nor its provider is hidden.
        Enabled = "enabled",
        /// When it became available.
        ReleaseDate = "release_date",
        /// The end of its training data.
        KnowledgeCutoff = "knowledge_cutoff",
        /// When it stops being served.
        DeprecationDate = "deprecation_date",
        /// What replaces it.
        Successor = "successor",
        /// Tokens of prompt and answer together.
        ContextLength = "context_length",
        /// Tokens of prompt.
        MaxInputTokens = "max_input_tokens",
        /// Tokens of answer.
        MaxOutputTokens = "max_output_tokens",
        /// Length of its vectors.
        EmbeddingDimensions = "embedding_dimensions",
        /// Modalities it accepts.
        InputModalities = "input_modalities",
        /// Modalities it produces.
        OutputModalities = "output_modalities",
        /// What it can do.
        Capabilities = "capabilities",
        /// Task types it serves.
        Tasks = "tasks",
        /// Whether its weights can be downloaded.
        OpenWeights = "open_weights",
        /// Its prices.
        Pricing = "pricing",
        /// Whether it costs nothing.
        IsFree = "is_free",
        /// Source of the price.
        PriceSource = "price_source",
        /// Date of that source.
        AsOf = "as_of",
        /// The health of its provider.
        ProviderStatus = "provider_status",
        /// Time of its last change.
        UpdatedAt = "updated_at",
    }
);

/// A model with the state of its provider.
pub struct ModelView<'a> {
    model: &'a Model,
    enabled: bool,
    provider_status: &'static str,
    fields: Option<&'a BTreeSet<Field>>,
}

impl<'a> ModelView<'a> {
    /// Shows some fields, or all for `None`.
    pub fn new(
        snapshot: &Snapshot,
        health: &ProviderHealth,
        model: &'a Model,
        fields: Option<&'a BTreeSet<Field>>,
    ) -> Self {
        let provider_status = health.status_of(model.provider.as_str()).as_str();
        Self { model, enabled: snapshot.is_enabled(model), provider_status, fields }
    }

    /// Serializes all fields; `None` on failure.
    pub fn text(snapshot: &Snapshot, health: &ProviderHealth, model: &Model) -> Option<Box<RawValue>> {
        to_raw_value(&ModelView::new(snapshot, health, model, None)).ok()
    }
}

impl Serialize for ModelView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let model = self.model;
        let view = |pricing| PricingView { currency: CURRENCY, unit: UNIT, pricing };
        let pricing = model.pricing.as_ref().map(view);
        for field in Field::ALL.iter().filter(|field| self.fields.is_none_or(|shown| shown.contains(field))) {
            let key = field.as_str();
            match field {
                Field::Id => map.serialize_entry(key, model.id.as_str()),
                Field::Provider => map.serialize_entry(key, model.provider.as_str()),
                Field::ProviderModelId => map.serialize_entry(key, &model.provider_model_id),
                Field::Name => map.serialize_entry(key, &model.name),
                Field::Family => map.serialize_entry(key, &model.family),
                Field::Kind => map.serialize_entry(key, &model.kind),
                Field::Status => map.serialize_entry(key, &model.status),
                Field::Enabled => map.serialize_entry(key, &self.enabled),
                Field::ReleaseDate => map.serialize_entry(key, &model.release_date),
                Field::KnowledgeCutoff => map.serialize_entry(key, &model.knowledge_cutoff),
                Field::DeprecationDate => map.serialize_entry(key, &model.deprecation_date),
                Field::Successor => map.serialize_entry(key, &model.successor),
                Field::ContextLength => map.serialize_entry(key, &model.context_length),
                Field::MaxInputTokens => map.serialize_entry(key, &model.max_input_tokens),
                Field::MaxOutputTokens => map.serialize_entry(key, &model.max_output_tokens),
                Field::EmbeddingDimensions => map.serialize_entry(key, &model.embedding_dimensions),
                Field::InputModalities => map.serialize_entry(key, &model.input_modalities),
                Field::OutputModalities => map.serialize_entry(key, &model.output_modalities),
                Field::Capabilities => map.serialize_entry(key, &model.capabilities),
                Field::Tasks => map.serialize_entry(key, &model.tasks),
                Field::OpenWeights => map.serialize_entry(key, &model.open_weights),
                Field::Pricing => map.serialize_entry(key, &pricing),
                Field::IsFree => map.serialize_entry(key, &model.is_free),
                Field::PriceSource => map.serialize_entry(key, &model.price_source),
                Field::AsOf => map.serialize_entry(key, &model.as_of),
                Field::ProviderStatus => map.serialize_entry(key, self.provider_status),
                Field::UpdatedAt => map.serialize_entry(key, &Rfc3339(model.updated_at)),
            }?;
        }
        map.end()
    }
}

/// The prices of a model. A model priced per query has no token prices.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[schema(as = Pricing)]
pub struct PricingView<'a> {
    /// Always `USD`.
    currency: &'static str,
    /// The unit of token prices, always `per_1m_tokens`: USD per 1,000,000 tokens.
    unit: &'static str,
    #[serde(flatten)]
    pricing: &'a Pricing,
}

#[derive(serde::Serialize)]
#[serde(transparent)]
struct Rfc3339(#[serde(with = "time::serde::rfc3339")] time::OffsetDateTime);

type Schemas = Vec<(String, RefOr<Schema>)>;

/// Describes the fields, mostly by the schema of the catalogue's type.
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

impl PartialSchema for ModelView<'_> {
    fn schema() -> RefOr<Schema> {
        let object =
            fields().description(Some("A model of one provider. `null` means unknown, never zero or false."));
        Field::NAMES.iter().fold(object, |object, name| object.required(*name)).into()
    }
}

impl ToSchema for ModelView<'_> {
    fn name() -> Cow<'static, str> {
        "Model".into()
    }

    fn schemas(schemas: &mut Schemas) {
        Model::schemas(schemas);
        PricingView::schemas(schemas);
        schemas.push((PricingView::name().into(), PricingView::schema()));
        schemas.push((ProviderStatus::name().into(), ProviderStatus::schema()));
    }
}

/// A model in a list, where `fields` may leave some out.
pub struct ListedModel;

impl PartialSchema for ListedModel {
    fn schema() -> RefOr<Schema> {
        fields().description(Some("A model with all fields, or those in `fields`.")).into()
    }
}

impl ToSchema for ListedModel {
    fn schemas(schemas: &mut Schemas) {
        ModelView::schemas(schemas);
    }
}

/// A list of models.
pub struct ModelList;

impl PartialSchema for ModelList {
    fn schema() -> RefOr<Schema> {
        let hints = Array::builder()
            .items(Ref::from_schema_name(Hint::name()))
            .description(Some("Parameters of a query without matches whose removal gives some."));
        let RefOr::T(Schema::Object(list)) = ListOf::<ListedModel>::schema() else { return <_>::default() };
        ObjectBuilder::from(list)
            .property("facets", Ref::from_schema_name(Facets::name()))
            .property("hints", hints)
            .description(Some("Has `facets` on request, and `hints` if nothing matches."))
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
