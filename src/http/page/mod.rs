//! The status page at `/`: plain files that read only this server's public routes.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::closed::closed_enum;
use crate::http::reply::{ApiError, Coded, Reply};

/// All files of the page must be of one release, so browsers revalidate each; a tag makes that cheap.
const LIFETIME: HeaderValue = HeaderValue::from_static("no-cache");
/// Scripts, styles, pictures and data from this server only, and no framing.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);
const PAGE: &str = include_str!("index.html");

closed_enum!(
    /// What the status page is made of besides itself.
    PageFile {
        /// How it looks.
        Style = "style.css",
        /// Its picture in a tab.
        Icon = "icon.svg",
        /// Where it begins.
        Main = "main.js",
        /// Asks this server, and knows how old an answer is.
        Poll = "poll.js",
        /// Figures, times and elements.
        Show = "show.js",
        /// How the server is.
        Health = "health.js",
        /// The last hour.
        History = "history.js",
        /// The models.
        Models = "models.js",
        /// Models side by side.
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

/// The page and its files in every coding. Begins empty.
#[derive(Default)]
pub struct StatusPage {
    page: Coded,
    files: [Coded; PageFile::ALL.len()],
}

/// Hands the handlers their data.
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
