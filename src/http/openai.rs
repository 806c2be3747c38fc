//! `/v1/models`: the catalogue in OpenAI's shape, for clients that know nothing else.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::domain::model::Model;

use super::State;
use super::error::ApiError;
use super::models::{find_model, id_in_path, read};

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

/// All listed models. Parameters are ignored, as OpenAI does.
pub(super) async fn list(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    #[derive(Serialize)]
    struct List<'a> {
        object: &'static str,
        data: Vec<OpenAiModel<'a>>,
    }
    let read = read(&state).await?;
    let snapshot = read.snapshot();
    let data =
        snapshot.models().iter().filter(|model| snapshot.is_listed(model)).map(OpenAiModel::from).collect();
    Ok(HttpResponse::Ok().json(List { object: "list", data }))
}

/// One model.
pub(super) async fn item(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let read = read(&state).await?;
    let id = id_in_path(&request, "/v1/models/")?;
    Ok(HttpResponse::Ok().json(OpenAiModel::from(find_model(read.snapshot(), &id)?)))
}
