//! Headers, 304 and errors that many answers share, added here once.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Components, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Header, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use crate::http::reply::{Code, Problem};

/// Groups of routes that answer from the catalogue.
const CATALOGUE: [&str; 4] = ["Models", "Providers", "Tasks", "OpenAI"];

/// Headers of every answer: name in the document, name on the wire, meaning.
const HEADERS: [(&str, &str, &str); 5] = [
    ("RequestId", "x-request-id", "Names this answer: the client's own id, or a new one."),
    (
        "CacheControl",
        "cache-control",
        "How long the answer may be kept, in seconds; `no-store` on errors and health.",
    ),
    ("ETag", "etag", "A strong tag of these very bytes."),
    ("Vary", "vary", "The request headers that the answer depends on."),
    (
        "CacheStatus",
        "cache-status",
        "How the answer was had (RFC 9211), such as `chatchonk-memory; hit; ttl=42`, the rest of its freshness in seconds.",
    ),
];
/// Further headers of refusals by rate limit (`draft-ietf-httpapi-ratelimit-headers-10`).
const LIMIT_HEADERS: [(&str, &str, &str); 3] = [
    ("RetryAfter", "retry-after", "Whole seconds after which to try again."),
    ("RateLimit", "ratelimit", "What is left of the limit, and the seconds until there is more."),
    ("RateLimitPolicy", "ratelimit-policy", "The limit: requests, and the seconds that they are counted in."),
];
/// Further headers of refusals without a token.
const TOKEN_HEADERS: [(&str, &str, &str); 1] =
    [("WwwAuthenticate", "www-authenticate", "How to show the token: as a bearer.")];
/// Number of [`HEADERS`] on errors and health.
const BRIEF: usize = 2;
/// Number of them on pages.
const PAGES: usize = 4;

/// Properties that an answer may lack, by schema. All others are present, if only as `null`.
const OPTIONAL: [(&str, &str); 7] = [
    ("AutoModelHealth", "hint"),
    ("ModelList", "facets"),
    ("ModelList", "hints"),
    ("Problem", "parameter"),
    ("Problem", "allowed"),
    ("Problem", "did_you_mean"),
    ("Problem", "error"),
];
/// The schema of which `fields` selects properties.
const SELECTABLE: &str = "ListedModel";

/// Completes every operation.
pub(super) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for (name, _, about) in HEADERS.into_iter().chain(LIMIT_HEADERS).chain(TOKEN_HEADERS) {
        let mut header = Header::new(ObjectBuilder::new().schema_type(Type::String));
        header.description = Some(about.to_owned());
        components.headers.insert(name.to_owned(), header.into());
    }
    let token =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("`METRICS_TOKEN` of the server."));
    components.add_security_scheme("metrics_token", SecurityScheme::Http(token.build()));
    for (name, schema) in &mut components.schemas {
        if let RefOr::T(Schema::Object(object)) = schema {
            object.description = object.description.as_deref().map(unbroken);
            let is_optional = |property: &str| OPTIONAL.contains(&(name, property)) || name == SELECTABLE;
            object.required = object.properties.keys().filter(|key| !is_optional(key)).cloned().collect();
        }
    }
    for item in document.paths.paths.values_mut() {
        if let Some(operation) = &mut item.get {
            complete_operation(operation, components);
        }
    }
}

fn complete_operation(operation: &mut Operation, components: &mut Components) {
    // Comments end their first line with a full stop.
    operation.summary = operation.summary.as_deref().map(|text| text.trim_end_matches('.').to_owned());
    operation.description = operation.description.as_deref().map(unbroken);
    let is_of = |group: &str| operation.tags.iter().flatten().any(|tag| tag == group);
    let catalogue = CATALOGUE.iter().any(|tag| is_of(tag));
    let page = is_of("Documentation") || is_of("Status");
    let metrics = is_of("Metrics");
    let headers = match (catalogue, page) {
        (true, _) => &HEADERS[..],
        (_, true) => &HEADERS[..PAGES],
        _ => &HEADERS[..BRIEF],
    };
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.headers = references(headers);
        }
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        parameter.description = parameter.description.as_deref().map(unbroken);
        if parameter.parameter_in == ParameterIn::Query {
            // The library has no field for it.
            parameter.extensions = Some(Extensions::from_iter([("allowEmptyValue", true)]));
        }
    }
    if catalogue || page {
        operation.parameters.get_or_insert_default().push(if_none_match().into());
        let mut response = Response::new("The client holds this very answer, as `if-none-match` says.");
        response.headers = references(headers);
        insert(operation, components, StatusCode::NOT_MODIFIED, response);
    }
    let health = !catalogue && !page && !metrics;
    let mut codes =
        vec![StatusCode::URI_TOO_LONG, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::INTERNAL_SERVER_ERROR];
    codes.extend((!health).then_some(StatusCode::TOO_MANY_REQUESTS));
    codes.extend((!health).then_some(StatusCode::SERVICE_UNAVAILABLE));
    let query = operation.parameters.iter().flatten().any(in_path_or_query);
    let strict = is_strict(operation);
    codes.extend((catalogue && (strict || query)).then_some(StatusCode::BAD_REQUEST));
    let item = operation.parameters.iter().flatten().any(|parameter| is_in(parameter, &ParameterIn::Path));
    codes.extend((item || metrics).then_some(StatusCode::NOT_FOUND));
    codes.extend(metrics.then_some(StatusCode::UNAUTHORIZED));
    codes.extend(is_cost(operation).then_some(StatusCode::UNPROCESSABLE_ENTITY));
    for status in codes {
        insert(operation, components, status, problem(status));
    }
}

/// Joins the lines of a comment, except between paragraphs and list items.
fn unbroken(text: &str) -> String {
    let paragraphs: Vec<_> = text
        .split("\n\n")
        .map(|part| part.replace("\n- ", "\r").replace('\n', " ").replace('\r', "\n- "))
        .collect();
    paragraphs.join("\n\n")
}

/// Whether it refuses unknown parameters.
fn is_strict(operation: &Operation) -> bool {
    operation.tags.iter().flatten().any(|tag| ["Models", "Providers"].contains(&tag.as_str()))
}

fn is_cost(operation: &Operation) -> bool {
    operation.operation_id.as_deref() == Some("get_model_cost")
}

fn is_in(parameter: &RefOr<Parameter>, place: &ParameterIn) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == *place)
}

fn in_path_or_query(parameter: &RefOr<Parameter>) -> bool {
    is_in(parameter, &ParameterIn::Path) || is_in(parameter, &ParameterIn::Query)
}

fn references(headers: &[(&str, &str, &str)]) -> BTreeMap<String, RefOr<Header>> {
    let reference = |name| RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
    headers.iter().map(|(name, wire, _)| ((*wire).to_owned(), reference(name))).collect()
}

fn if_none_match() -> Parameter {
    ParameterBuilder::new()
        .name("if-none-match")
        .parameter_in(ParameterIn::Header)
        .description(Some("Tags of the answers that the client holds: a list, or `*`."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

/// Refers to the shared response of a status.
fn insert(operation: &mut Operation, components: &mut Components, status: StatusCode, response: Response) {
    let name = status.canonical_reason().unwrap_or_default().replace(' ', "");
    let reference = Ref::from_response_name(&name);
    components.responses.insert(name, response.into());
    operation.responses.responses.insert(status.as_u16().to_string(), reference.into());
}

fn problem(status: StatusCode) -> Response {
    let codes = Code::ALL.iter().filter(|code| code.status() == status);
    let rows: Vec<_> = codes.map(|code| format!("`{code}`: {}.", code.title())).collect();
    let mut response = ResponseBuilder::new()
        .description(rows.join(" "))
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build(),
        )
        .build();
    response.headers = references(&HEADERS[..BRIEF]);
    match status {
        StatusCode::TOO_MANY_REQUESTS => response.headers.extend(references(&LIMIT_HEADERS)),
        StatusCode::SERVICE_UNAVAILABLE => response.headers.extend(references(&LIMIT_HEADERS[..1])),
        StatusCode::UNAUTHORIZED => response.headers.extend(references(&TOKEN_HEADERS)),
        _ => {}
    }
    response
}
