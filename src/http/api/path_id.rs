//! The id in a path.

use std::future::{Ready, ready};
use std::ops::Range;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use percent_encoding::percent_decode_str;

use crate::http::reply::{ApiError, Code, Route};

/// The `OpenAPI` description of a model id in a path.
pub const MODEL_ID: &str = "The id of the model, such as `openai/gpt-5.5`. Its `/` may stand as it is or be \
    percent-encoded.";

/// The decoded text at `{id}` of the route's template.
///
/// A `/` inside the id may be percent-encoded, unlike one of the template: `%2Fcost` belongs to the id.
pub struct PathId {
    path: String,
    id: Range<usize>,
}

impl PathId {
    pub fn as_str(&self) -> &str {
        &self.path[self.id.clone()]
    }

    /// Returns the id and the rest of the path, such as `/cost`.
    pub fn with_suffix(&self) -> &str {
        &self.path[self.id.start..]
    }
}

impl FromRequest for PathId {
    type Error = ApiError;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let template = Route::of(request).map_or("", |Route(template)| template);
        let (before, after) = template.split_once("{id}").unwrap_or_default();
        // The router's own parameters keep `%2F` encoded and replace bytes that are not UTF-8.
        let detail = "percent-encode the UTF-8 bytes of the id, `/` may stay as it is";
        let path = percent_decode_str(request.uri().path()).decode_utf8();
        let path = path.map_err(|_| ApiError::new(Code::InvalidPath, detail));
        ready(path.map(|path| {
            let start = if path.starts_with(before) { before.len() } else { 0 };
            let id = path[start..].strip_suffix(after).unwrap_or(&path[start..]);
            let id = start..start + id.len();
            Self { path: path.into_owned(), id }
        }))
    }
}
