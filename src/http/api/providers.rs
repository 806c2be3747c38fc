//! `/api/providers`, one provider, and its models.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::did_you_mean::did_you_mean;
use crate::domain::id::ProviderId;
use crate::domain::model::{Capability, Model};
use crate::domain::provider::{Provider, ProviderStatus};
use crate::domain::snapshot::Snapshot;
use crate::http::reply::{ApiError, Code, Edition, Lifetime, List, Reader, Reply, Resource, json};

use super::list::{Envelope, ListOf};
use super::models::{ModelList, ModelParameters, answer_with_models};
use super::params::{Params, echo};
use super::path_id::PathId;

/// A company or service that serves models over an API.
#[derive(Serialize, ToSchema)]
#[schema(as = Provider)]
pub struct ProviderView<'a> {
    #[schema(value_type = ProviderId)]
    id: &'a str,
    /// Display name.
    name: &'a str,
    /// The root of its native API.
    base_url: &'a str,
    /// Documentation of its models; `null` while unknown.
    docs_url: Option<&'a str>,
    /// `false` hides its models from lists.
    enabled: bool,
    /// Whether this server has a key for it.
    configured: bool,
    status: ProviderStatus,
    /// Number of its models that are neither hidden nor retired.
    models: usize,
    /// Capabilities of any of these models.
    capabilities: BTreeSet<Capability>,
    /// Whether it has an API in OpenAI's shape.
    openai_compatible: bool,
}

type ProviderList = ListOf<ProviderView<'static>>;

fn view<'a>(reader: &Reader, edition: &'a Edition, provider: &'a Provider) -> ProviderView<'a> {
    let snapshot = edition.read().snapshot();
    let models: Vec<&Model> =
        snapshot.models().iter().filter(|m| m.provider == provider.id && snapshot.is_listed(m)).collect();
    ProviderView {
        id: provider.id.as_str(),
        name: &provider.name,
        base_url: &provider.base_url,
        docs_url: provider.docs_url.as_deref(),
        enabled: provider.enabled,
        configured: reader.probes.keys.configured(&provider.id),
        status: edition.health().status_of(provider.id.as_str()),
        models: models.len(),
        capabilities: models.iter().flat_map(|model| model.capabilities.iter().copied()).collect(),
        openai_compatible: provider.openai_compatible_base_url.is_some(),
    }
}

/// List providers.
///
/// Includes disabled providers; `enabled` distinguishes them.
#[utoipa::path(get, path = "", operation_id = "list_providers", tag = "Providers",
    responses((status = 200, description = "The providers, by id.", body = ProviderList)))]
pub async fn list(reader: web::Data<Reader>, request: HttpRequest) -> Reply {
    let reading = reader.read().await?;
    Params::parse(request.query_string())?.only(&[])?;
    let lifetime = reading.with_status(Lifetime::Providers);
    let write = move |edition: &Edition| {
        let providers = edition.read().snapshot().providers();
        let shown = providers.iter().map(|provider| view(&reader, edition, provider)).collect();
        json(&Envelope::whole(edition.read(), shown))
    };
    reading.answer(&request, Resource::List(List::Providers), lifetime, write).await
}

/// Show a provider.
#[utoipa::path(get, path = "", operation_id = "get_provider", tag = "Providers",
    params(("id" = ProviderId, Path, description = "The id of the provider.", example = "openai")),
    responses((status = 200, description = "The provider.", body = ProviderView)))]
pub async fn item(reader: web::Data<Reader>, request: HttpRequest, id: PathId) -> Reply {
    let reading = reader.read().await?;
    Params::parse(request.query_string())?.only(&[])?;
    let place = find_provider(reading.snapshot(), id.as_str())?;
    let lifetime = reading.with_status(Lifetime::Providers);
    let write =
        move |edition: &Edition| json(&view(&reader, edition, &edition.read().snapshot().providers()[place]));
    reading.answer(&request, Resource::Provider(place), lifetime, write).await
}

/// List the models of a provider.
///
/// Like `/api/models`, for the provider in the path.
#[utoipa::path(get, path = "", operation_id = "list_provider_models", tag = "Providers",
    params(("id" = ProviderId, Path, description = "The id of the provider.", example = "openai"), ModelParameters),
    responses((status = 200, description = "The models that match.", body = ModelList)))]
pub async fn models(reader: web::Data<Reader>, request: HttpRequest, id: PathId) -> Reply {
    let reading = reader.read().await?;
    let place = find_provider(reading.snapshot(), id.as_str())?;
    answer_with_models(&reading, &request, Some(&reading.snapshot().providers()[place].id)).await
}

fn find_provider(snapshot: &Snapshot, id: &str) -> Result<usize, ApiError> {
    let providers = snapshot.providers();
    providers.binary_search_by(|provider| provider.id.as_str().cmp(id)).map_err(|_| {
        let suggestion = did_you_mean(id, providers.iter().map(|provider| provider.id.as_str()));
        ApiError::new(Code::ProviderNotFound, format!("`{}` is not in the catalogue", echo(id)))
            .suggesting(suggestion)
    })
}
