//! Bodies in one coding, and answers with them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, VARY,
};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use xxhash_rust::xxh3::xxh3_128;

use crate::catalogue::CatalogueRead;

use super::coding::{Accepted, Coding};
use super::conditional;
use super::freshness::{Lifetime, cache_status};

/// Bytes of a long body that are copied at a time and held until the client takes them.
const SLICE_BYTES: usize = 256 << 10;
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// A body in one coding, with its tag. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct Representation {
    pub bytes: Bytes,
    pub coding: Coding,
    etag: HeaderValue,
}

impl Representation {
    /// Creates a body. Its tag depends on its bytes only.
    pub fn new(bytes: Vec<u8>, coding: Coding) -> Self {
        let tag = format!("\"{:032x}\"", xxh3_128(&bytes));
        // Digits in quotes are a valid value.
        let etag = HeaderValue::from_maybe_shared(Bytes::from(tag));
        Self { bytes: bytes.into(), coding, etag: etag.unwrap_or_else(|_| HeaderValue::from_static("\"\"")) }
    }

    /// Returns the body in another coding, or itself if that fails.
    pub fn encoded(&self, coding: Coding) -> Self {
        coding.encode(&self.bytes).map_or_else(|| self.clone(), |bytes| Self::new(bytes, coding))
    }

    /// Returns the body as the client accepts it. A short one that must be compressed is rare.
    pub fn accepted(self, accepted: Accepted) -> Self {
        let refused = self.coding == Coding::Identity && !accepted.identity;
        if refused { self.encoded(accepted.coding) } else { self }
    }

    /// Answers a request from this read of the catalogue.
    pub fn answer(self, request: &HttpRequest, read: &CatalogueRead, lifetime: Lifetime) -> HttpResponse {
        let mut response = self.respond(request, "application/json");
        let headers = response.headers_mut();
        headers.append(CACHE_CONTROL, lifetime.cache_control(read));
        headers.append(CACHE_STATUS, cache_status(read.outcome, read.fresh_for));
        response
    }

    /// Answers with the body, or 304. The caller sets the lifetime. Appends headers, because none exists and inserting
    /// costs twice as much.
    pub fn respond(self, request: &HttpRequest, content_type: &'static str) -> HttpResponse {
        let mut response = if conditional::is_held(request.headers(), self.etag.as_bytes()) {
            HttpResponse::new(StatusCode::NOT_MODIFIED)
        } else {
            let mut response = HttpResponse::with_body(StatusCode::OK, BoxBody::new(Slices(self.bytes)));
            let headers = response.headers_mut();
            headers.append(CONTENT_TYPE, HeaderValue::from_static(content_type));
            if let Some(coding) = self.coding.name() {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(coding));
            }
            response
        };
        let headers = response.headers_mut();
        headers.append(ETAG, self.etag);
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding, Origin"));
        response
    }
}

/// A slot for a body that the first caller builds.
pub type Slot = Arc<tokio::sync::OnceCell<Representation>>;

/// Passes a body on in slices, so that for a client that does not read only one slice is copied.
struct Slices(Bytes);

impl MessageBody for Slices {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = self.0.len().min(SLICE_BYTES);
        Poll::Ready((next > 0).then(|| Ok(self.0.split_to(next))))
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        if self.0.len() > SLICE_BYTES { Err(self) } else { Ok(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn a_long_body_comes_whole_in_slices() {
        for length in [0, 1, SLICE_BYTES, SLICE_BYTES + 1, 3 * SLICE_BYTES + 7] {
            let whole: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let mut slices = Slices(whole.clone().into());
            assert_eq!(slices.size(), BodySize::Sized(length as u64));
            assert_eq!(to_bytes(Slices(whole.clone().into())).await.unwrap(), whole);
            let mut longest = 0;
            while let Some(slice) = std::future::poll_fn(|cx| Pin::new(&mut slices).poll_next(cx)).await {
                longest = longest.max(slice.unwrap().len());
            }
            assert_eq!(longest, length.min(SLICE_BYTES));
        }
    }
}
