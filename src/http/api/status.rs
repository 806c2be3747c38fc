//! `/api/status`: the samples and state changes that this instance keeps.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::http::reply::{Coded, Momentary, json};
use crate::status::{Change, SAMPLE_INTERVAL, Sample, Status};

/// The source of the route, and its last answer.
pub struct StatusAnswer {
    pub status: Arc<Status>,
    /// Keyed by the revision of the history.
    pub last: Momentary<u64, Coded>,
}

/// Samples of the last hour and the last changes of any age, of this instance only, since its start.
#[derive(Serialize, ToSchema)]
#[schema(as = StatusHistory)]
pub struct StatusHistory<'a> {
    /// When the process started.
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    /// Seconds between two samples.
    interval_seconds: u64,
    /// Oldest first; at most 360.
    samples: Vec<&'a Sample>,
    /// Newest first; at most 50. Leaves out changes that last less than a second.
    changes: Vec<&'a Change>,
}

/// Show the last hour and the last changes.
///
/// Samples of the cache and its tiers, one per 10 s, and the last 50 state changes. Performs no I/O and ignores
/// parameters.
#[utoipa::path(get, path = "", operation_id = "get_status", tag = "Status",
    responses((status = 200, description = "The history of this instance.", body = StatusHistory)))]
pub async fn status(data: web::Data<StatusAnswer>, request: HttpRequest) -> HttpResponse {
    let StatusAnswer { status, last } = &**data;
    let read = || status.history().read();
    let revision = read().revision();
    // Only a new revision outdates the answer.
    let held = last.get(revision, Duration::ZERO, Coded::default);
    let write = || {
        let history = read();
        json(&StatusHistory {
            since: status.started_at(),
            interval_seconds: SAMPLE_INTERVAL.as_secs(),
            samples: history.samples().collect(),
            changes: history.changes().collect(),
        })
    };
    let mut response = held.document.respond(&request, "application/json", write);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
