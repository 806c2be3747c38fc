//! Rows of the catalogue as the load statement reads them.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use crate::domain::model::Model;
use crate::domain::price::Pricing;

/// A model by its columns, or a row of a smaller table: then the first two are there and nothing else. Lists are words with
/// spaces in between, prices and JSON are text: nothing that a column can hold makes the whole statement fail.
#[derive(Debug)]
pub(super) struct CatalogueRow {
    /// What the document is.
    pub part: Option<String>,
    /// A version, or a row in the stored form of `domain`.
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
    pub context_length: Option<i32>,
    pub max_input_tokens: Option<i32>,
    pub max_output_tokens: Option<i32>,
    pub embedding_dimensions: Option<i32>,
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

/// A column whose value this release does not understand: the column, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}: {1}")]
pub(super) struct Unreadable(&'static str, String);

impl CatalogueRow {
    /// The model of the columns.
    ///
    /// # Errors
    /// [`Unreadable`] for the first column that cannot be understood.
    pub fn model(self) -> Result<Model, Unreadable> {
        let pricing = Pricing {
            input: parsed("price_input", self.price_input)?,
            output: parsed("price_output", self.price_output)?,
            cache_read: parsed("price_cache_read", self.price_cache_read)?,
            cache_write: parsed("price_cache_write", self.price_cache_write)?,
            per_query: parsed("price_per_query", self.price_per_query)?,
            tiers: json("price_tiers", self.price_tiers)?.unwrap_or_default(),
            off_peak: json("price_off_peak", self.price_off_peak)?,
        };
        Ok(Model {
            id: required("id", self.id)?,
            provider: required("provider", self.provider)?,
            provider_model_id: needed("provider_model_id", self.provider_model_id)?,
            name: needed("name", self.name)?,
            family: self.family,
            kind: required("kind", self.kind)?,
            status: required("status", self.status)?,
            enabled: needed("enabled", self.enabled)?,
            release_date: parsed("release_date", self.release_date)?,
            knowledge_cutoff: parsed("knowledge_cutoff", self.knowledge_cutoff)?,
            deprecation_date: parsed("deprecation_date", self.deprecation_date)?,
            successor: parsed("successor", self.successor)?,
            context_length: count("context_length", self.context_length)?,
            max_input_tokens: count("max_input_tokens", self.max_input_tokens)?,
            max_output_tokens: count("max_output_tokens", self.max_output_tokens)?,
            embedding_dimensions: count("embedding_dimensions", self.embedding_dimensions)?,
            input_modalities: words("input_modalities", self.input_modalities.as_deref())?,
            output_modalities: words("output_modalities", self.output_modalities.as_deref())?,
            capabilities: words("capabilities", self.capabilities.as_deref())?,
            tasks: words("tasks", self.tasks.as_deref())?,
            open_weights: self.open_weights,
            // Nothing known is no pricing.
            pricing: (pricing != Pricing::default()).then_some(pricing),
            is_free: self.is_free,
            price_source: self.price_source,
            as_of: parsed("as_of", self.as_of)?,
            created_at: needed("created_at", self.created_at)?,
            updated_at: needed("updated_at", self.updated_at)?,
        })
    }
}

type Read<T> = Result<T, Unreadable>;

fn needed<T>(column: &'static str, value: Option<T>) -> Read<T> {
    value.ok_or_else(|| Unreadable(column, "no value, or one out of range".to_owned()))
}

fn parsed<T: FromStr<Err: Display>>(column: &'static str, text: Option<String>) -> Read<Option<T>> {
    text.map(|text| text.parse()).transpose().map_err(because(column))
}

fn required<T: FromStr<Err: Display>>(column: &'static str, text: Option<String>) -> Read<T> {
    needed(column, parsed(column, text)?)
}

fn count(column: &'static str, number: Option<i32>) -> Read<Option<u32>> {
    number.map(u32::try_from).transpose().map_err(because(column))
}

fn words<T: FromStr<Err: Display>>(column: &'static str, text: Option<&str>) -> Read<Vec<T>> {
    let words = text.into_iter().flat_map(str::split_ascii_whitespace);
    words.map(str::parse).collect::<Result<_, _>>().map_err(because(column))
}

fn json<T: DeserializeOwned>(column: &'static str, text: Option<String>) -> Read<Option<T>> {
    text.map(|text| serde_json::from_str(&text)).transpose().map_err(because(column))
}

fn because<E: Display>(column: &'static str) -> impl FnOnce(E) -> Unreadable {
    move |error| Unreadable(column, error.to_string())
}
