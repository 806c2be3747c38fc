//! The API's document (`OpenAPI` 3.1), made of the annotations beside the handlers and the types of the answers.

mod answers;
mod examples;

use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

pub use examples::{Example, examples};

use crate::domain::order::Sort;

use crate::http::api::models::view::Field;
use crate::http::api::{automodel, models, providers, status, tasks};
use crate::http::page::PageFile;
use crate::http::reply::Problem;
use crate::http::{docs, health, metrics, openai, page};

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
    paths(
        models::list, models::item, models::answer_with_cost,
        providers::list, providers::item, providers::models,
        tasks::list,
        openai::list, openai::item,
        status::status,
        health::health, health::live, health::ready, automodel::health, automodel::modelswapper,
        metrics::for_bearers, page::page, page::file,
        docs::document, docs::reference, docs::errors, docs::style,
    ),
    components(schemas(Problem, Field, PageFile, Sort)),
)]
struct Annotations;

/// The document, the same for every server of this release.
pub fn document() -> OpenApi {
    let mut document = Annotations::openapi();
    answers::complete(&mut document);
    examples::add(&mut document);
    document
}

/// The document as it is published: indented JSON with a final line feed.
///
/// # Errors
/// None that can come about: it holds nothing that cannot be written.
pub fn document_text() -> serde_json::Result<String> {
    Ok(document().to_pretty_json()? + "\n")
}
