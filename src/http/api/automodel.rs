//! `/api/automodel/health`: what the probes say of the providers. Nobody is asked for it.

use std::sync::Arc;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use serde_json::json as value;

use crate::automodel::{AutoModelHealth, Standings};
use crate::cache::Source;

use crate::http::State;
use crate::http::health::Probe;
use crate::http::reply::Momentary;
use crate::http::reply::json;

/// The document, which rests on the catalogue's source and revision and on the providers.
pub type AutoModelDocument = Momentary<(Source, u64, Arc<Standings>), Bytes>;

/// Show the health of all providers, under the name of `ModelSwapper`.
///
/// The same as `/api/automodel/health`.
#[utoipa::path(get, path = "/api/modelswapper/health", operation_id = "get_modelswapper_health", tag = "Health",
    responses((status = 200, description = "The providers.", body = AutoModelHealth),
        (status = 503, description = "There is no catalogue yet.", body = Probe)))]
pub async fn modelswapper(state: web::Data<State>) -> HttpResponse {
    health(state).await
}

/// Show the health of all providers.
///
/// What background probes last saw. Nothing is asked of a provider for this answer.
#[utoipa::path(get, path = "/api/automodel/health", operation_id = "get_automodel_health", tag = "Health",
    responses((status = 200, description = "The providers.", body = AutoModelHealth),
        (status = 503, description = "There is no catalogue yet.", body = Probe)))]
pub async fn health(state: web::Data<State>) -> HttpResponse {
    let Some(report) = state.catalogue.report() else {
        return HttpResponse::ServiceUnavailable()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(value!({ "status": "unhealthy" }));
    };
    let providers = state.provider_health.standings();
    let of = (report.read.source(), report.read.revision(), Arc::clone(&providers));
    let health = state.automodel_health.get(of, state.status.uptime(), || {
        let snapshot = report.read.snapshot();
        Bytes::from(json(&AutoModelHealth::of(snapshot, &providers, &state.probes, state.status.utc())))
    });
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("application/json")
        .body(health.document.clone())
}
