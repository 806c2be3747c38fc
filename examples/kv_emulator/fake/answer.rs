//! Answers, whole and broken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Bytes;
use serde_json::{Value, json};

use super::limits::WINDOW;

/// More than any client should read: 27 MiB.
const ENDLESS: u64 = 27 << 20;

/// An answer before it is sent.
#[derive(Debug)]
pub(super) struct Reply {
    status: u16,
    media: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, media: "application/json", headers: Vec::new(), body: body.to_string().into() }
    }

    /// An envelope around a result.
    pub(super) fn success(result: &Value) -> Self {
        Self::json(200, &json!({"success": true, "errors": [], "messages": [], "result": result}))
    }

    /// The result of a verification, which has the same code as a refused token.
    pub(super) fn verified(status: &str) -> Self {
        let message = json!({"code": 10_000, "message": "This API Token is valid and active", "type": null});
        let messages = if status == "active" { vec![message] } else { Vec::new() };
        let result = json!({"id": "ed17574386854bf78a67040be0a770b0", "status": status});
        Self::json(200, &json!({"success": true, "errors": [], "messages": messages, "result": result}))
    }

    /// A raw value, of any type.
    pub(super) fn value(value: Bytes, expires: Option<i64>) -> Self {
        let headers = expires.into_iter().map(|expires| ("expiration", expires.to_string())).collect();
        Self { status: 200, media: "application/octet-stream", headers, body: value }
    }

    /// An envelope with errors.
    pub(super) fn refusal(status: u16, errors: &[(u64, &str)]) -> Self {
        let errors: Vec<_> =
            errors.iter().map(|(code, message)| json!({"code": code, "message": message})).collect();
        Self::json(status, &json!({"success": false, "errors": errors, "messages": [], "result": null}))
    }

    /// A web page of Cloudflare's edge.
    pub(super) fn page(status: u16) -> Self {
        let body =
            format!("<!DOCTYPE html><html><head><title>{status}</title></head><body>error</body></html>");
        Self { status, media: "text/html; charset=UTF-8", headers: Vec::new(), body: body.into() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds `Ratelimit` and `Ratelimit-Policy`, which every answer of the API has.
    pub(super) fn with_limits(self, quota: u64, left: u64, full_in: Duration) -> Self {
        self.with("ratelimit", format!("\"default\";r={left};t={}", rounded_up(full_in)))
            .with("ratelimit-policy", format!("\"burst\";q={quota};w={}", WINDOW.as_secs()))
    }

    /// The whole answer.
    pub(super) fn send(self) -> HttpResponse {
        let body = self.body.clone();
        self.head().body(body)
    }

    /// The head, and half of the announced body.
    pub(super) fn send_half(self) -> HttpResponse {
        let body = self.body.clone();
        let half = body.slice(..body.len() / 2);
        self.head().body(Broken {
            size: BodySize::Sized(body.len() as u64),
            left: vec![half],
            then: Then::Flush,
        })
    }

    fn head(self) -> actix_web::HttpResponseBuilder {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut head = HttpResponse::build(status);
        head.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(self.media)));
        head.insert_header((header::CACHE_CONTROL, "no-store"));
        for header in self.headers {
            head.insert_header(header);
        }
        head
    }
}

/// `Retry-After` and similar headers are whole seconds, rounded up.
pub(super) fn rounded_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// Closes the connection before the first byte. An error this early prevents the head from being sent.
pub(super) fn reset() -> HttpResponse {
    HttpResponse::Ok().body(Broken { size: BodySize::Sized(1), left: Vec::new(), then: Then::Break })
}

/// 27 MiB, announced or not.
pub(super) fn endless(announced: bool) -> HttpResponse {
    let chunk = Bytes::from(vec![b'0'; 1 << 20]);
    let left = vec![chunk; 27];
    let size = if announced { BodySize::Sized(ENDLESS) } else { BodySize::Stream };
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/octet-stream")).body(Broken {
        size,
        left,
        then: Then::End,
    })
}

/// What follows the last piece.
enum Then {
    /// Sends the pieces so far, then breaks the connection.
    Flush,
    /// Breaks the connection.
    Break,
    /// The body is complete.
    End,
}

/// A body that may differ from what its head announces.
struct Broken {
    size: BodySize,
    left: Vec<Bytes>,
    then: Then,
}

impl MessageBody for Broken {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if let Some(piece) = self.left.pop() {
            return Poll::Ready(Some(Ok(piece)));
        }
        match self.then {
            Then::Flush => {
                self.then = Then::Break;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Then::Break => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            Then::End => Poll::Ready(None),
        }
    }
}
