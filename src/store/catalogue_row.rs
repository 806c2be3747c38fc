//! Catalogue rows as the load statement returns them.

use std::fmt::Display;
use std::str::FromStr;

use time::OffsetDateTime;

use crate::domain::id::ModelId;
use crate::domain::model::{Model, ModelStatus};
use crate::domain::price::Pricing;

use super::detail::{Details, IgnoredDetails, SHORT_TEXT, bounded, shortened};

/// A model by column, or a row of a small table in the first two. Lists are words separated by spaces; prices and JSON are
/// text.
#[derive(Debug, Default)]
pub(super) struct CatalogueRow {
    /// Kind of `document`.
    pub part: Option<String>,
    /// A version, or a row as a JSON object.
    pub document: Option<String>,
    pub id: Option<String>,
    pub provider: Option<String>,
    pub provider_model_id: Option<String>,
    pub name: Option<String>,
    pub family: Option<String>,
    pub kind: Option<String>,
    pub status: Option<String>,
    pub enabled: Option<bool>,
    pub release_date: Option<String>,
    pub knowledge_cutoff: Option<String>,
    pub deprecation_date: Option<String>,
    pub successor: Option<String>,
    pub context_length: Option<i64>,
    pub max_input_tokens: Option<i64>,
    pub max_output_tokens: Option<i64>,
    pub embedding_dimensions: Option<i64>,
    pub input_modalities: Option<String>,
    pub output_modalities: Option<String>,
    pub capabilities: Option<String>,
    pub tasks: Option<String>,
    pub open_weights: Option<bool>,
    pub price_input: Option<String>,
    pub price_output: Option<String>,
    pub price_cache_read: Option<String>,
    pub price_cache_write: Option<String>,
    pub price_per_query: Option<String>,
    pub price_tiers: Option<String>,
    pub price_off_peak: Option<String>,
    pub is_free: Option<bool>,
    pub price_source: Option<String>,
    pub as_of: Option<String>,
    pub created_at: Option<OffsetDateTime>,
    pub updated_at: Option<OffsetDateTime>,
}

/// A required column, and why it is unreadable.
#[derive(Debug, thiserror::Error)]
#[error("{0}: {1}")]
pub(super) struct Unreadable(&'static str, String);

impl Unreadable {
    pub fn new(column: &'static str, reason: impl Display) -> Self {
        Self(column, shortened(&reason.to_string()))
    }
}

impl CatalogueRow {
    /// Builds the model. An unreadable detail is left out and recorded in `ignored`.
    ///
    /// Required fields fall back cautiously: an unknown status to `deprecated`, so that nothing prefers the model; a
    /// missing provider's name to the id without the provider; a missing time to the row's other time. Null means the
    /// column's default.
    ///
    /// # Errors
    /// [`Unreadable`] for id, provider, name or kind.
    pub fn model(self, ignored: &mut IgnoredDetails) -> Result<Model, Unreadable> {
        let id: ModelId = required("id", self.id)?;
        let provider = required("provider", self.provider)?;
        let name = needed("name", self.name)?;
        let name = bounded(name, SHORT_TEXT).map_err(|reason| Unreadable::new("name", reason))?;
        let kind = required("kind", self.kind)?;

        let mut details = Details::of("model", id.as_str(), ignored);
        let mut price = |column, text: Option<String>| details.price(column, text.as_deref());
        let mut pricing = Pricing {
            input: price("price_input", self.price_input),
            output: price("price_output", self.price_output),
            cache_read: price("price_cache_read", self.price_cache_read),
            cache_write: price("price_cache_write", self.price_cache_write),
            per_query: price("price_per_query", self.price_per_query),
            tiers: details.tiers("price_tiers", self.price_tiers.as_deref()),
            off_peak: details.off_peak("price_off_peak", self.price_off_peak.as_deref()),
        };
        if pricing.per_query.is_some() && pricing.has_token_price() {
            details.ignore("price_per_query", "priced per query and per token: neither price is served");
            pricing = Pricing::default();
        }
        let status =
            self.status.map_or(Some(ModelStatus::Active), |text| details.parsed("status", Some(&text)));
        let times = (self.created_at, self.updated_at);
        let mut time = |column, time: Option<OffsetDateTime>, other: Option<OffsetDateTime>| {
            time.unwrap_or_else(|| {
                details.ignore(column, "no value, or one out of range");
                other.unwrap_or(OffsetDateTime::UNIX_EPOCH)
            })
        };
        let created_at = time("created_at", times.0, times.1);
        let updated_at = time("updated_at", times.1, times.0);
        let provider_model_id =
            details.text("provider_model_id", self.provider_model_id.or_else(|| Some(String::new())));
        Ok(Model {
            provider,
            provider_model_id: provider_model_id.unwrap_or_else(|| id.name().to_owned()),
            name,
            family: details.text("family", self.family),
            kind,
            status: status.unwrap_or(ModelStatus::Deprecated),
            enabled: self.enabled.unwrap_or(true),
            release_date: details.date("release_date", self.release_date.as_deref()),
            knowledge_cutoff: details.date("knowledge_cutoff", self.knowledge_cutoff.as_deref()),
            deprecation_date: details.date("deprecation_date", self.deprecation_date.as_deref()),
            successor: details.parsed("successor", self.successor.as_deref()),
            context_length: details.count("context_length", self.context_length),
            max_input_tokens: details.count("max_input_tokens", self.max_input_tokens),
            max_output_tokens: details.count("max_output_tokens", self.max_output_tokens),
            embedding_dimensions: details.count("embedding_dimensions", self.embedding_dimensions),
            input_modalities: details.words("input_modalities", self.input_modalities.as_deref()),
            output_modalities: details.words("output_modalities", self.output_modalities.as_deref()),
            capabilities: details.words("capabilities", self.capabilities.as_deref()),
            tasks: details.words("tasks", self.tasks.as_deref()),
            open_weights: self.open_weights,
            // Without any price the pricing is absent.
            pricing: (pricing != Pricing::default()).then_some(pricing),
            is_free: self.is_free,
            price_source: details.text("price_source", self.price_source),
            as_of: details.date("as_of", self.as_of.as_deref()),
            created_at,
            updated_at,
            id,
        })
    }
}

/// Parses a required value.
pub(super) fn required<T: FromStr<Err: Display>>(
    column: &'static str,
    text: Option<String>,
) -> Result<T, Unreadable> {
    needed(column, text)?.parse().map_err(|error| Unreadable::new(column, error))
}

fn needed<T>(column: &'static str, value: Option<T>) -> Result<T, Unreadable> {
    value.ok_or_else(|| Unreadable::new(column, "no value that can be read"))
}
