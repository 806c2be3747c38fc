//! `/v1/models`: the catalogue in OpenAI's format.

use actix_web::{HttpRequest, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::id::{ModelId, ProviderId};
use crate::domain::model::Model;
use crate::http::api::models::find;
use crate::http::api::path_id::{MODEL_ID, PathId};
use crate::http::reply::{Edition, Lifetime, List, Reader, Reply, Resource, json};

/// A model in OpenAI's format.
#[derive(Serialize, ToSchema)]
pub struct OpenAiModel<'a> {
    #[schema(value_type = ModelId)]
    id: &'a str,
    /// Always `model`.
    object: &'static str,
    /// Unix time of the release or, if unknown, of the model's entry into the catalogue.
    created: i64,
    /// The provider's id.
    #[schema(value_type = ProviderId)]
    owned_by: &'a str,
}

impl<'a> From<&'a Model> for OpenAiModel<'a> {
    fn from(model: &'a Model) -> Self {
        let released = model.release_date.map(crate::domain::date::PartialDate::midnight);
        Self {
            id: model.id.as_str(),
            object: "model",
            created: released.unwrap_or(model.created_at).unix_timestamp(),
            owned_by: model.provider.as_str(),
        }
    }
}

/// A list of models in OpenAI's format.
#[derive(Serialize, ToSchema)]
pub struct OpenAiList<'a> {
    /// Always `list`.
    object: &'static str,
    /// The models, by id.
    data: Vec<OpenAiModel<'a>>,
}

/// List models as OpenAI does.
///
/// All listed models. Ignores parameters, as OpenAI does.
#[utoipa::path(get, path = "", operation_id = "list_openai_models", tag = "OpenAI",
    responses((status = 200, description = "The models.", body = OpenAiList)))]
pub async fn list(reader: web::Data<Reader>, request: HttpRequest) -> Reply {
    let reading = reader.read().await?;
    let write = |edition: &Edition| {
        let snapshot = edition.read().snapshot();
        let listed = snapshot.models().iter().filter(|model| snapshot.is_listed(model));
        json(&OpenAiList { object: "list", data: listed.map(OpenAiModel::from).collect() })
    };
    reading.answer(&request, Resource::List(List::OpenAiModels), Lifetime::Models, write).await
}

/// Show a model as OpenAI does.
///
/// Ignores parameters.
#[utoipa::path(get, path = "", operation_id = "get_openai_model", tag = "OpenAI",
    params(("id" = ModelId, Path, description = MODEL_ID, example = "openai/gpt-5.5")),
    responses((status = 200, description = "The model.", body = OpenAiModel)))]
pub async fn item(reader: web::Data<Reader>, request: HttpRequest, id: PathId) -> Reply {
    let reading = reader.read().await?;
    let place = find(reading.snapshot(), id.as_str())?;
    let write = move |edition: &Edition| json(&OpenAiModel::from(&edition.read().snapshot().models()[place]));
    reading.answer(&request, Resource::OpenAiModel(place), Lifetime::Models, write).await
}
