//! The parameters of lists of models and of costs, as the API's document shows them. [`super::query`] reads them;
//! a test holds the two together.
#![expect(dead_code, reason = "they describe, and are never made")]

use utoipa::IntoParams;

use crate::domain::id::{ModelId, ProviderId, TaskId};
use crate::domain::model::{Capability, Kind, Modality, ModelStatus};
use crate::domain::order::Sort;
use crate::domain::price::Price;

use super::view::Field;

/// Missing where the path names the provider.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ProviderParameter {
    /// One of these providers. Repeat it or separate values by commas, as with every list here.
    provider: Option<Vec<ProviderId>>,
}

#[derive(IntoParams)]
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

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CostParameters {
    /// Tokens of the prompt, cached ones included.
    #[param(maximum = 1_000_000_000_000u64)]
    input_tokens: Option<u64>,
    /// Tokens of the answer.
    #[param(maximum = 1_000_000_000_000u64)]
    output_tokens: Option<u64>,
    /// Those of `input_tokens` that the provider reads from its cache; at most `input_tokens`.
    #[param(maximum = 1_000_000_000_000u64)]
    cached_tokens: Option<u64>,
    /// Queries, for models priced by them.
    #[param(maximum = 1_000_000)]
    queries: Option<u64>,
}
