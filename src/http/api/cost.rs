//! `/api/models/{id}/cost`: what a request to a model costs.

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
#[expect(dead_code, reason = "it describes, and is never built")]
#[into_params(parameter_in = Query)]
struct CostParameters {
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

/// Say what a request costs.
///
/// Exact, at the prices of the model, with the tier of long prompts applied. What is not given is 0. Cached tokens
/// without a known price of their own are charged as input.
#[utoipa::path(get, path = "", operation_id = "get_model_cost", tag = "Models",
    params(("id" = ModelId, Path, description = MODEL_ID, example = "openai/gpt-5.5"), CostParameters),
    responses((status = 200, description = "The cost, with the way to the sum.", body = Cost)))]
pub async fn show(reader: web::Data<Reader>, request: HttpRequest, id: PathId) -> Reply {
    let reading = reader.read().await?;
    let (id, own) = (id.as_str(), id.with_suffix());
    // `a/cost` can only be an id, as every id has a slash. An exact id wins over the suffix.
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
