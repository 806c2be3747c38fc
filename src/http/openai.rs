//! `/v1/models`: the catalogue in OpenAI's shape, for clients that know nothing else.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::domain::model::Model;

use super::State;
use super::edition::{Edition, List, Resource};
use super::error::ApiError;
use super::freshness::Lifetime;
use super::models::{find_model, id_in_path};
use super::reading::{Reading, json};

#[derive(Serialize)]
struct OpenAiModel<'a> {
    id: &'a str,
    object: &'static str,
    /// Seconds since 1970: the release, or when the row came to be.
    created: i64,
    owned_by: &'a str,
}

impl<'a> From<&'a Model> for OpenAiModel<'a> {
    fn from(model: &'a Model) -> Self {
        let released = model.release_date.and_then(crate::domain::date::PartialDate::midnight);
        Self {
            id: model.id.as_str(),
            object: "model",
            created: released.unwrap_or(model.created_at).unix_timestamp(),
            owned_by: model.provider.as_str(),
        }
    }
}

#[derive(Serialize)]
struct OpenAiList<'a> {
    object: &'static str,
    data: Vec<OpenAiModel<'a>>,
}

/// All listed models. Parameters are ignored, as OpenAI does.
pub(super) async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let reading = Reading::begin(&state).await?;
    let write = |edition: &Edition| {
        let snapshot = edition.read().snapshot();
        let listed = snapshot.models().iter().filter(|model| snapshot.is_listed(model));
        json(&OpenAiList { object: "list", data: listed.map(OpenAiModel::from).collect() })
    };
    reading.answer(&request, Resource::List(List::OpenAiModels), Lifetime::Models, write).await
}

/// One model.
pub(super) async fn item(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let reading = Reading::begin(&state).await?;
    let place = find_model(reading.snapshot(), &id_in_path(&request, "/v1/models/")?)?;
    let write = move |edition: &Edition| json(&OpenAiModel::from(&edition.read().snapshot().models()[place]));
    reading.answer(&request, Resource::OpenAiModel(place), Lifetime::Models, write).await
}
