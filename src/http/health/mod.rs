//! Health routes: the last results of the background checks, without I/O.

mod document;

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use utoipa::ToSchema;

use crate::catalogue::CatalogueSource;
use crate::http::reply::{Momentary, json, momentary};
use crate::status::DatabaseReport;

use document::{Health, Overall};
pub use document::{KvState, Sources};

/// State whose changes show at once. Everything else may be a second old.
#[derive(Debug, PartialEq)]
pub struct Vital {
    decided: bool,
    draining: bool,
    misconfigured: bool,
    database: DatabaseReport,
    source: Option<CatalogueSource>,
}

impl Vital {
    fn of(Sources { reader, status, .. }: &Sources) -> Self {
        Self {
            decided: status.is_decided(),
            draining: status.is_draining(),
            misconfigured: status.is_misconfigured(),
            database: status.database(),
            source: reader.catalogue.report().map(|report| report.read.source()),
        }
    }
}

/// The sources of the routes, and the last answer.
pub struct HealthAnswer {
    sources: web::Data<Sources>,
    last: Momentary<Vital, (StatusCode, Bytes)>,
}

/// Registers the data of the handlers.
pub fn configure(sources: web::Data<Sources>) -> impl Fn(&mut web::ServiceConfig) {
    let health = web::Data::new(HealthAnswer { sources, last: <_>::default() });
    move |app| {
        app.app_data(health.clone());
    }
}

/// The state of one part of the process.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the answer; never built")]
pub struct Probe {
    /// `live`, `ready`, `starting` or `draining`.
    status: String,
}

/// Show the server's health.
///
/// For load balancers and operators. Performs no I/O and ignores parameters.
#[utoipa::path(get, path = "", operation_id = "get_health", tag = "Health",
    responses((status = 200, description = "It serves: `healthy` or `degraded`.", body = Health),
        (status = 503, description = "It must not get traffic: `unhealthy`.", body = Health)))]
pub async fn health(data: web::Data<HealthAnswer>) -> HttpResponse {
    let HealthAnswer { sources, last } = &**data;
    let held = last.get(Vital::of(sources), sources.status.uptime(), || {
        let health = Health::of(sources);
        let status = match health.status {
            Overall::Healthy | Overall::Degraded => StatusCode::OK,
            Overall::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, json(&health).into())
    });
    let (status, body) = &held.document;
    momentary(*status, body.clone())
}

/// Say whether the process runs.
#[utoipa::path(get, path = "", operation_id = "get_health_live", tag = "Health",
    responses((status = 200, description = "It runs.", body = Probe)))]
pub async fn live() -> HttpResponse {
    momentary(StatusCode::OK, r#"{"status":"live"}"#)
}

/// Say whether the server is ready.
///
/// Ready from the first choice of a catalogue source until shutdown begins.
#[utoipa::path(get, path = "", operation_id = "get_health_ready", tag = "Health",
    responses((status = 200, description = "It is ready.", body = Probe),
        (status = 503, description = "It is starting or draining.", body = Probe)))]
pub async fn ready(data: web::Data<HealthAnswer>) -> HttpResponse {
    let status = &data.sources.status;
    if status.is_draining() {
        momentary(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"draining"}"#)
    } else if status.is_decided() {
        momentary(StatusCode::OK, r#"{"status":"ready"}"#)
    } else {
        momentary(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"starting"}"#)
    }
}
