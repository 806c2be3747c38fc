//! Request bodies. No route takes one. Small ones are skipped, because some clients always send one.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use actix_web::web::Bytes;
use futures_core::Stream;

use crate::clock::Clock;

use crate::http::reply::{ApiError, Code};

/// Largest body that is skipped.
const MAX_BYTES: u64 = 64 * 1024;
/// Time limit for a body without a length.
const LIMIT: Duration = Duration::from_secs(5);

/// Refuses a request whose body is too long or, without a length, too slow.
pub async fn read_past(request: &mut ServiceRequest, clock: &Clock) -> Result<(), ApiError> {
    let headers = request.headers();
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BYTES) {
        return Err(too_large());
    }
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let mut payload = request.take_payload();
    if let Ok(true) = clock.timeout(LIMIT, ends_in_time(&mut payload)).await {
        return Ok(());
    }
    request.extensions_mut().insert(Unread(payload));
    Err(too_large())
}

/// Whether the payload ends within the limits. A broken payload has ended, and so has its connection.
async fn ends_in_time(payload: &mut Payload) -> bool {
    let mut bytes = 0;
    while let Some(Ok(chunk)) = std::future::poll_fn(|cx| Pin::new(&mut *payload).poll_next(cx)).await {
        bytes += chunk.len() as u64;
        if bytes > MAX_BYTES {
            return false;
        }
    }
    true
}

fn too_large() -> ApiError {
    ApiError::new(Code::PayloadTooLarge, "no route takes a body; leave it out")
        .with(CONNECTION, HeaderValue::from_static("close"))
}

/// The rest of a refused body.
///
/// While it exists, actix closes the connection after the answer. Without it, actix would read the whole body.
struct Unread(#[expect(dead_code, reason = "it is held, not read")] Payload);

/// Returns the answer together with the rest of the request's body.
pub fn holding_unread(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let unread = response.request().extensions_mut().remove::<Unread>();
    match unread {
        None => response,
        Some(unread) => response.map_body(|_, body| BoxBody::new(Holding { body, _unread: unread })),
    }
}

struct Holding {
    body: BoxBody,
    _unread: Unread,
}

impl MessageBody for Holding {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}
