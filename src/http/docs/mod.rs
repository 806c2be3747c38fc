//! The `OpenAPI` document and the pages built from it, which load only their own style sheet.

mod errors;
mod html;
pub mod openapi;
mod reference;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::openapi::OpenApi;

use crate::http::reply::Coded;

/// Pages change with a release; tags make revalidation cheap.
const LIFETIME: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// No scripts, images, foreign resources or framing.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const STYLE: &str = include_str!("style.css");

#[derive(Debug, Clone, Copy)]
enum Page {
    Document,
    Reference,
    Errors,
    Style,
}

impl Page {
    const COUNT: usize = Self::Style as usize + 1;

    const fn content_type(self) -> &'static str {
        match self {
            Self::Document => "application/json",
            Self::Reference | Self::Errors => "text/html; charset=utf-8",
            Self::Style => "text/css; charset=utf-8",
        }
    }

    fn write(self, document: fn() -> OpenApi) -> String {
        match self {
            Self::Document => openapi::text(&document()).unwrap_or_default(),
            Self::Reference => reference::page_of(&document()),
            Self::Errors => errors::page_html(),
            Self::Style => STYLE.to_owned(),
        }
    }
}

/// The document and its pages in every coding, each built on its first request.
pub struct Pages {
    document: fn() -> OpenApi,
    coded: [Coded; Page::COUNT],
}

impl Pages {
    fn answer(&self, page: Page, request: &HttpRequest) -> HttpResponse {
        let write = || page.write(self.document).into();
        let mut response = self.coded[page as usize].respond(request, page.content_type(), write);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, LIFETIME);
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        response
    }
}

/// `document` builds the `OpenAPI` document.
pub fn configure(document: fn() -> OpenApi) -> impl Fn(&mut web::ServiceConfig) {
    let pages = web::Data::new(Pages { document, coded: <_>::default() });
    move |app| {
        app.app_data(pages.clone());
    }
}

/// Get this document.
///
/// `OpenAPI` 3.1. The same as `chatchonk openapi` prints.
#[utoipa::path(get, path = "", operation_id = "get_document", tag = "Documentation",
    responses((status = 200, description = "The document.", body = Object)))]
pub async fn document(pages: web::Data<Pages>, request: HttpRequest) -> HttpResponse {
    pages.answer(Page::Document, &request)
}

/// Read the reference.
#[utoipa::path(get, path = "", operation_id = "get_reference", tag = "Documentation",
    responses((status = 200, description = "This document as a page.", body = String, content_type = "text/html")))]
pub async fn reference(pages: web::Data<Pages>, request: HttpRequest) -> HttpResponse {
    pages.answer(Page::Reference, &request)
}

/// Read about errors.
///
/// `type` of every error leads here.
#[utoipa::path(get, path = "", operation_id = "get_errors", tag = "Documentation",
    responses((status = 200, description = "Every error code: meaning, example, fix.", body = String,
        content_type = "text/html")))]
pub async fn errors(pages: web::Data<Pages>, request: HttpRequest) -> HttpResponse {
    pages.answer(Page::Errors, &request)
}

/// Get the style sheet of the pages.
#[utoipa::path(get, path = "", operation_id = "get_style", tag = "Documentation",
    responses((status = 200, description = "The style sheet.", body = String, content_type = "text/css")))]
pub async fn style(pages: web::Data<Pages>, request: HttpRequest) -> HttpResponse {
    pages.answer(Page::Style, &request)
}
