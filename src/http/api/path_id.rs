//! The id in a path.

use std::future::{Ready, ready};
use std::ops::Range;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use percent_encoding::percent_decode_str;

use crate::http::reply::{ApiError, Code, Route};

/// How the `OpenAPI` document describes the id of a model in a path.
pub const MODEL_ID: &str = "The id of the model, such as `openai/gpt-5.5`. Its `/` may stand as it is or be \
    percent-encoded.";

/// The id in the path of a request, decoded once: where the template of its route has `{id}`.
///
/// A `/` of the id may be percent-encoded. One that belongs to the template may not: `%2Fcost` is the end of an id.
pub struct PathId {
    path: String,
    id: Range<usize>,
}

impl PathId {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.path[self.id.clone()]
    }

    /// The id together with what follows it in the template, such as `/cost`.
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
        // Not the router's own parameters: they leave `%2F` as it is, and replace bytes that are not UTF-8.
        let path = percent_decode_str(request.uri().path()).decode_utf8().map_err(|_| {
            ApiError::new(
                Code::InvalidPath,
                "percent-encode the UTF-8 bytes of the id, `/` may stay as it is",
            )
        });
        ready(path.map(|path| {
            let start = if path.starts_with(before) { before.len() } else { 0 };
            let id = path[start..].strip_suffix(after).unwrap_or(&path[start..]);
            let id = start..start + id.len();
            Self { path: path.into_owned(), id }
        }))
    }
}
