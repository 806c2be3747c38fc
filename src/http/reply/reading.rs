//! One read of the catalogue, and the answer made of it.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::uri::PathAndQuery;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use crate::catalogue::CatalogueRead;
use crate::domain::snapshot::Snapshot;

use super::coding::{Accepted, Coding};
use super::edition::{Edition, Resource, Target};
use super::error::{ApiError, Code};
use super::freshness::Lifetime;
use super::representation::Representation;
use crate::http::State;
use crate::http::metrics::Route;

/// The catalogue for one request, with everything that is written of it already.
pub struct Reading {
    pub read: CatalogueRead,
    edition: Arc<Edition>,
    /// Whether providers are probed, or were by another instance.
    is_watched: bool,
}

impl Reading {
    /// Reads the catalogue, which counts as one read whatever comes of it.
    ///
    /// # Errors
    /// [`Code::CatalogueUnavailable`] when there is none.
    pub async fn begin(state: &State) -> Result<Self, ApiError> {
        let read = state.catalogue.read().await;
        let read = read.map_err(|error| ApiError::new(Code::CatalogueUnavailable, error.to_string()))?;
        let edition = state.editions.of(&read, &state.provider_health);
        let is_watched = !edition.health().is_silent() || state.probes.ask_any(read.snapshot().providers());
        Ok(Self { read, edition, is_watched })
    }

    /// The catalogue.
    pub fn snapshot(&self) -> &Snapshot {
        self.read.snapshot()
    }

    /// How long an answer lives that shows the providers' status: as long as others, where nobody will ever say anything of
    /// any provider.
    pub fn with_status(&self, lifetime: Lifetime) -> Lifetime {
        if self.is_watched { Lifetime::ProviderStatus } else { lifetime }
    }

    /// The answer that shows a resource. `write` makes its body when nobody has asked for it before.
    ///
    /// # Errors
    /// [`Code::InternalError`] when `write` panics.
    pub async fn answer(
        &self,
        request: &HttpRequest,
        resource: Resource,
        lifetime: Lifetime,
        write: impl FnOnce(&Edition) -> Vec<u8> + Send + 'static,
    ) -> Result<HttpResponse, ApiError> {
        let body = self.edition.body(resource.clone(), Accepted::by(request.headers()), write).await?;
        let route = request.app_data().copied();
        self.edition.remember(address(request), Target { resource, lifetime, route });
        Ok(body.answer(request, &self.read, lifetime))
    }

    /// An answer that nobody else is likely to ask for, and that is short: it is made for this request alone.
    pub fn answer_once(
        &self,
        request: &HttpRequest,
        lifetime: Lifetime,
        value: &impl Serialize,
    ) -> HttpResponse {
        let accepted = Accepted::by(request.headers());
        let body = Representation::new(json(value), Coding::Identity).accepted(accepted);
        body.answer(request, &self.read, lifetime)
    }
}

/// The answer to an address that was answered before, and its route: nothing has changed since, so that neither route nor
/// parameters are looked at again. Counts as a read. `None`, and not counted, unless the catalogue is fresh and the body
/// still kept; the route has to answer then.
pub fn answer_again(state: &State, request: &HttpRequest) -> Option<(HttpResponse, Option<Route>)> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    state.catalogue.hit(|read| {
        let edition = state.editions.of(&read, &state.provider_health);
        let (body, Target { lifetime, route, .. }) =
            edition.known(address(request), Accepted::by(request.headers()))?;
        Some((body.answer(request, &read, lifetime), route))
    })
}

fn address(request: &HttpRequest) -> &str {
    request.uri().path_and_query().map_or("", PathAndQuery::as_str)
}

/// As JSON. Our own types hold nothing that cannot be written.
pub fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
