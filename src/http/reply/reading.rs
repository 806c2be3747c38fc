//! One read of the catalogue, and the answer built from it.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::uri::PathAndQuery;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use crate::catalogue::{Catalogue, CatalogueRead};
use crate::domain::snapshot::Snapshot;
use crate::provider_health::{ProbeSettings, ProviderHealthBoard};

use super::coding::{Accepted, Coding};
use super::edition::{Edition, Editions, Resource, Target};
use super::error::{ApiError, Code, Reply};
use super::freshness::Lifetime;
use super::representation::Representation;
use super::route::Route;

/// Reads the catalogue with the providers' health, and keeps bodies.
pub struct Reader {
    pub catalogue: Catalogue,
    pub provider_health: ProviderHealthBoard,
    pub probes: ProbeSettings,
    pub editions: Editions,
}

impl Reader {
    /// Reads the catalogue. Counts as a read even if the request fails later.
    ///
    /// # Errors
    /// [`Code::CatalogueUnavailable`] when there is none.
    pub async fn read(&self) -> Result<Reading, ApiError> {
        let read = self.catalogue.read().await;
        let read = read.map_err(|error| ApiError::new(Code::CatalogueUnavailable, error.to_string()))?;
        let edition = self.editions.of(&read, &self.provider_health);
        let is_watched = !edition.health().is_silent() || self.probes.probes_any(read.snapshot().providers());
        Ok(Reading { read, edition, is_watched })
    }

    /// Repeats the answer to a known address, with its route, and counts as a read. `None`, uncounted, unless the
    /// catalogue is fresh and the body kept.
    pub fn answer_again(&self, request: &HttpRequest) -> Option<(HttpResponse, Option<Route>)> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        self.catalogue.hit(|read| {
            let edition = self.editions.of(&read, &self.provider_health);
            let (body, Target { lifetime, route, .. }) =
                edition.known(address(request), Accepted::by(request.headers()))?;
            Some((body.answer(request, &read, lifetime), route))
        })
    }
}

/// The catalogue for one request, with its bodies.
pub struct Reading {
    read: CatalogueRead,
    edition: Arc<Edition>,
    /// Whether any instance probes providers.
    is_watched: bool,
}

impl Reading {
    /// The catalogue.
    pub fn snapshot(&self) -> &Snapshot {
        self.read.snapshot()
    }

    /// Returns the lifetime of an answer with provider statuses: the usual one if no provider is ever probed.
    pub fn with_status(&self, lifetime: Lifetime) -> Lifetime {
        if self.is_watched { Lifetime::ProviderStatus } else { lifetime }
    }

    /// Answers with a resource. `write` builds its body unless it is kept.
    ///
    /// # Errors
    /// [`Code::InternalError`] when `write` panics.
    pub async fn answer(
        &self,
        request: &HttpRequest,
        resource: Resource,
        lifetime: Lifetime,
        write: impl FnOnce(&Edition) -> Vec<u8> + Send + 'static,
    ) -> Reply {
        let body = self.edition.body(resource.clone(), Accepted::by(request.headers()), write).await?;
        let route = Route::of(request);
        self.edition.remember(address(request), Target { resource, lifetime, route });
        Ok(body.answer(request, &self.read, lifetime))
    }

    /// Builds a short answer that no other request shares, without keeping it.
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

fn address(request: &HttpRequest) -> &str {
    request.uri().path_and_query().map_or("", PathAndQuery::as_str)
}

/// Returns the value as JSON. Our types always serialize.
pub fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
