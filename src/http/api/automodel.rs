//! `/api/automodel/health`: the last results of the probes.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};

use crate::catalogue::CatalogueSource;
use crate::http::health::Probe;
use crate::http::reply::{Momentary, Reader, json, momentary};
use crate::provider_health::{AutoModelHealth, Standings};
use crate::status::Status;

/// The sources of the route, and its last answer.
pub struct AutoModelAnswer {
    pub reader: web::Data<Reader>,
    pub status: Arc<Status>,
    /// Keyed by the catalogue's source and revision, and the probe results.
    pub last: Momentary<(CatalogueSource, u64, Arc<Standings>), Bytes>,
}

/// Show the health of all providers, for `ModelSwapper`.
///
/// Same as `/api/automodel/health`.
#[utoipa::path(get, path = "", operation_id = "get_modelswapper_health", tag = "Health",
    responses((status = 200, description = "The providers.", body = AutoModelHealth),
        (status = 503, description = "There is no catalogue yet.", body = Probe)))]
pub async fn modelswapper(data: web::Data<AutoModelAnswer>) -> HttpResponse {
    health(data).await
}

/// Show the health of all providers.
///
/// The last results of the background probes. The request itself calls no provider.
#[utoipa::path(get, path = "", operation_id = "get_automodel_health", tag = "Health",
    responses((status = 200, description = "The providers.", body = AutoModelHealth),
        (status = 503, description = "There is no catalogue yet.", body = Probe)))]
pub async fn health(data: web::Data<AutoModelAnswer>) -> HttpResponse {
    let AutoModelAnswer { reader, status, last } = &**data;
    let Some(report) = reader.catalogue.report() else {
        return momentary(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"unhealthy"}"#);
    };
    let providers = reader.provider_health.standings();
    let of = (report.read.source(), report.read.revision(), Arc::clone(&providers));
    let health = last.get(of, status.uptime(), || {
        let snapshot = report.read.snapshot();
        json(&AutoModelHealth::of(snapshot, &providers, &reader.probes, status.utc())).into()
    });
    momentary(StatusCode::OK, health.document.clone())
}
