//! `/api/providers`, one provider, and its models.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::domain::did_you_mean::did_you_mean;
use crate::domain::model::{Capability, Model};
use crate::domain::provider::{Provider, ProviderStatus};
use crate::domain::snapshot::Snapshot;

use super::State;
use super::error::{ApiError, Code};
use super::list::Envelope;
use super::models::{id_in_path, read, respond_with_models};
use super::params::{Params, echo};

#[derive(Serialize)]
struct ProviderView<'a> {
    id: &'a str,
    name: &'a str,
    base_url: &'a str,
    docs_url: Option<&'a str>,
    enabled: bool,
    /// Whether a key for it is set here.
    configured: bool,
    status: ProviderStatus,
    /// Listed models.
    models: usize,
    /// What any of them can do.
    capabilities: BTreeSet<Capability>,
    openai_compatible: bool,
}

fn view<'a>(state: &State, snapshot: &'a Snapshot, provider: &'a Provider) -> ProviderView<'a> {
    let models: Vec<&Model> =
        snapshot.models().iter().filter(|m| m.provider == provider.id && snapshot.is_listed(m)).collect();
    ProviderView {
        id: provider.id.as_str(),
        name: &provider.name,
        base_url: &provider.base_url,
        docs_url: provider.docs_url.as_deref(),
        enabled: provider.enabled,
        configured: state.keys.configured(provider),
        status: state.provider_health.status_of(provider.id.as_str()),
        models: models.len(),
        capabilities: models.iter().flat_map(|model| model.capabilities.iter().copied()).collect(),
        openai_compatible: provider.openai_compatible_base_url.is_some(),
    }
}

/// All providers, disabled ones included: `enabled` tells them apart.
pub(super) async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let read = read(&state).await?;
    Params::parse(request.query_string())?.only(&[])?;
    let snapshot = read.snapshot();
    let providers: Vec<_> =
        snapshot.providers().iter().map(|provider| view(&state, snapshot, provider)).collect();
    Ok(Envelope::whole(&read, providers.len(), providers).respond())
}

/// One provider.
pub(super) async fn item(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let read = read(&state).await?;
    Params::parse(request.query_string())?.only(&[])?;
    let id = id_in_path(&request, "/api/providers/")?;
    let provider = find_provider(read.snapshot(), &id)?;
    Ok(HttpResponse::Ok().json(view(&state, read.snapshot(), provider)))
}

/// The models of one provider: `/api/models` with the provider given by the path.
pub(super) async fn models(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let read = read(&state).await?;
    let path = id_in_path(&request, "/api/providers/")?;
    let id = path.strip_suffix("/models").unwrap_or(&path);
    let provider = find_provider(read.snapshot(), id)?;
    respond_with_models(&state, &read, request.query_string(), Some(&provider.id))
}

fn find_provider<'a>(snapshot: &'a Snapshot, id: &str) -> Result<&'a Provider, ApiError> {
    snapshot.provider(id).ok_or_else(|| {
        let suggestion = did_you_mean(id, snapshot.providers().iter().map(|p| p.id.as_str()));
        ApiError::new(Code::ProviderNotFound, format!("`{}` is not in the catalogue", echo(id)))
            .suggesting(suggestion)
    })
}
