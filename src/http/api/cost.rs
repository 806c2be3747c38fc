//! `/api/models/{id}/cost`: the cost of a request to a model.

use std::sync::LazyLock;

use actix_web::{HttpRequest, web};
use utoipa::IntoParams;

use crate::domain::cost::{Cost, InvalidUsage, Usage, cost};
use crate::domain::id::ModelId;
use crate::domain::model::Model;
use crate::http::reply::{ApiError, Code, Lifetime, Reader, Reply};

use super::models;
use super::params::{Params, names};
use super::path_id::{MODEL_ID, PathId};

static PARAMETERS: LazyLock<Vec<String>> = LazyLock::new(|| names::<CostParameters>().collect());

#[derive(IntoParams)]
#[expect(dead_code, reason = "describes the parameters; never built")]
#[into_params(parameter_in = Query)]
struct CostParameters {
    /// Prompt tokens, including cached ones.
    #[param(maximum = 1_000_000_000_000u64)]
    input_tokens: Option<u64>,
    /// Tokens of the answer.
    #[param(maximum = 1_000_000_000_000u64)]
    output_tokens: Option<u64>,
    /// Tokens that the provider reads from its cache; at most `input_tokens`.
    #[param(maximum = 1_000_000_000_000u64)]
    cached_tokens: Option<u64>,
    /// Queries, for models priced per query.
    #[param(maximum = 1_000_000)]
    queries: Option<u64>,
}

/// Compute the cost of a request.
///
/// The exact cost at the model's prices, including long-prompt tiers. Counts default to 0. Cached tokens without a known
/// price are charged as input.
#[utoipa::path(get, path = "", operation_id = "get_model_cost", tag = "Models",
    params(("id" = ModelId, Path, description = MODEL_ID, example = "openai/gpt-5.5"), CostParameters),
    responses((status = 200, description = "The cost and its parts.", body = Cost)))]
pub async fn show(reader: web::Data<Reader>, request: HttpRequest, id: PathId) -> Reply {
    let reading = reader.read().await?;
    let (id, own) = (id.as_str(), id.with_suffix());
    // Every id has a slash, so `a/cost` is an id. An exact id wins over the suffix.
    if !id.contains('/') || reading.snapshot().place(own).is_some() {
        return models::show_model(&reading, &request, own).await;
    }
    let params = Params::parse(request.query_string())?.only(&PARAMETERS)?;
    let model = &reading.snapshot().models()[models::find(reading.snapshot(), id)?];
    Ok(reading.answer_once(&request, Lifetime::Models, &price(model, &params)?))
}

fn price(model: &Model, params: &Params) -> Result<Cost, ApiError> {
    let count = |name: &str| params.one::<u64>(name, "a whole number").map(Option::unwrap_or_default);
    let usage = Usage::new(
        count("input_tokens")?,
        count("output_tokens")?,
        count("cached_tokens")?,
        count("queries")?,
    )
    .map_err(|error| {
        let parameter = match error {
            InvalidUsage::TooMuch { parameter, .. } => parameter,
            InvalidUsage::MoreCachedThanInput => "cached_tokens",
        };
        ApiError::parameter(parameter, error)
    })?;
    let unknown = |detail: String| ApiError::new(Code::PriceUnknown, detail);
    let pricing =
        model.pricing.as_ref().ok_or_else(|| unknown(format!("no price of `{}` is known", model.id)))?;
    cost(pricing, &usage).map_err(|error| unknown(format!("`{}`: {error}", model.id)))
}
