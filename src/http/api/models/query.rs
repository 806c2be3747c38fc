//! Parameters of `/api/models`, checked against the catalogue.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::sync::LazyLock;

use utoipa::IntoParams;

use crate::domain::id::{ModelId, ProviderId, TaskId};
use crate::domain::model::{Capability, Kind, Modality, ModelStatus};
use crate::domain::order::Sort;
use crate::domain::price::{InvalidPrice, Price};
use crate::domain::query::{Cursor, ModelQuery, Position};
use crate::domain::snapshot::Snapshot;
use crate::http::api::params::{Params, echo, names, not_among};
use crate::http::reply::{ApiError, Code, List, Resource};

use super::view::Field;

/// The most models on a page.
const MAX_LIMIT: usize = 1_000;

/// The canonical query of the whole list.
const ALL: &str = "sort=provider";

/// All parameter names; `provider` comes first.
static PARAMETERS: LazyLock<Vec<String>> =
    LazyLock::new(|| names::<ProviderParameter>().chain(names::<ModelParameters>()).collect());

/// Describes the parameter that a provider in the path replaces.
#[derive(IntoParams)]
#[expect(dead_code, reason = "describes the parameters; never built")]
#[into_params(parameter_in = Query)]
pub struct ProviderParameter {
    /// One of these providers. Repeat any list parameter, or separate values by commas.
    provider: Option<Vec<ProviderId>>,
}

#[derive(IntoParams)]
#[expect(dead_code, reason = "describes the parameters; never built")]
#[into_params(parameter_in = Query)]
pub struct ModelParameters {
    /// All of these capabilities.
    capability: Option<Vec<Capability>>,
    /// Accepts all of these.
    input_modality: Option<Vec<Modality>>,
    /// Produces all of these.
    output_modality: Option<Vec<Modality>>,
    /// Serves all of these task types of `/api/tasks`.
    task: Option<Vec<TaskId>>,
    /// One of these kinds.
    kind: Option<Vec<Kind>>,
    /// One of these; by default any but `retired`.
    status: Option<Vec<ModelStatus>>,
    /// One of these ids. Retired and hidden models stay out.
    ids: Option<Vec<ModelId>>,
    /// Minimum context length in tokens.
    #[param(maximum = 4_294_967_295u32)]
    min_context: Option<u32>,
    /// Maximum base price of input, in USD per 1,000,000 tokens.
    max_input_price: Option<Price>,
    /// Maximum base price of output, in USD per 1,000,000 tokens.
    max_output_price: Option<Price>,
    /// `true`: confirmed to be free. `false`: confirmed to cost something.
    free: Option<bool>,
    /// Known to have open weights, or not to.
    open_weights: Option<bool>,
    /// `false` lists only hidden models: disabled, or of a disabled provider.
    enabled: Option<bool>,
    /// Only models whose provider is `healthy` or `unknown`.
    healthy_only: Option<bool>,
    /// Searches id and name, tolerates typos, and ranks by relevance unless `sort` is given.
    #[param(max_length = 200, pattern = r"^[^\u0000]*$")]
    q: Option<String>,
    /// The order; `-` reverses it. Unknown values always come last, and `id` breaks ties. The default is relevance with
    /// `q`, else `provider`.
    sort: Option<Sort>,
    /// The page size; by default all.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_cursor` of the previous page, with the same filters and sort.
    cursor: Option<String>,
    /// Only these fields of each model.
    fields: Option<Vec<Field>>,
    /// Adds counts of the matches per value.
    facets: Option<bool>,
}

/// A request for models. The default shows all of them.
#[derive(Default)]
pub struct ListRequest {
    pub query: ModelQuery,
    pub limit: Option<usize>,
    pub after: Option<Position>,
    pub fields: Option<BTreeSet<Field>>,
    pub facets: bool,
}

impl ListRequest {
    /// Returns the resource to show: the whole list, or the matches of a query in its canonical spelling.
    pub fn resource(&self, of_provider: bool) -> Resource {
        let mut query = self.query.canonical();
        // Writing to a `String` cannot fail.
        if let Some(limit) = self.limit {
            let _ = write!(query, "&limit={limit}");
        }
        if let Some(position) = &self.after {
            let _ = write!(query, "&cursor={}", Cursor::encode(position, &self.query));
        }
        if let Some(fields) = &self.fields {
            let _ = write!(query, "&fields={fields:?}");
        }
        if self.facets {
            query.push_str("&facets=true");
        }
        if query == ALL && !of_provider {
            return Resource::List(List::Models);
        }
        Resource::Models { query: query.into(), of_provider }
    }

    /// Whether the answer depends on the providers' status.
    pub fn shows_status(&self) -> bool {
        self.query.healthy_only
            || self.fields.as_ref().is_none_or(|fields| fields.contains(&Field::ProviderStatus))
    }

    /// Parses the query string. `provider` is the one in the path, if any.
    pub fn parse(
        query_string: &str,
        snapshot: &Snapshot,
        provider: Option<&ProviderId>,
    ) -> Result<Self, ApiError> {
        let known = &PARAMETERS[usize::from(provider.is_some())..];
        let params = Params::parse(query_string)?.only(known)?;
        // Formatted on an error only.
        let price = fmt::from_fn(|f| f.write_str(&InvalidPrice.to_string().replace("a price is ", "")));
        let mut query = ModelQuery {
            provider: known_ids(
                &params,
                "provider",
                &snapshot.providers().iter().map(|provider| &provider.id),
            )?,
            capability: params.names("capability")?,
            input_modality: params.names("input_modality")?,
            output_modality: params.names("output_modality")?,
            task: known_ids(&params, "task", &snapshot.tasks().iter().map(|task| &task.id))?,
            kind: params.names("kind")?,
            status: params.names("status")?,
            ids: ids(&params)?,
            min_context: params.one("min_context", "a number of tokens from 0 to 4294967295")?,
            max_input_price: params.one("max_input_price", &price)?,
            max_output_price: params.one("max_output_price", &price)?,
            free: params.flag("free")?,
            open_weights: params.flag("open_weights")?,
            enabled: params.flag("enabled")?,
            healthy_only: params.flag("healthy_only")?.unwrap_or(false),
            // A user who types may send white space only.
            q: match params.text("q")?.filter(|text| !text.trim().is_empty()) {
                Some(text) => Some(text.parse().map_err(|error| ApiError::parameter("q", error))?),
                None => None,
            },
            sort: params.name("sort")?,
        };
        if let Some(provider) = provider {
            query.provider = vec![provider.clone()];
        }
        let range = format_args!("a whole number from 1 to {MAX_LIMIT}");
        let limit = params.one::<usize>("limit", range)?;
        if limit.is_some_and(|limit| !(1..=MAX_LIMIT).contains(&limit)) {
            return Err(ApiError::parameter("limit", format_args!("expected {range}")));
        }
        let after = params
            .text("cursor")?
            .map(|cursor| Cursor::decode(cursor, &query))
            .transpose()
            .map_err(|error| ApiError::new(Code::InvalidCursor, error.to_string()).of("cursor"))?;
        let fields: BTreeSet<Field> = params.names("fields")?.into_iter().collect();
        Ok(Self {
            // A limit that covers the whole catalogue has no effect.
            limit: limit.filter(|limit| *limit < snapshot.models().len()),
            after,
            fields: (1..Field::ALL.len()).contains(&fields.len()).then_some(fields),
            facets: params.flag("facets")?.unwrap_or(false),
            query,
        })
    }
}

/// Parses ids that must be in the catalogue.
fn known_ids<'a, T: Borrow<str> + Clone + 'a>(
    params: &Params,
    name: &str,
    known: &(impl Iterator<Item = &'a T> + Clone),
) -> Result<Vec<T>, ApiError> {
    let find = |given: &str| {
        let id = known.clone().find(|id| Borrow::<str>::borrow(*id) == given).cloned();
        id.ok_or_else(|| not_among(name, given, known.clone().map(T::borrow)))
    };
    params.list(name).map(find).collect()
}

fn ids(params: &Params) -> Result<Vec<ModelId>, ApiError> {
    params
        .list("ids")
        .map(|id| id.parse().map_err(|error| ApiError::parameter("ids", format!("`{}`: {error}", echo(id)))))
        .collect()
}
