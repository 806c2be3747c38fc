//! Catalogue rows as JSON objects: all small tables, and models whose columns cannot be read.

use std::borrow::{Borrow, Cow};
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use crate::domain::id::{ProviderId, TaskId};
use crate::domain::model::Model;
use crate::domain::provider::Provider;
use crate::domain::task::TaskType;

use super::catalogue_row::{CatalogueRow, Unreadable, required};
use super::detail::{Details, IgnoredDetails};
use super::text_form;

/// Maximum length of a task type's description, in characters.
const DESCRIPTION: usize = 1_000;
/// Variables that hold this server's keys.
const OWN_VARIABLES: [&str; 2] = ["CLOUDFLARE_API_TOKEN", "METRICS_TOKEN"];
/// Maximum length of a header's value.
const HEADER_VALUE: usize = 250;
/// PostgreSQL's maximum of array dimensions.
const MAX_DIMENSIONS: usize = 6;

/// A column's name.
#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Column<'a>(#[serde(borrow)] Cow<'a, str>);

impl Borrow<str> for Column<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A row by column. A missing column reads as null.
pub(super) struct JsonRow<'a> {
    columns: HashMap<Column<'a>, &'a RawValue>,
    /// Whether replacement characters stand for bytes that are not UTF-8.
    is_lossy: bool,
}

impl<'a> JsonRow<'a> {
    /// # Errors
    /// [`Unreadable`] when the document is not a JSON object.
    pub fn read(document: &'a str, is_lossy: bool) -> Result<Self, Unreadable> {
        let columns = serde_json::from_str(document).map_err(|error| Unreadable::new("row", error))?;
        Ok(Self { columns, is_lossy })
    }

    /// Returns the id, for messages.
    pub fn label(&self) -> String {
        self.text("id").ok().flatten().unwrap_or_else(|| "without an id".to_owned())
    }

    fn value(&self, column: &str) -> Option<&'a RawValue> {
        self.columns.get(column).copied().filter(|value| value.get() != "null")
    }

    /// Returns a text, or the JSON of any other value.
    fn text(&self, column: &str) -> Result<Option<String>, &'static str> {
        let text = self.value(column).map(text_of);
        match text {
            Some(text) if self.is_lossy && text.contains(char::REPLACEMENT_CHARACTER) => {
                Err("not valid UTF-8")
            }
            text => Ok(text),
        }
    }

    fn detail(&self, column: &'static str, details: &mut Details<'_>) -> Option<String> {
        details.keep(column, self.text(column)).flatten()
    }

    /// Returns the words of a list of any shape, separated by spaces. An object, or a list nested deeper than PostgreSQL's
    /// arrays, becomes one word that never parses.
    fn words(&self, column: &str) -> Option<String> {
        fn collect(value: &RawValue, levels: usize, into: &mut Vec<String>) {
            match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
                Ok(elements) if levels > 0 => {
                    for element in elements {
                        collect(element, levels - 1, into);
                    }
                }
                Err(_) if value.get() == "null" => {}
                Err(_) if !value.get().starts_with('{') => into.push(text_of(value)),
                _ => into.push(value.get().split_ascii_whitespace().collect()),
            }
        }
        let text = text_of(self.value(column)?);
        let mut words = Vec::new();
        match serde_json::from_str::<&RawValue>(&text) {
            // PostgreSQL writes an empty array as `{}`.
            Ok(json) if text != "{}" => collect(json, MAX_DIMENSIONS, &mut words),
            _ => words.extend(text_form::elements(&text).map(str::to_owned)),
        }
        Some(words.join(" "))
    }

    fn number(&self, column: &'static str, details: &mut Details<'_>) -> Option<i64> {
        let text = self.detail(column, details)?;
        details.keep(column, text_form::integer(&text))
    }

    fn boolean(&self, column: &'static str, details: &mut Details<'_>) -> Option<bool> {
        let text = self.detail(column, details)?;
        details.keep(column, text_form::boolean(&text))
    }

    fn time(&self, column: &str) -> Option<OffsetDateTime> {
        text_form::timestamp(&self.text(column).ok().flatten()?)
    }

    /// # Errors
    /// [`Unreadable`] for the id. Other values are optional: without the provider, all its models would be left out.
    pub fn provider(&self, ignored: &mut IgnoredDetails) -> Result<Provider, Unreadable> {
        let id: ProviderId = required("id", self.text("id").ok().flatten())?;
        let mut details = Details::of("provider", id.as_str(), ignored);
        let mut url = |column| {
            let text = self.detail(column, &mut details);
            details.url(column, text)
        };
        let base_url = url("base_url");
        let openai_compatible_base_url = url("openai_compatible_base_url");
        let (docs_url, models_list_url) = (url("docs_url"), url("models_list_url"));
        if base_url.is_none() && self.value("base_url").is_none() {
            details.ignore("base_url", "no value");
        }
        let mut word = |column, rule| {
            let text = self.detail(column, &mut details);
            details.checked(column, text, rule)
        };
        let auth_header = word("auth_header", |text| is_header_name(text, 100));
        let auth_scheme = word("auth_scheme", |text| is_header_name(text, 50));
        Ok(Provider {
            name: self.name(&mut details),
            base_url: base_url.unwrap_or_default(),
            openai_compatible_base_url,
            docs_url,
            models_list_url,
            models_list_needs_key: self.boolean("models_list_needs_key", &mut details).unwrap_or(true),
            auth_header: auth_header.unwrap_or_else(|| "Authorization".to_owned()),
            auth_scheme,
            extra_headers: self.headers("extra_headers", &mut details),
            env: self.variables("env", &mut details),
            enabled: self.boolean("enabled", &mut details).unwrap_or(true),
            id,
        })
    }

    /// # Errors
    /// [`Unreadable`] when the id cannot be read.
    pub fn task(&self, ignored: &mut IgnoredDetails) -> Result<TaskType, Unreadable> {
        let id: TaskId = required("id", self.text("id").ok().flatten())?;
        let mut details = Details::of("task", id.as_str(), ignored);
        let description = self.detail("description", &mut details).unwrap_or_default();
        let fits = description.len() <= DESCRIPTION || description.chars().count() <= DESCRIPTION;
        let description = if fits { Ok(description) } else { Err("too long") };
        Ok(TaskType {
            name: self.name(&mut details),
            description: details.keep("description", description).unwrap_or_default(),
            id,
        })
    }

    /// Returns the display name, or the id if it is unreadable.
    fn name(&self, details: &mut Details<'_>) -> String {
        let name = match self.text("name") {
            Ok(None) => Err("no value"),
            name => name.map(Option::unwrap_or_default),
        };
        let name = details.keep("name", name);
        details.text("name", name).unwrap_or_else(|| self.label())
    }

    fn headers(&self, column: &'static str, details: &mut Details<'_>) -> BTreeMap<String, String> {
        let Some(text) = self.value(column).map(text_of) else { return BTreeMap::new() };
        let headers: BTreeMap<String, &RawValue> =
            details.keep(column, serde_json::from_str(&text)).unwrap_or_default();
        let header = |(name, value): (String, &RawValue)| {
            let text: Option<String> = serde_json::from_str(value.get()).ok();
            let is_printable = |text: &String| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            let text = text.filter(|text| text.len() <= HEADER_VALUE && is_printable(text));
            let read = text.filter(|_| is_header_name(&name, 100)).map(|text| (name, text));
            details.keep(column, read.ok_or("not a header and its value in printable ASCII"))
        };
        headers.into_iter().filter_map(header).collect()
    }

    fn variables(&self, column: &'static str, details: &mut Details<'_>) -> Vec<String> {
        let words = self.words(column).unwrap_or_default();
        let variable = |word: &str| {
            let read = is_key_variable(word).then(|| word.to_owned());
            details.keep(column, read.ok_or("not the name of a variable that holds a provider's key"))
        };
        words.split_ascii_whitespace().filter_map(variable).collect()
    }

    /// Returns a model's id and a task that it serves.
    pub fn served(&self) -> (String, String) {
        let text = |column| self.value(column).map(text_of).unwrap_or_default();
        (text("model_id"), text("task_id"))
    }

    /// # Errors
    /// [`Unreadable`] for id, provider, name or kind.
    pub fn model(&self, tasks: Option<String>, ignored: &mut IgnoredDetails) -> Result<Model, Unreadable> {
        // A rejected row has no ignored details.
        let mut of_row = IgnoredDetails::default();
        let label = self.label();
        let row = self.columns(tasks, &mut Details::of("model", &label, &mut of_row));
        let model = row.model(&mut of_row)?;
        ignored.append(of_row);
        Ok(model)
    }

    fn columns(&self, tasks: Option<String>, details: &mut Details<'_>) -> CatalogueRow {
        CatalogueRow {
            part: None,
            document: None,
            id: self.detail("id", details),
            provider: self.detail("provider", details),
            provider_model_id: self.detail("provider_model_id", details),
            name: self.detail("name", details),
            family: self.detail("family", details),
            kind: self.detail("kind", details),
            // Bytes that are not UTF-8 make the status unknown, not missing.
            status: self.value("status").map(text_of),
            enabled: self.boolean("enabled", details),
            release_date: self.detail("release_date", details),
            knowledge_cutoff: self.detail("knowledge_cutoff", details),
            deprecation_date: self.detail("deprecation_date", details),
            successor: self.detail("successor", details),
            context_length: self.number("context_length", details),
            max_input_tokens: self.number("max_input_tokens", details),
            max_output_tokens: self.number("max_output_tokens", details),
            embedding_dimensions: self.number("embedding_dimensions", details),
            input_modalities: self.words("input_modalities"),
            output_modalities: self.words("output_modalities"),
            capabilities: self.words("capabilities"),
            tasks,
            open_weights: self.boolean("open_weights", details),
            price_input: self.detail("price_input", details),
            price_output: self.detail("price_output", details),
            price_cache_read: self.detail("price_cache_read", details),
            price_cache_write: self.detail("price_cache_write", details),
            price_per_query: self.detail("price_per_query", details),
            price_tiers: self.value("price_tiers").map(text_of),
            price_off_peak: self.value("price_off_peak").map(text_of),
            is_free: self.boolean("is_free", details),
            price_source: self.detail("price_source", details),
            as_of: self.detail("as_of", details),
            created_at: self.time("created_at"),
            updated_at: self.time("updated_at"),
        }
    }
}

/// Returns a JSON string's content without the padding of a fixed-length column, or the JSON of any other value.
fn text_of(value: &RawValue) -> String {
    let text: Result<String, _> = serde_json::from_str(value.get());
    text.map_or_else(|_| value.get().to_owned(), |text| text.trim_end_matches(' ').to_owned())
}

fn is_header_name(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Accepts only names of provider keys: a row must not request `DATABASE_URL` or one of this server's keys.
fn is_key_variable(text: &str) -> bool {
    let is_name = text.len() <= 100
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    // Something precedes the suffix: `_KEY` alone is not accepted.
    let ends = ["_API_KEY", "_KEY", "_TOKEN"].iter().any(|end| text.ends_with(end));
    is_name && ends && !OWN_VARIABLES.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeply_nested_list_is_one_word() {
        let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        for list in [nested.clone(), format!("\"{nested}\"")] {
            let document = format!(r#"{{"env": [["A_KEY"], {list}]}}"#);
            let words = JsonRow::read(&document, false).unwrap().words("env").unwrap();
            assert_eq!(words.split(' ').map(|word| &word[..5]).collect::<Vec<_>>(), ["A_KEY", "[[[[["]);
        }
    }
}
