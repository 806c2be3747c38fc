//! Health: what the background checks last saw. No I/O, no waiting, whatever is down.

mod document;

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use serde_json::json as value;
use utoipa::ToSchema;

use crate::cache::Source;
use crate::status::DatabaseReport;

use crate::http::State;
use crate::http::reply::Momentary;
use crate::http::reply::json;
use document::{Health, Overall};

/// State whose change shows in health at once. Everything else may be a second old.
#[derive(Debug, PartialEq)]
pub struct Vital {
    decided: bool,
    draining: bool,
    misconfigured: bool,
    database: DatabaseReport,
    source: Option<Source>,
}

impl Vital {
    fn of(state: &State) -> Self {
        let status = &state.status;
        Self {
            decided: status.is_decided(),
            draining: status.is_draining(),
            misconfigured: status.is_misconfigured(),
            database: status.database(),
            source: state.catalogue.report().map(|report| report.read.source()),
        }
    }
}

/// The kept answer of `/api/health`.
pub type HealthDocument = Momentary<Vital, (StatusCode, Bytes)>;

/// The state of one part of the process.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes, and is never made")]
pub struct Probe {
    /// `live`, `ready`, `starting` or `draining`.
    status: String,
}

/// Show the server's health.
///
/// For the platform and for people. No I/O, whatever is down. Parameters are ignored.
#[utoipa::path(get, path = "/api/health", operation_id = "get_health", tag = "Health",
    responses((status = 200, description = "It serves: `healthy` or `degraded`.", body = Health),
        (status = 503, description = "It must not get traffic: `unhealthy`.", body = Health)))]
pub async fn health(state: web::Data<State>) -> HttpResponse {
    let held = state.health.get(Vital::of(&state), state.status.uptime(), || {
        let health = Health::of(&state);
        let status = match health.status {
            Overall::Healthy | Overall::Degraded => StatusCode::OK,
            Overall::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, json(&health).into())
    });
    let (status, body) = &held.document;
    HttpResponse::build(*status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("application/json")
        .body(body.clone())
}

/// Say whether the process runs.
#[utoipa::path(get, path = "/api/health/live", operation_id = "get_health_live", tag = "Health",
    responses((status = 200, description = "It runs.", body = Probe)))]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(value!({ "status": "live" }))
}

/// Say whether the server is ready.
///
/// It is once the first source of the catalogue is decided, and until the process is about to stop.
#[utoipa::path(get, path = "/api/health/ready", operation_id = "get_health_ready", tag = "Health",
    responses((status = 200, description = "It is ready.", body = Probe),
        (status = 503, description = "It is starting, or about to stop.", body = Probe)))]
pub async fn ready(state: web::Data<State>) -> HttpResponse {
    let (status, word) = if state.status.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if state.status.is_decided() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting")
    };
    HttpResponse::build(status).insert_header((CACHE_CONTROL, "no-store")).json(value!({ "status": word }))
}
