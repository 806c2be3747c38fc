//! CORS: which pages may read answers.

use actix_cors::Cors;
use actix_web::http::header::{self, HeaderName};

use super::layers::REQUEST_ID;

/// Allows exact origins. Answers to other origins carry no permission, so browsers reject them.
pub fn cors(origins: &[String]) -> Cors {
    let exposed = ["etag", "cache-status", "x-request-id", "retry-after", "ratelimit", "ratelimit-policy"];
    let exposed = exposed.map(HeaderName::from_static);
    let cors = Cors::default()
        .allowed_methods(["GET", "HEAD", "OPTIONS"])
        .allowed_headers([header::ACCEPT, header::CONTENT_TYPE, header::IF_NONE_MATCH, REQUEST_ID])
        .expose_headers(exposed)
        .max_age(3_600)
        // The answers set it themselves, without a copy.
        .disable_vary_header();
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}
