//! Health: what the background checks last saw. No I/O, no waiting, whatever is down.

mod document;
mod draft;

use std::sync::PoisonError;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, VARY};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use utoipa::ToSchema;

use crate::cache::{ListenerState, SharedTier, Source, Statistics};
use crate::status::DatabaseReport;

use super::State;
use super::momentary::Momentary;
use super::reading;
use document::{Health, Overall};

/// What shows in health at once when it changes; the rest may be a second old.
#[derive(Debug, PartialEq)]
pub struct Vital {
    decided: bool,
    draining: bool,
    misconfigured: bool,
    database: DatabaseReport,
    listener: ListenerState,
    statistics: Statistics,
    /// Calls to KV, and keys that wait for one.
    kv: Option<(u64, usize)>,
    /// Source, revision and whether it is stale.
    catalogue: Option<(Source, u64, bool)>,
}

impl Vital {
    fn of(state: &State) -> Self {
        let status = &state.status;
        Self {
            decided: status.is_decided(),
            draining: status.is_draining(),
            misconfigured: status.is_misconfigured(),
            database: status.database(),
            listener: *status.listener().read().unwrap_or_else(PoisonError::into_inner),
            statistics: state.catalogue.statistics(),
            kv: state.kv.tier().map(SharedTier::activity),
            catalogue: state
                .catalogue
                .report()
                .map(|report| (report.read.source(), report.read.revision(), report.stale)),
        }
    }
}

/// The document of `/api/health`.
pub type HealthDocument = Momentary<Vital, HealthBodies>;

/// Health as it is sent, in both shapes.
#[derive(Debug)]
pub struct HealthBodies {
    status: StatusCode,
    own: Bytes,
    draft: Bytes,
}

impl From<Health> for HealthBodies {
    fn from(health: Health) -> Self {
        Self {
            status: match health.status {
                Overall::Healthy | Overall::Degraded => StatusCode::OK,
                Overall::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
            },
            own: reading::json(&health).into(),
            draft: reading::json(&draft::HealthDraft::from(&health)).into(),
        }
    }
}

/// The state of one part of the process.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes, and is never made")]
pub(super) struct Probe {
    /// `live`, `ready`, `starting` or `draining`.
    status: String,
}

/// Show the server's health.
///
/// For the platform and for people. No I/O, whatever is down. With `Accept: application/health+json` in the shape of
/// the IETF draft. Parameters are ignored.
#[utoipa::path(get, path = "/api/health", operation_id = "get_health", tag = "Health",
    responses(
        (status = 200, description = "It serves: `healthy` or `degraded`.",
            content((Health = "application/json"), (Value = "application/health+json"))),
        (status = 503, description = "It must not get traffic: `unhealthy`.",
            content((Health = "application/json"), (Value = "application/health+json")))))]
pub(super) async fn health(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let write = || HealthBodies::from(Health::of(&state));
    let health = state.health.get(Vital::of(&state), state.status.uptime(), write);
    let HealthBodies { status, own, draft } = &health.document;
    let accepts_draft = request
        .headers()
        .get_all(ACCEPT)
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(draft::CONTENT_TYPE)));
    let (kind, body) = if accepts_draft { (draft::CONTENT_TYPE, draft) } else { ("application/json", own) };
    let mut response = HttpResponse::build(*status);
    response.insert_header((CACHE_CONTROL, "no-store")).insert_header((VARY, "Accept, Origin"));
    response.content_type(kind).body(body.clone())
}

/// Say whether the process runs.
#[utoipa::path(get, path = "/api/health/live", operation_id = "get_health_live", tag = "Health",
    responses((status = 200, description = "It runs.", body = Probe)))]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({ "status": "live" }))
}

/// Say whether the server is ready.
///
/// It is once the first source of the catalogue is decided, and until the process is about to stop.
#[utoipa::path(get, path = "/api/health/ready", operation_id = "get_health_ready", tag = "Health",
    responses((status = 200, description = "It is ready.", body = Probe),
        (status = 503, description = "It is starting, or about to stop.", body = Probe)))]
pub(super) async fn ready(state: web::Data<State>) -> HttpResponse {
    let (status, word) = if state.status.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if state.status.is_decided() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting")
    };
    HttpResponse::build(status).insert_header((CACHE_CONTROL, "no-store")).json(json!({ "status": word }))
}
