//! The status page at `/`: static files that read this server's public routes.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::closed::closed_enum;
use crate::http::reply::{ApiError, Coded, Reply};

/// Browsers revalidate each file, because all must be of one release. Tags make that cheap.
const LIFETIME: HeaderValue = HeaderValue::from_static("no-cache");
/// Only resources of this server, and no framing.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);
const PAGE: &str = include_str!("index.html");

closed_enum!(
    /// Files of the status page.
    PageFile {
        /// Styles.
        Style = "style.css",
        /// Icon.
        Icon = "icon.svg",
        /// Entry point.
        Main = "main.js",
        /// Requests and their age.
        Poll = "poll.js",
        /// Formatting and elements.
        Show = "show.js",
        /// Health.
        Health = "health.js",
        /// The last hour.
        History = "history.js",
        /// The models.
        Models = "models.js",
        /// Comparison of models.
        Compare = "compare.js",
    }
);

impl PageFile {
    const fn text(self) -> &'static str {
        match self {
            Self::Style => include_str!("style.css"),
            Self::Icon => include_str!("icon.svg"),
            Self::Main => include_str!("main.js"),
            Self::Poll => include_str!("poll.js"),
            Self::Show => include_str!("show.js"),
            Self::Health => include_str!("health.js"),
            Self::History => include_str!("history.js"),
            Self::Models => include_str!("models.js"),
            Self::Compare => include_str!("compare.js"),
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Style => "text/css; charset=utf-8",
            Self::Icon => "image/svg+xml",
            _ => "text/javascript; charset=utf-8",
        }
    }
}

/// The files in every coding.
#[derive(Default)]
pub struct StatusPage {
    page: Coded,
    files: [Coded; PageFile::ALL.len()],
}

pub fn configure() -> impl Fn(&mut web::ServiceConfig) {
    let page = web::Data::new(StatusPage::default());
    move |app| {
        app.app_data(page.clone());
    }
}

fn with_policy(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, LIFETIME);
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// See how the server is.
///
/// The status page, with a browser of the models. It reads this server's public routes. Parameters are ignored.
#[utoipa::path(get, path = "", operation_id = "get_status_page", tag = "Documentation",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")))]
pub async fn page(page: web::Data<StatusPage>, request: HttpRequest) -> HttpResponse {
    with_policy(page.page.respond(&request, "text/html; charset=utf-8", || PAGE.into()))
}

/// Get a file of the status page.
#[utoipa::path(get, path = "", operation_id = "get_status_page_file", tag = "Documentation",
    params(("file" = PageFile, Path, description = "Its name.")),
    responses((status = 200, description = "The file.", content(
        (String = "text/css"), (String = "text/javascript"), (String = "image/svg+xml")))))]
pub async fn file(page: web::Data<StatusPage>, request: HttpRequest) -> Reply {
    let file: PageFile = request.match_info().query("file").parse().map_err(|_| ApiError::no_route())?;
    let write = || file.text().into();
    Ok(with_policy(page.files[file as usize].respond(&request, file.content_type(), write)))
}
