//! The route table: the source of registration, labels of metrics and spans, `OpenAPI` paths and rate limit exemptions.

use actix_web::guard;
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, web};
use utoipa::openapi::OpenApi;

use crate::clock::Clock;

use super::edge::Limited;
use super::reply::{ApiError, Route};
use super::{api, docs, health, metrics, openai, page};

/// A route for GET and HEAD.
struct Entry {
    /// Path, and label of metrics and spans.
    template: &'static str,
    handle: fn(Resource, &Clock) -> Resource,
    operation: fn() -> OpenApi,
    /// Whether its `{id}` may contain slashes.
    has_slashes: bool,
    /// Whether the rate limit exempts it.
    is_exempt: bool,
    /// Whether it exists only with a token.
    needs_token: bool,
}

/// Creates an entry. Its handler's annotation has `path = ""`, because the table has the path.
macro_rules! route {
    ($template:literal, $($handler:ident)::+) => {
        Entry {
            template: $template,
            handle: |resource, clock| limited(resource, $($handler)::+, clock),
            operation: || {
                #[derive(utoipa::OpenApi)]
                #[openapi(paths($($handler)::+))]
                struct Operation;
                <Operation as utoipa::OpenApi>::openapi()
            },
            has_slashes: false,
            is_exempt: false,
            needs_token: false,
        }
    };
}

impl Entry {
    const fn with_slashes(self) -> Self {
        Self { has_slashes: true, ..self }
    }

    /// For probes of platform and operator: the rate limit never refuses them.
    const fn exempt(self) -> Self {
        Self { is_exempt: true, ..self }
    }

    const fn with_token(self) -> Self {
        Self { needs_token: true, ..self }
    }
}

/// In the router's order: `/cost` before the id that would contain it, and probes, which need no layer, before both.
static ROUTES: [Entry; 22] = [
    route!("/api/models", api::models::list),
    route!("/api/health", health::health).exempt(),
    route!("/api/health/live", health::live).exempt(),
    route!("/api/health/ready", health::ready).exempt(),
    route!("/api/automodel/health", api::automodel::health).exempt(),
    route!("/api/modelswapper/health", api::automodel::modelswapper).exempt(),
    route!("/api/models/{id}/cost", api::cost::show).with_slashes(),
    route!("/api/models/{id}", api::models::show).with_slashes(),
    route!("/api/status", api::status::status),
    route!("/api/providers", api::providers::list),
    route!("/api/providers/{id}", api::providers::item),
    route!("/api/providers/{id}/models", api::providers::models),
    route!("/api/tasks", api::tasks::list),
    route!("/v1/models", openai::list),
    route!("/v1/models/{id}", openai::item).with_slashes(),
    route!("/api/openapi.json", docs::document),
    route!("/api/docs", docs::reference),
    route!("/api/docs/errors", docs::errors),
    route!("/api/docs/style.css", docs::style),
    route!("/", page::page),
    route!("/page/{file}", page::file),
    route!("/metrics", metrics::for_bearers).with_token(),
];

/// Registers all routes. `has_token`: whether a token is set.
pub fn configure(app: &mut web::ServiceConfig, has_token: bool, clock: &Clock) {
    for route in ROUTES.iter().filter(|route| has_token || !route.needs_token) {
        let path = if route.has_slashes {
            route.template.replace("{id}", "{id:.+}")
        } else {
            route.template.to_owned()
        };
        let resource = web::resource(path).name(route.template).app_data(Route(route.template));
        app.service((route.handle)(resource, clock));
    }
    app.default_service(web::to(async || Err::<HttpResponse, _>(ApiError::no_route())));
}

/// Answers GET and HEAD by the handler, within the time limit, and other methods by 405 with `Allow`.
fn limited<F, Args>(resource: Resource, handler: F, clock: &Clock) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let handler = Limited { handler, clock: clock.clone() };
    resource
        .route(web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(handler))
        .default_service(web::to(async || Err::<HttpResponse, _>(ApiError::method("GET, HEAD"))))
}

/// Whether the rate limit exempts the path.
pub fn is_exempt(path: &str) -> bool {
    ROUTES.iter().any(|route| route.is_exempt && route.template == path)
}

/// Returns the `OpenAPI` document of this release.
pub fn document() -> OpenApi {
    docs::openapi::document(ROUTES.iter().map(|route| (route.template, (route.operation)())))
}

/// Returns the `OpenAPI` document as published: indented JSON with a final line feed.
///
/// # Errors
/// None in practice: every part serializes.
pub fn document_text() -> serde_json::Result<String> {
    docs::openapi::text(&document())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openapi_document_lists_exactly_the_route_table() {
        let document = document();
        let documented: Vec<_> = document.paths.paths.keys().map(String::as_str).collect();
        assert_eq!(documented, ROUTES.iter().map(|route| route.template).collect::<Vec<_>>());
    }
}
