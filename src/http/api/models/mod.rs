//! `/api/models`, and one model.

mod query;
mod view;

use actix_web::http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, web};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::catalogue::CatalogueRead;
use crate::domain::did_you_mean::did_you_mean;
use crate::domain::id::{ModelId, ProviderId};
use crate::domain::query::{Cursor, Facets, Parameter};
use crate::domain::snapshot::Snapshot;
use crate::http::reply::{
    Accepted, ApiError, Code, Edition, Editions, Lifetime, List, Reader, Reading, Reply, Resource, json,
};
use crate::provider_health::ProviderHealthBoard;

use super::list::Envelope;
use super::params::{Params, echo};
use super::path_id::{MODEL_ID, PathId};
pub use query::ModelParameters;
use query::{ListRequest, ProviderParameter};
use view::ModelView;
pub use view::{Field, ModelList};

/// List models.
///
/// Models that match every filter. Several capabilities, modalities or tasks must all hold; several values of another
/// filter are alternatives. An unknown value matches no filter. Retired and hidden models need `status` or `enabled`. A
/// list without matches has `hints`.
#[utoipa::path(get, path = "", operation_id = "list_models", tag = "Models",
    params(ProviderParameter, ModelParameters),
    responses((status = 200, description = "The models that match.", body = ModelList)))]
pub async fn list(reader: web::Data<Reader>, request: HttpRequest) -> Reply {
    answer_with_models(&reader.read().await?, &request, None).await
}

/// Returns the body of `/api/models` for an `Accept-Encoding`. The first call builds it, later calls share it.
///
/// # Errors
/// [`Code::InternalError`] if serialization panics.
pub async fn list_of_models(
    editions: &Editions,
    read: &CatalogueRead,
    health: &ProviderHealthBoard,
    accept_encoding: HeaderValue,
) -> Result<Bytes, ApiError> {
    let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, accept_encoding)]);
    let edition = editions.of(read, health);
    let write = |edition: &Edition| written(edition, &ListRequest::default(), false);
    let body = edition.body(Resource::List(List::Models), Accepted::by(&headers), write).await?;
    Ok(body.bytes)
}

/// A model in a list.
#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    /// All fields, serialized before.
    Text(&'a RawValue),
    /// Some of the fields.
    View(ModelView<'a>),
}

/// Answers with the models of all providers or of one.
pub async fn answer_with_models(
    reading: &Reading,
    request: &HttpRequest,
    provider: Option<&ProviderId>,
) -> Reply {
    let asked = ListRequest::parse(request.query_string(), reading.snapshot(), provider)?;
    let lifetime =
        if asked.shows_status() { reading.with_status(Lifetime::Models) } else { Lifetime::Models };
    let of_provider = provider.is_some();
    let resource = asked.resource(of_provider);
    reading.answer(request, resource, lifetime, move |edition| written(edition, &asked, of_provider)).await
}

fn written(edition: &Edition, asked: &ListRequest, of_provider: bool) -> Vec<u8> {
    let (snapshot, health) = (edition.read().snapshot(), edition.health());
    let matches = asked.query.run(snapshot, health);
    let page = matches.page(asked.after.as_ref(), asked.limit);
    let data: Vec<_> = page
        .models
        .iter()
        .map(|model| match asked.fields.is_none().then(|| edition.text(model, ModelView::text)).flatten() {
            Some(text) => Item::Text(text),
            None => Item::View(ModelView::new(snapshot, health, model, asked.fields.as_ref())),
        })
        .collect();
    let next_cursor = page.next.map(|position| Cursor::encode(&position, &asked.query).as_str().to_owned());
    let hints = matches.is_empty().then(|| {
        let mut hints = asked.query.hints(snapshot, health);
        // The client cannot drop the provider of the path.
        hints.retain(|hint| !of_provider || hint.parameter != Parameter::Provider);
        hints
    });
    let mut list = Envelope::page(edition.read(), matches.len(), data, next_cursor);
    list.facets = asked.facets.then(|| Facets::count(&matches));
    list.hints = hints;
    json(&list)
}

/// Show a model.
///
/// Includes retired and hidden models.
#[utoipa::path(get, path = "", operation_id = "get_model", tag = "Models",
    params(("id" = ModelId, Path, description = MODEL_ID, example = "openai/gpt-5.5")),
    responses((status = 200, description = "The model.", body = ModelView)))]
pub async fn show(reader: web::Data<Reader>, request: HttpRequest, id: PathId) -> Reply {
    show_model(&reader.read().await?, &request, id.as_str()).await
}

/// Answers with one model.
pub async fn show_model(reading: &Reading, request: &HttpRequest, id: &str) -> Reply {
    Params::parse(request.query_string())?.only(&[])?;
    let place = find(reading.snapshot(), id)?;
    let write = move |edition: &Edition| {
        let snapshot = edition.read().snapshot();
        json(&ModelView::new(snapshot, edition.health(), &snapshot.models()[place], None))
    };
    reading.answer(request, Resource::Model(place), reading.with_status(Lifetime::Models), write).await
}

/// Returns the index of a model, or a 404 with a suggestion.
pub fn find(snapshot: &Snapshot, id: &str) -> Result<usize, ApiError> {
    snapshot.place(id).ok_or_else(|| {
        let suggestion = did_you_mean(id, snapshot.models().iter().map(|model| model.id.as_str()));
        ApiError::new(Code::ModelNotFound, format!("`{}` is not in the catalogue", echo(id)))
            .suggesting(suggestion)
    })
}
