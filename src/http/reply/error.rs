//! The closed table of error codes, and the responses built from it.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::closed::closed_enum;

closed_enum!(
    /// Every code of an error answer. Codes are never renamed, because clients match on them.
    Code {
        /// A parameter's value is invalid.
        InvalidParameter = "invalid_parameter",
        /// This route has no such parameter.
        UnknownParameter = "unknown_parameter",
        /// A cursor that is damaged or of another query.
        InvalidCursor = "invalid_cursor",
        /// A path that is not UTF-8 once decoded.
        InvalidPath = "invalid_path",
        /// Another error in the request.
        BadRequest = "bad_request",
        /// No such route.
        RouteNotFound = "route_not_found",
        /// No such model.
        ModelNotFound = "model_not_found",
        /// No such provider.
        ProviderNotFound = "provider_not_found",
        /// The route exists, but not for this method.
        MethodNotAllowed = "method_not_allowed",
        /// The address is too long.
        UriTooLong = "uri_too_long",
        /// The body is too large.
        PayloadTooLarge = "payload_too_large",
        /// The token of this route is missing or wrong.
        Unauthorized = "unauthorized",
        /// This client sends too many requests.
        RateLimited = "rate_limited",
        /// A model's cost is unknown.
        PriceUnknown = "price_unknown",
        /// There is no catalogue.
        CatalogueUnavailable = "catalogue_unavailable",
        /// The answer took too long.
        TimedOut = "timed_out",
        /// A server error.
        InternalError = "internal_error",
    }
);

impl Code {
    /// Returns the HTTP status and the title of every occurrence.
    const fn meaning(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidParameter => {
                (StatusCode::BAD_REQUEST, "A parameter has a value that cannot be used")
            }
            Self::UnknownParameter => (StatusCode::BAD_REQUEST, "A parameter is not known here"),
            Self::InvalidCursor => (StatusCode::BAD_REQUEST, "The cursor does not belong to this query"),
            Self::InvalidPath => (StatusCode::BAD_REQUEST, "The path is not valid UTF-8"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "The request cannot be understood"),
            Self::RouteNotFound => (StatusCode::NOT_FOUND, "There is nothing at this address"),
            Self::ModelNotFound => (StatusCode::NOT_FOUND, "There is no such model"),
            Self::ProviderNotFound => (StatusCode::NOT_FOUND, "There is no such provider"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed here"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "The address is too long"),
            Self::PayloadTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "A token is needed here"),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too many requests from this client"),
            Self::PriceUnknown => (StatusCode::UNPROCESSABLE_ENTITY, "The price is not known"),
            Self::CatalogueUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "The catalogue is not available"),
            Self::TimedOut => (StatusCode::SERVICE_UNAVAILABLE, "The answer took too long"),
            Self::InternalError => (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here"),
        }
    }

    /// Returns the HTTP status.
    pub const fn status(self) -> StatusCode {
        self.meaning().0
    }

    /// Returns the title.
    pub const fn title(self) -> &'static str {
        self.meaning().1
    }

    /// Returns the code for an answer from outside our handlers.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::RouteNotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::URI_TOO_LONG => Self::UriTooLong,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::SERVICE_UNAVAILABLE => Self::CatalogueUnavailable,
            _ if status.is_client_error() => Self::BadRequest,
            _ => Self::InternalError,
        }
    }
}

/// Result of a handler.
pub type Reply = Result<HttpResponse, ApiError>;

/// An error for the client. The middleware renders it, because it knows the request.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The code.
    pub code: Code,
    detail: Box<str>,
    parameter: Option<Box<str>>,
    allowed: Vec<String>,
    did_you_mean: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// Creates an error. `detail` says what is wrong with this request and how to fix it.
    pub fn new(code: Code, detail: impl Into<Box<str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            parameter: None,
            allowed: Vec::new(),
            did_you_mean: None,
            headers: Vec::new(),
        }
    }

    /// Creates an error about a value of `parameter`.
    pub fn parameter(parameter: &str, expected: impl fmt::Display) -> Self {
        Self::new(Code::InvalidParameter, format!("`{parameter}`: {expected}")).of(parameter)
    }

    /// Names the parameter.
    pub fn of(self, parameter: &str) -> Self {
        Self { parameter: Some(parameter.into()), ..self }
    }

    /// Lists the accepted values.
    pub fn allowing<T: Into<String>>(self, allowed: impl IntoIterator<Item = T>) -> Self {
        Self { allowed: allowed.into_iter().map(Into::into).collect(), ..self }
    }

    /// Names the probable intention.
    pub fn suggesting(self, suggestion: Option<&str>) -> Self {
        Self { did_you_mean: suggestion.map(str::to_owned), ..self }
    }

    /// Creates an error about the method; `allow` becomes the header.
    pub fn method(allow: &'static str) -> Self {
        Self::new(Code::MethodNotAllowed, format!("use one of {allow}"))
            .with(ALLOW, HeaderValue::from_static(allow))
    }

    /// Creates an error about an address without a route.
    pub fn no_route() -> Self {
        let routes = "see /api/docs, /api/models, /api/providers, /api/tasks, /v1/models and /api/health";
        Self::new(Code::RouteNotFound, routes)
    }

    /// Adds a header to the answer.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Renders the body. Below `/v1` it includes the `error` object for OpenAI's clients.
    pub fn body(&self, request_id: &str, openai: bool) -> Vec<u8> {
        let server_fault = self.code.status().is_server_error();
        // A server error always has the same text: the log has the cause.
        let detail =
            if server_fault { "try again later; quote the request id if it lasts" } else { &self.detail };
        let error = openai.then_some(OpenAiError {
            message: detail,
            r#type: match self.code {
                _ if server_fault => "server_error",
                Code::RateLimited => "rate_limit_error",
                _ => "invalid_request_error",
            },
            param: self.parameter.as_deref(),
            code: self.code,
        });
        let problem = Problem {
            r#type: format!("/api/docs/errors#{}", self.code),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail,
            code: self.code,
            request_id,
            parameter: self.parameter.as_deref(),
            allowed: &self.allowed,
            did_you_mean: self.did_you_mean.as_deref(),
            error,
        };
        // Strings, numbers and lists of them always serialize.
        serde_json::to_vec(&problem).unwrap_or_default()
    }
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct Problem<'a> {
    /// Path on this server that explains the code.
    r#type: String,
    /// Meaning of the code, the same for every occurrence.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, and how to fix it.
    detail: &'a str,
    code: Code,
    /// The value of `x-request-id`, for questions about this answer.
    request_id: &'a str,
    /// The parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    /// Accepted values.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed: &'a [String],
    /// Probable intention.
    #[serde(skip_serializing_if = "Option::is_none")]
    did_you_mean: Option<&'a str>,
    /// Below `/v1` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<OpenAiError<'a>>,
}

/// The error object for OpenAI's clients.
#[derive(Serialize, ToSchema)]
pub struct OpenAiError<'a> {
    /// As `detail`.
    message: &'a str,
    /// `invalid_request_error`, `rate_limit_error` or `server_error`.
    r#type: &'static str,
    /// As `parameter`.
    param: Option<&'a str>,
    code: Code,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_fault_is_told_in_constant_words() {
        let body = ApiError::new(Code::InternalError, "password=hunter2").body("r", false);
        assert!(!String::from_utf8(body).unwrap().contains("hunter2"));
    }

    #[test]
    fn under_v1_an_error_has_the_shape_that_openai_clients_read() {
        let body = ApiError::parameter("limit", "expected a number").body("r", true);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["error"]["param"], "limit");
        assert_eq!(body["status"], 400);
    }
}
