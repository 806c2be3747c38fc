//! `/api/status`: the samples of the last hour and the last changes, as this instance remembers them.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::http::reply::{Coded, Momentary, json};
use crate::status::{Change, History, SAMPLE_INTERVAL, Sample, Status};

/// What the route answers from, and its last answer.
pub struct StatusAnswer {
    pub status: Arc<Status>,
    /// By the revision of the history.
    pub last: Momentary<u64, Coded>,
}

/// What an instance remembers since its start: samples of the last hour, and the last changes however old they are. It
/// tells of this instance alone.
#[derive(Serialize, ToSchema)]
#[schema(as = StatusHistory)]
pub struct StatusHistory<'a> {
    /// When the process began.
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    /// Seconds between two samples.
    interval_seconds: u64,
    /// The oldest first; at most 360.
    samples: Vec<&'a Sample>,
    /// The newest first; at most 50. What comes and goes within a second is left out.
    changes: Vec<&'a Change>,
}

impl<'a> StatusHistory<'a> {
    fn of(history: &'a History, since: OffsetDateTime) -> Self {
        Self {
            since,
            interval_seconds: SAMPLE_INTERVAL.as_secs(),
            samples: history.samples().collect(),
            changes: history.changes().collect(),
        }
    }
}

/// Show the last hour and the last changes.
///
/// Samples of the cache and its tiers, one every 10 s for an hour, and the last 50 changes of state. No I/O, whatever is down.
/// Parameters are ignored.
#[utoipa::path(get, path = "", operation_id = "get_status", tag = "Status",
    responses((status = 200, description = "What this instance remembers.", body = StatusHistory)))]
pub async fn status(data: web::Data<StatusAnswer>, request: HttpRequest) -> HttpResponse {
    let StatusAnswer { status, last } = &**data;
    let read = || status.history().read();
    let revision = read().revision();
    // It ages with its revision only.
    let held = last.get(revision, Duration::ZERO, Coded::default);
    let write = || json(&StatusHistory::of(&read(), status.started_at()));
    let mut response = held.document.respond(&request, "application/json", write);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
