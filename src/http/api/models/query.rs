//! The parameters of `/api/models`, checked against the catalogue.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt::{self, Display, Write};
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

/// The most models of one page.
const MAX_LIMIT: usize = 1_000;

/// The canonical text of a request for the whole list.
const ALL: &str = "sort=provider";

/// The names of all parameters. The first is missing where the path names the provider.
static PARAMETERS: LazyLock<Vec<String>> =
    LazyLock::new(|| names::<ProviderParameter>().chain(names::<ModelParameters>()).collect());

/// Describes the parameter that is missing where the path names the provider.
#[derive(IntoParams)]
#[expect(dead_code, reason = "it describes, and is never built")]
#[into_params(parameter_in = Query)]
pub struct ProviderParameter {
    /// One of these providers. Repeat it or separate values by commas, as with every list here.
    provider: Option<Vec<ProviderId>>,
}

#[derive(IntoParams)]
#[expect(dead_code, reason = "it describes, and is never built")]
#[into_params(parameter_in = Query)]
pub struct ModelParameters {
    /// All of these capabilities.
    capability: Option<Vec<Capability>>,
    /// Takes all of these.
    input_modality: Option<Vec<Modality>>,
    /// Gives all of these.
    output_modality: Option<Vec<Modality>>,
    /// Serves all of these task types, which `/api/tasks` lists.
    task: Option<Vec<TaskId>>,
    /// One of these kinds.
    kind: Option<Vec<Kind>>,
    /// One of these; without it, any but `retired`.
    status: Option<Vec<ModelStatus>>,
    /// One of these ids. Does not bring retired or hidden models back.
    ids: Option<Vec<ModelId>>,
    /// At least so many tokens of context.
    #[param(maximum = 4_294_967_295u32)]
    min_context: Option<u32>,
    /// At most this base price of input, in USD per 1,000,000 tokens.
    max_input_price: Option<Price>,
    /// At most this base price of output, in USD per 1,000,000 tokens.
    max_output_price: Option<Price>,
    /// Confirmed to be free, or to cost something.
    free: Option<bool>,
    /// Known to have open weights, or not to.
    open_weights: Option<bool>,
    /// `false` lists exactly the hidden models: those disabled, or of a disabled provider.
    enabled: Option<bool>,
    /// Only models whose provider is `healthy` or `unknown`.
    healthy_only: Option<bool>,
    /// Search in id and name; forgives typos, and ranks unless `sort` says otherwise.
    #[param(max_length = 200, pattern = r"^[^\u0000]*$")]
    q: Option<String>,
    /// The order; `-` reverses. Unknown values come last both ways, and `id` breaks ties. By default by relevance with
    /// `q`, else `provider`.
    sort: Option<Sort>,
    /// How many models to show; without it, all.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where the page begins: `next_cursor` of the page before, asked for with the same filters and sort.
    cursor: Option<String>,
    /// Only these fields of each model.
    fields: Option<Vec<Field>>,
    /// With counts of the matches by each value.
    facets: Option<bool>,
}

/// A request for a list of models: what to match, and which part of it to show how. The default shows all.
#[derive(Default)]
pub struct ListRequest {
    pub query: ModelQuery,
    pub limit: Option<usize>,
    pub after: Option<Position>,
    pub fields: Option<BTreeSet<Field>>,
    pub facets: bool,
}

impl ListRequest {
    /// What the request shows: the whole list, however it is written, or the matches of a query.
    pub fn resource(&self, of_provider: bool) -> Resource {
        match self.canonical() {
            query if query == ALL && !of_provider => Resource::List(List::Models),
            query => Resource::Models { query: query.into(), of_provider },
        }
    }

    /// One text for all ways of writing the same request, and another for every other request.
    fn canonical(&self) -> String {
        let mut text = self.query.canonical();
        // Writing to a String cannot fail.
        if let Some(limit) = self.limit {
            let _ = write!(text, "&limit={limit}");
        }
        if let Some(position) = &self.after {
            let _ = write!(text, "&cursor={}", Cursor::encode(position, &self.query));
        }
        if let Some(fields) = &self.fields {
            let _ = write!(text, "&fields={fields:?}");
        }
        if self.facets {
            text.push_str("&facets=true");
        }
        text
    }

    /// Whether the answer depends on the providers' status.
    pub fn tells_status(&self) -> bool {
        self.query.healthy_only
            || self.fields.as_ref().is_none_or(|fields| fields.contains(&Field::ProviderStatus))
    }

    /// Reads the query string. `provider`: the one that the path names, if it does.
    pub fn parse(
        query_string: &str,
        snapshot: &Snapshot,
        provider: Option<&ProviderId>,
    ) -> Result<Self, ApiError> {
        let known = &PARAMETERS[usize::from(provider.is_some())..];
        let params = Params::parse(query_string)?.only(known)?;
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
            max_input_price: params.one::<Price>("max_input_price", price_range())?,
            max_output_price: params.one::<Price>("max_output_price", price_range())?,
            free: params.flag("free")?,
            open_weights: params.flag("open_weights")?,
            enabled: params.flag("enabled")?,
            healthy_only: params.flag("healthy_only")?.unwrap_or(false),
            // While a user types, white space alone counts as empty.
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
            // One that holds back nothing is none.
            limit: limit.filter(|limit| *limit < snapshot.models().len()),
            after,
            fields: (1..Field::ALL.len()).contains(&fields.len()).then_some(fields),
            facets: params.flag("facets")?.unwrap_or(false),
            query,
        })
    }
}

/// Written only when it is needed: every list is asked for with the prices looked at, and hardly one has a wrong one.
fn price_range() -> impl Display {
    fmt::from_fn(|f| f.write_str(&InvalidPrice.to_string().replace("a price is ", "")))
}

/// Reads ids that must be among the catalogue's.
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
