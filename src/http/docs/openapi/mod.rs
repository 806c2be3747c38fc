//! The `OpenAPI` 3.1 document, built from annotations of handlers and types of answers.

mod answers;
mod examples;

use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

pub use examples::{Example, examples};

use crate::domain::order::Sort;
use crate::http::api::models::Field;
use crate::http::page::PageFile;
use crate::http::reply::Problem;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "ChatChonk API",
        description = "Which AI models exist, who serves them, what they can do, what they cost and whether they are \
            up.\n\nAll answers are JSON in UTF-8. Every GET also answers HEAD, with the same headers and no body; other \
            methods are 405. Times are RFC 3339 in UTC. Prices are decimal strings in USD, per 1,000,000 tokens or per \
            query; `null` is unknown and `\"0\"` is free. A parameter without a value counts as absent, and `name[]` \
            is `name`. An unknown parameter or value is an error that names what was probably meant. Errors are problem \
            documents (RFC 9457); `/api/docs/errors` explains every code. An `x-request-id` of up to 64 letters, digits \
            and `-_.:` is taken over.",
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "/", description = "The server that this document comes from")),
    tags(
        (name = "Models", description = "Models and what they cost"),
        (name = "Providers", description = "Who serves them"),
        (name = "Tasks", description = "What they are asked to do"),
        (name = "OpenAI", description = "The same models for clients that know nothing but OpenAI's API"),
        (name = "Status", description = "What the server remembers: the last hour, and the last changes"),
        (name = "Health", description = "How the server and the providers are"),
        (name = "Metrics", description = "What the server counts, for those who run it"),
        (name = "Documentation", description = "This document, and pages made of it"),
    ),
    components(schemas(Problem, Field, PageFile, Sort)),
)]
struct Frame;

/// Builds the document of these operations and their paths.
pub fn document(operations: impl IntoIterator<Item = (&'static str, OpenApi)>) -> OpenApi {
    let mut document = operations
        .into_iter()
        .fold(Frame::openapi(), |document, (path, operation)| document.nest(path, operation));
    answers::complete(&mut document);
    examples::add(&mut document);
    document
}

/// Returns the document as published: indented JSON with a final line feed.
///
/// # Errors
/// None in practice: every part serializes.
pub fn text(document: &OpenApi) -> serde_json::Result<String> {
    Ok(document.to_pretty_json()? + "\n")
}
