//! What surrounds every request: its id, its span, the bound on its address, and errors in one form.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{RequestHead, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest};
use tracing::field::Empty;
use tracing::{Level, Span};
use tracing_actix_web::{RequestId, RootSpanBuilder};

use super::error::{ApiError, Code};

/// The header that carries the request's id, in and out.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest path and query taken.
const MAX_URI_BYTES: usize = 8 * 1024;
/// The longest request id taken over from a client.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// The id that a client gives its request, when it is a short plain token.
fn given_id(request: &RequestHead) -> Option<&HeaderValue> {
    request.headers().get(&REQUEST_ID).filter(|value| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
    })
}

/// The id of the request: the client's own, else the one that the logger gave it.
fn request_id(request: &HttpRequest) -> HeaderValue {
    if let Some(given) = given_id(request.head()) {
        return given.clone();
    }
    let new = request.extensions().get::<RequestId>().map(ToString::to_string);
    new.and_then(|id| HeaderValue::from_str(&id).ok()).unwrap_or_else(|| HeaderValue::from_static("none"))
}

/// The outermost layer: tells the request's id and turns every error, whoever made it, into a problem document.
pub(super) async fn outermost(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // Routes answer errors as responses; nothing in between fails on its own.
    let response = next.call(request).await?.map_into_boxed_body();
    let id = request_id(response.request());
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let mut response =
        if is_error { as_problem(response, id.to_str().unwrap_or_default()) } else { response };
    response.headers_mut().insert(REQUEST_ID, id);
    Ok(response)
}

/// Refuses addresses that are too long. Lies within CORS, so that a page may read that answer too.
pub(super) async fn bounded(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if request.uri().path_and_query().is_some_and(|uri| uri.as_str().len() > MAX_URI_BYTES) {
        let limit = format!("path and query may have {MAX_URI_BYTES} bytes together");
        return Ok(request.error_response(ApiError::new(Code::UriTooLong, limit)));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

fn as_problem(response: ServiceResponse, request_id: &str) -> ServiceResponse {
    let path = response.request().path();
    let openai = path == "/v1" || path.starts_with("/v1/");
    let is_health = response.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes().starts_with(b"application/json")
            || kind.as_bytes().starts_with(b"application/health+json")
    });
    if is_health {
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
        let pattern = response.request().match_pattern();
        let route = pattern.as_deref().unwrap_or("unmatched");
        let method = response.request().method().as_str();
        tracing::error!(method, route, request_id, error = %error, "a request failed");
    }
    let mut response = response.map_body(|_, _| BoxBody::new(error.body(request_id, openai)));
    *response.response_mut().status_mut() = error.code.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One root span per request at debug, with the route's template and the request's id. At other levels a request that
/// goes well costs nothing here and leaves no line.
pub(super) struct RootSpan;

impl RootSpanBuilder for RootSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        if !tracing::span_enabled!(Level::DEBUG) {
            return Span::none();
        }
        let id = request_id(request.request());
        let id = id.to_str().unwrap_or_default();
        let pattern = request.match_pattern();
        let route = pattern.as_deref().unwrap_or("unmatched");
        tracing::debug_span!(
            "request",
            method = request.method().as_str(),
            route,
            request_id = id,
            status = Empty
        )
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("status", status.as_u16());
        span.in_scope(|| tracing::debug!("answered"));
    }
}
