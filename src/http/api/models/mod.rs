//! `/api/models`, one model, and what a request to it costs.

pub mod parameters;
mod query;
pub mod schema;
pub mod view;

use actix_web::http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::automodel::ProviderHealthBoard;
use crate::catalogue::CatalogueRead;
use crate::domain::cost::{Cost, InvalidUsage, Usage, cost};
use crate::domain::did_you_mean::did_you_mean;
use crate::domain::id::{ModelId, ProviderId};
use crate::domain::model::Model;
use crate::domain::query::Facets;
use crate::domain::query::{Cursor, Parameter};
use crate::domain::snapshot::Snapshot;

use crate::http::State;
use crate::http::api::list::Envelope;
use crate::http::api::params::{Params, echo};
use crate::http::reply::Accepted;
use crate::http::reply::Editions;
use crate::http::reply::Lifetime;
use crate::http::reply::{ApiError, Code};
use crate::http::reply::{Edition, List, Resource};
use crate::http::reply::{Reading, json};
use parameters::{CostParameters, ModelParameters, ProviderParameter};
use query::ListRequest;
use schema::ModelList;
use view::ModelView;

/// The parameters of the cost route.
const COST_PARAMETERS: &[&str] = &["input_tokens", "output_tokens", "cached_tokens", "queries"];

/// What the API's document says of the id of a model in a path.
pub const MODEL_ID: &str = "The id of the model, such as `openai/gpt-5.5`. Its `/` may stand as it is or be \
    percent-encoded.";

/// List models.
///
/// Those that match all of the filters. Of several capabilities, modalities or tasks all must hold; several values of
/// another filter are alternatives. A model whose value is unknown fails every filter on it. Retired and hidden models
/// are left out unless `status` or `enabled` asks for them. A query without matches is answered with `hints`.
#[utoipa::path(get, path = "/api/models", operation_id = "list_models", tag = "Models",
    params(ProviderParameter, ModelParameters),
    responses((status = 200, description = "The models that match.", body = ModelList)))]
pub async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let reading = Reading::begin(&state).await?;
    if request.query_string().is_empty() {
        let lifetime = reading.with_status(Lifetime::Models);
        return reading.answer(&request, Resource::List(List::Models), lifetime, all_written).await;
    }
    answer_with_models(&reading, &request, None).await
}

/// The bytes of `/api/models` for whoever sends this `Accept-Encoding`, from the edition of that catalogue and the health of
/// now. The first call makes them, later ones share them.
///
/// # Errors
/// [`Code::InternalError`] when writing them panics.
pub async fn list_of_models(
    editions: &Editions,
    read: &CatalogueRead,
    health: &ProviderHealthBoard,
    accept_encoding: HeaderValue,
) -> Result<Bytes, ApiError> {
    let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, accept_encoding)]);
    let edition = editions.of(read, health);
    let body = edition.body(Resource::List(List::Models), Accepted::by(&headers), all_written).await?;
    Ok(body.bytes)
}

fn all_written(edition: &Edition) -> Vec<u8> {
    written(edition, &ListRequest::default(), false)
}

/// A model in a list.
#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    /// With all its fields, as it was written before.
    Text(&'a RawValue),
    /// With some of them.
    View(ModelView<'a>),
}

/// The list of models, of all providers or of one.
pub async fn answer_with_models(
    reading: &Reading,
    request: &HttpRequest,
    provider: Option<&ProviderId>,
) -> Result<HttpResponse, ApiError> {
    let asked = ListRequest::parse(request.query_string(), reading.snapshot(), provider)?;
    let lifetime =
        if asked.tells_status() { reading.with_status(Lifetime::Models) } else { Lifetime::Models };
    let of_provider = provider.is_some();
    let resource = match asked.canonical() {
        query if query == ListRequest::ALL && !of_provider => Resource::List(List::Models),
        query => Resource::Models { query: query.into(), of_provider },
    };
    reading.answer(request, resource, lifetime, move |edition| written(edition, &asked, of_provider)).await
}

fn written(edition: &Edition, asked: &ListRequest, of_provider: bool) -> Vec<u8> {
    let (snapshot, health) = (edition.read().snapshot(), edition.health());
    let matches = asked.query.run(snapshot, health);
    let page = matches.page(asked.after.as_ref(), asked.limit);
    let data: Vec<_> = page
        .models
        .iter()
        .map(|model| match asked.fields.is_none().then(|| edition.text(model)).flatten() {
            Some(text) => Item::Text(text),
            None => Item::View(ModelView::new(snapshot, health, model).only(asked.fields.as_ref())),
        })
        .collect();
    let next_cursor = page.next.map(|position| Cursor::encode(&position, &asked.query).as_str().to_owned());
    let hints = matches.is_empty().then(|| {
        let mut hints = asked.query.hints(snapshot, health);
        // What the path says cannot be dropped.
        hints.retain(|hint| !of_provider || hint.parameter != Parameter::Provider);
        hints
    });
    let list = Envelope::page(edition.read(), matches.len(), data, next_cursor);
    json(&list.with_facets(asked.facets.then(|| Facets::count(&matches))).with_hints(hints))
}

/// Show a model.
///
/// Retired and hidden ones too.
// Ids contain `/`, so this one route takes all that follows, and the cost of a model is asked for here, too.
#[utoipa::path(get, path = "/api/models/{id}", operation_id = "get_model", tag = "Models",
    params(("id" = ModelId, Path, description = MODEL_ID, example = "openai/gpt-5.5")),
    responses((status = 200, description = "The model.", body = ModelView)))]
pub async fn item(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let reading = Reading::begin(&state).await?;
    let params = Params::parse(request.query_string())?;
    let path = id_in_path(&request, "/api/models/")?;
    let snapshot = reading.snapshot();
    // `a/cost` is the model of that name; only `a/b/cost` can ask for a price.
    let priced = path.strip_suffix("/cost").filter(|id| id.contains('/') && snapshot.place(&path).is_none());
    if let Some(id) = priced {
        return answer_with_cost(&reading, &request, params, id);
    }
    params.only(&[])?;
    let place = find_model(snapshot, &path)?;
    let lifetime = reading.with_status(Lifetime::Models);
    let write = move |edition: &Edition| {
        let snapshot = edition.read().snapshot();
        json(&ModelView::new(snapshot, edition.health(), &snapshot.models()[place]))
    };
    reading.answer(&request, Resource::Model(place), lifetime, write).await
}

/// Say what a request costs.
///
/// Exact, at the prices of the model, with the tier of long prompts applied. What is not given is 0. Cached tokens
/// without a known price of their own are charged as input.
#[utoipa::path(get, path = "/api/models/{id}/cost", operation_id = "get_model_cost", tag = "Models",
    params(("id" = ModelId, Path, description = MODEL_ID, example = "openai/gpt-5.5"), CostParameters),
    responses((status = 200, description = "The cost, with the way to the sum.", body = Cost)))]
pub fn answer_with_cost(
    reading: &Reading,
    request: &HttpRequest,
    params: Params,
    id: &str,
) -> Result<HttpResponse, ApiError> {
    let params = params.only(COST_PARAMETERS)?;
    let model = &reading.snapshot().models()[find_model(reading.snapshot(), id)?];
    Ok(reading.answer_once(request, Lifetime::Models, &price(model, &params)?))
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

/// What follows `prefix` in the path, decoded once. The router's own parameters would leave `%2F` as it is and replace
/// what is not UTF-8.
pub fn id_in_path(request: &HttpRequest, prefix: &str) -> Result<String, ApiError> {
    // All of it is decoded, as the router finds a route however its address is encoded.
    let path = percent_decode_str(request.uri().path()).decode_utf8().map_err(|_| {
        ApiError::new(Code::InvalidPath, "percent-encode the UTF-8 bytes of the id, `/` may stay as it is")
    })?;
    Ok(path.strip_prefix(prefix).unwrap_or(&path).to_owned())
}

/// The place of the model of that id, or a 404 that names the one that was probably meant.
pub fn find_model(snapshot: &Snapshot, id: &str) -> Result<usize, ApiError> {
    snapshot.place(id).ok_or_else(|| {
        let suggestion = did_you_mean(id, snapshot.models().iter().map(|model| model.id.as_str()));
        ApiError::new(Code::ModelNotFound, format!("`{}` is not in the catalogue", echo(id)))
            .suggesting(suggestion)
    })
}
