//! The layers around every request: id, span, limits, and one form of errors.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{RequestHead, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use tracing::field::Empty;
use tracing::{Level, Span};
use tracing_actix_web::{RequestId, RootSpanBuilder};
use uuid::Uuid;

use crate::clock::Clock;
use crate::http::metrics;
use crate::http::reply::{ApiError, Code, Reader, Route};
use crate::telemetry;

use super::connections;
use super::failures::Failures;
use super::rate_limit::RateLimit;
use super::unread::{holding_unread, read_past};

/// Header of the request's id, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest path with query.
const MAX_URI_BYTES: usize = 8 * 1024;
/// Policy of answers that are not pages.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Longest id accepted from a client.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// Settings of the layers.
pub struct Edge {
    pub reader: web::Data<Reader>,
    pub rate_limit: Option<RateLimit>,
    /// Whether the rate limit exempts a path.
    pub is_exempt: fn(&str) -> bool,
    pub failures: Failures,
    pub clock: Clock,
    /// Whether requests come through Render's proxy, by HTTPS.
    pub behind_render: bool,
}

/// Returns the client's id of the request, if it is a short plain token.
fn given_id(request: &RequestHead) -> Option<&HeaderValue> {
    request.headers().get(&REQUEST_ID).filter(|value| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
    })
}

/// Returns the request's id: the client's, the span's, or a new one.
fn request_id(request: &HttpRequest) -> HeaderValue {
    if let Some(given) = given_id(request.head()) {
        return given.clone();
    }
    let of_span = request.extensions().get::<RequestId>().map(|id| **id);
    let id = of_span.unwrap_or_else(Uuid::now_v7);
    let mut text = Uuid::encode_buffer();
    let text = id.as_hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// Whether spans of requests are enabled. Checked once per worker, at its start; if not, it skips the tracing layer.
pub fn is_traced() -> bool {
    tracing::span_enabled!(Level::DEBUG)
}

/// The outermost layer: adds the request's id and turns every error into a problem document.
pub async fn outermost(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    connections::heard(&request);
    // Routes return errors as responses; nothing in between fails.
    let behind_render = request.app_data::<web::Data<Edge>>().is_some_and(|edge| edge.behind_render);
    let underway = metrics::begin(&request);
    let response = next.call(request).await?.map_into_boxed_body();
    let id = request_id(response.request());
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let mut response = if is_error {
        holding_unread(as_problem(response, id.to_str().unwrap_or_default()))
    } else {
        response
    };
    let headers = response.headers_mut();
    // No other code sets these headers. Inserting costs twice as much as appending.
    headers.append(REQUEST_ID, id);
    // Against type guessing, framing and referrers.
    headers.append(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.append(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if behind_render {
        headers.append(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.append(CONTENT_SECURITY_POLICY, NOTHING);
    }
    // Answers with a longer `Vary` include `Origin`.
    if !headers.contains_key(VARY) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
    metrics::answered(underway, &response);
    Ok(response)
}

/// Refuses requests that are too frequent, too long or too large, and repeats answers to known addresses. Inside CORS,
/// so that pages can read these answers. The time limit is around each handler.
pub async fn bounded(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(edge) = request.app_data::<web::Data<Edge>>().cloned() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let mut admitted = admit(&edge, &request);
    if admitted.is_ok() {
        admitted = read_past(&mut request, &edge.clock).await;
    }
    if let Err(refusal) = admitted {
        return Ok(request.error_response(refusal));
    }
    if let Some((answer, route)) = edge.reader.answer_again(request.request()) {
        metrics::routed(&request, route);
        return Ok(request.into_response(answer));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// Refused requests count, too.
fn admit(edge: &Edge, request: &ServiceRequest) -> Result<(), ApiError> {
    if let Some(limit) = edge.rate_limit.as_ref().filter(|_| !(edge.is_exempt)(request.path())) {
        limit.check(request)?;
    }
    if request.uri().path_and_query().is_some_and(|uri| uri.as_str().len() > MAX_URI_BYTES) {
        let limit = format!("path and query may have {MAX_URI_BYTES} bytes together");
        return Err(ApiError::new(Code::UriTooLong, limit));
    }
    Ok(())
}

fn as_problem(response: ServiceResponse, request_id: &str) -> ServiceResponse {
    let path = response.request().path();
    let openai = path == "/v1" || path.starts_with("/v1/");
    let kind = response.headers().get(CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")) {
        // A health route answers 503 with its own document.
        return response;
    }
    let error = match response.response().error().and_then(Error::as_error::<ApiError>) {
        Some(error) => error.clone(),
        None => {
            let code = Code::of_status(response.status());
            ApiError::new(code, code.title())
        }
    };
    if error.code.status().is_server_error() {
        log_failure(response.request(), &error, request_id);
    }
    let mut response = response.map_body(|_, _| BoxBody::new(error.body(request_id, openai)));
    *response.response_mut().status_mut() = error.code.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn log_failure(request: &HttpRequest, error: &ApiError, request_id: &str) {
    let edge = request.app_data::<web::Data<Edge>>();
    let Some(left_out) = edge.map_or(Some(0), |edge| edge.failures.line()) else { return };
    let route = Route::of(request).map_or("unmatched", |Route(template)| template);
    let method = request.method().as_str();
    match error.code {
        Code::TimedOut => tracing::warn!(method, route, request_id, left_out, "a request took too long"),
        _ => tracing::error!(method, route, request_id, left_out, error = %error, "a request failed"),
    }
}

/// One root span per request at debug, with route template and request id, by OpenTelemetry's conventions. Otherwise a
/// successful request costs nothing here and leaves no line.
pub struct RootSpan;

impl RootSpanBuilder for RootSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        if !tracing::span_enabled!(Level::DEBUG) {
            return Span::none();
        }
        let id = request_id(request.request());
        let id = id.to_str().unwrap_or_default();
        // Resources are named after their route's template.
        let route = request.request().match_name().unwrap_or("unmatched");
        // Any text can be a method; the conventions have one name for unknown ones.
        let method = match *request.method() {
            Method::GET
            | Method::HEAD
            | Method::OPTIONS
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE => request.method().as_str(),
            _ => "_OTHER",
        };
        let span = tracing::debug_span!(
            "request",
            otel.name = %format_args!("{method} {route}"),
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method,
            http.route = route,
            http.response.status_code = Empty,
            request_id = id,
        );
        let header = |name| request.headers().get(name)?.to_str().ok();
        telemetry::continue_trace(&span, header("traceparent"), header("tracestate"));
        span
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        span.in_scope(|| tracing::debug!("answered"));
    }
}
