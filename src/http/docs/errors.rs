//! The page of all error codes: meaning, example, fix.

use std::fmt::Write;

use serde_json::Value;

use super::openapi::{Example, examples};
use crate::http::reply::{ApiError, Code};

use super::html::{example, followed, page, prose, request_line};

pub(super) fn page_html() -> String {
    let recorded = examples();
    let (mut navigation, mut content) = ("<h2>Codes</h2>\n<ul>\n".to_owned(), String::new());
    content += &prose(
        "Every error is a problem document (RFC 9457) whose `code` is one of these. A code is never renamed. Below \
         `/v1` it also has the `error` object that clients of OpenAI's API read.",
    );
    for (code, meaning) in Code::ALL.iter().zip(Code::MEANINGS) {
        // Writing to a String cannot fail.
        let _ = writeln!(navigation, "<li><a href=\"#{code}\">{code}</a></li>");
        let _ = writeln!(
            content,
            "<section id=\"{code}\">\n<h3><code>{code}</code> {}</h3>",
            code.status().as_u16()
        );
        content += &prose(&format!("{} {}", meaning.trim(), fix_of(*code)));
        content += &shown(*code, recorded.iter().find(|example| example.name == code.as_str()));
        content += "</section>\n";
    }
    navigation += "</ul>\n";
    page("Errors", "/api/docs/errors", &navigation, &content)
}

/// The recorded answer under its request; an unrecorded one, such as a server error, as it would be, under none.
fn shown(code: Code, recorded: Option<&Example>) -> String {
    match recorded {
        Some(recorded) => {
            let request = match (recorded.link(), recorded.line()) {
                (Some(link), _) => followed(link),
                (None, Some(line)) => request_line(&line, recorded.when.as_deref().unwrap_or_default()),
                (None, None) => String::new(),
            };
            example(&request, &recorded.body)
        }
        None => {
            let body = ApiError::new(code, code.title()).body("01a20417-0000-7000-8000-000000000000", false);
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            example("", &body)
        }
    }
}

fn fix_of(code: Code) -> &'static str {
    match code {
        Code::InvalidParameter => {
            "`parameter` names it, `detail` says what was expected. Where `allowed` is given, use one of those; \
             `did_you_mean` is the nearest."
        }
        Code::UnknownParameter => "Use one of `allowed`, or leave it out. Names are case-sensitive.",
        Code::InvalidCursor => {
            "Give `next_cursor` of the page before, unchanged, with the same filters and sort; or begin again without \
             a cursor."
        }
        Code::InvalidPath => "Percent-encode the UTF-8 bytes of an id; its `/` may stay as it is.",
        Code::BadRequest => {
            "`detail` says what is wrong, such as a query that is not UTF-8 or has too many parameters."
        }
        Code::RouteNotFound => "See the reference for all addresses. They have no slash at the end.",
        Code::ModelNotFound => {
            "Ids look like `openai/gpt-5.5`; `/api/models` lists them. `did_you_mean` is the nearest one."
        }
        Code::ProviderNotFound => "`/api/providers` lists them. `did_you_mean` is the nearest one.",
        Code::MethodNotAllowed => {
            "Use a method that the header `allow` names: every route takes GET and HEAD."
        }
        Code::UriTooLong => {
            "Path and query may have 8192 bytes together. Ask for less at once, for instance fewer `ids`."
        }
        Code::PayloadTooLarge => "No route takes a body: leave it out.",
        Code::Unauthorized => {
            "Send the token that the server was given as `METRICS_TOKEN`: `Authorization: Bearer …`. No other route than `/metrics` needs one."
        }
        Code::RateLimited => "Wait as many seconds as the header `retry-after` says, and ask less often.",
        Code::PriceUnknown => {
            "`detail` names the price that is missing. Ask only for what the model is priced by, or see its `pricing`."
        }
        Code::CatalogueUnavailable => "Try again in a few seconds; `/api/health` says what is wrong.",
        Code::TimedOut => "Try again after as many seconds as the header `retry-after` says.",
        Code::InternalError => {
            "Try again; if it lasts, report it with the `request_id`, which finds the cause in the log."
        }
    }
}
