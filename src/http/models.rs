//! `/api/models`, one model, and what a request to it costs.

use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::catalogue::CatalogueRead;
use crate::domain::cost::{InvalidUsage, Usage, cost};
use crate::domain::did_you_mean::did_you_mean;
use crate::domain::facets::Facets;
use crate::domain::id::ProviderId;
use crate::domain::model::Model;
use crate::domain::query::{Cursor, Parameter};
use crate::domain::snapshot::Snapshot;

use super::State;
use super::error::{ApiError, Code};
use super::list::Envelope;
use super::model_query::ListRequest;
use super::model_view::ModelView;
use super::params::{Params, echo};

/// The parameters of the cost route.
const COST_PARAMETERS: &[&str] = &["input_tokens", "output_tokens", "cached_tokens", "queries"];

/// The models that match the query.
pub(super) async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let read = read(&state).await?;
    respond_with_models(&state, &read, request.query_string(), None)
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
pub(super) fn respond_with_models(
    state: &State,
    read: &CatalogueRead,
    query_string: &str,
    provider: Option<&ProviderId>,
) -> Result<HttpResponse, ApiError> {
    let (snapshot, health) = (read.snapshot(), &state.provider_health);
    let request = ListRequest::parse(query_string, snapshot, provider)?;
    let matches = request.query.run(snapshot, health);
    let page = matches.page(request.after.as_ref(), request.limit);
    let rendered = request.fields.is_none().then(|| state.renderings.of(read, health));
    let data: Vec<_> = page
        .models
        .iter()
        .map(|model| match rendered.as_ref().and_then(|rendered| rendered.text(model)) {
            Some(text) => Item::Text(text),
            None => Item::View(ModelView::new(snapshot, health, model).only(request.fields.as_ref())),
        })
        .collect();
    let next_cursor = page.next.map(|position| Cursor::encode(&position, &request.query).as_str().to_owned());
    let hints = matches.is_empty().then(|| {
        let mut hints = request.query.hints(snapshot, health);
        // What the path says cannot be dropped.
        hints.retain(|hint| provider.is_none() || hint.parameter != Parameter::Provider);
        hints
    });
    Ok(Envelope::page(read, matches.len(), data, next_cursor)
        .with_facets(request.facets.then(|| Facets::count(matches.models())))
        .with_hints(hints)
        .respond())
}

/// One model, or what it costs: ids contain `/`, so one route takes all that follows.
pub(super) async fn item(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let read = read(&state).await?;
    let params = Params::parse(request.query_string())?;
    let path = id_in_path(&request, "/api/models/")?;
    let snapshot = read.snapshot();
    // `a/cost` is the model of that name; only `a/b/cost` can ask for a price.
    let priced = path.strip_suffix("/cost").filter(|id| id.contains('/') && snapshot.model(&path).is_none());
    match priced {
        Some(id) => {
            let params = params.only(COST_PARAMETERS)?;
            price(find_model(snapshot, id)?, &params)
        }
        None => {
            params.only(&[])?;
            let model = find_model(snapshot, &path)?;
            Ok(HttpResponse::Ok().json(ModelView::new(snapshot, &state.provider_health, model)))
        }
    }
}

fn price(model: &Model, params: &Params) -> Result<HttpResponse, ApiError> {
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
    let cost = cost(pricing, &usage).map_err(|error| unknown(format!("`{}`: {error}", model.id)))?;
    Ok(HttpResponse::Ok().json(cost))
}

/// The catalogue for one request.
pub(super) async fn read(state: &State) -> Result<CatalogueRead, ApiError> {
    let read = state.catalogue.read().await;
    read.map_err(|error| ApiError::new(Code::CatalogueUnavailable, error.to_string()))
}

/// What follows `prefix` in the path, decoded once. The router's own parameters would leave `%2F` as it is and replace
/// what is not UTF-8.
pub(super) fn id_in_path(request: &HttpRequest, prefix: &str) -> Result<String, ApiError> {
    // All of it is decoded, as the router finds a route however its address is encoded.
    let path = percent_decode_str(request.uri().path()).decode_utf8().map_err(|_| {
        ApiError::new(Code::InvalidPath, "percent-encode the UTF-8 bytes of the id, `/` may stay as it is")
    })?;
    Ok(path.strip_prefix(prefix).unwrap_or(&path).to_owned())
}

/// The model of that id, or a 404 that names the one that was probably meant.
pub(super) fn find_model<'a>(snapshot: &'a Snapshot, id: &str) -> Result<&'a Model, ApiError> {
    snapshot.model(id).ok_or_else(|| {
        let suggestion = did_you_mean(id, snapshot.models().iter().map(|model| model.id.as_str()));
        ApiError::new(Code::ModelNotFound, format!("`{}` is not in the catalogue", echo(id)))
            .suggesting(suggestion)
    })
}
