//! A running server, read over its public health routes.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, Url, redirect};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// How long an answer may take in all.
const LIMIT: Duration = Duration::from_secs(5);
/// The most that is read of an answer; health takes a few kilobytes.
const MAX_ANSWER: usize = 1 << 20;
/// What health calls itself.
const SERVICE: &str = "chatchonk-api";

/// Why a running server could not be read, with the way out. Names host and port alone: an address may hold more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(
        "--url: expected the address of a running server, such as https://api.example.com or http://127.0.0.1:8080, \
         without user, query or fragment"
    )]
    NotAnAddress,
    #[error("{place} cannot be reached ({detail}); check host and port, and that the server runs")]
    Unreachable { place: String, detail: String },
    #[error(
        "TLS with {place} failed ({detail}); check the server's certificate and this machine's root certificates, and \
         whether the address should begin with http://"
    )]
    Tls { place: String, detail: String },
    #[error("{place} did not answer within 5 s; try again, and look into the server's log")]
    TimedOut { place: String },
    #[error(
        "{place} sends elsewhere (status {status}); give the address that it sends to, often https:// in place of http://"
    )]
    Redirects { place: String, status: u16 },
    #[error(
        "{place} does not answer as ChatChonk does ({found}); give the address of ChatChonk's own server"
    )]
    NotOurs { place: String, found: String },
}

/// A running server. Nothing is sent but GETs without any credentials; no redirect is followed and no proxy used.
pub(super) struct RunningServer {
    http: Client,
    base: Url,
}

/// What `/api/health` told. Fields that another release does not have are `null`.
pub(super) struct Health {
    /// The whole, without control characters.
    pub json: Value,
    /// The object `cache` as it came.
    pub cache: Option<Box<RawValue>>,
}

impl RunningServer {
    /// Makes no call.
    pub(super) fn at(address: &str) -> Result<Self, Unreadable> {
        let base = Url::parse(address.trim()).map_err(|_| Unreadable::NotAnAddress)?;
        let is_bare = base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        let builder = Client::builder()
            .user_agent(concat!("chatchonk/", env!("CARGO_PKG_VERSION")))
            .timeout(LIMIT)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy();
        let builder = match base.scheme() {
            "https" if is_bare => builder,
            // Needs no certificates, so it must not fail without any.
            "http" if is_bare => builder.tls_certs_only([]),
            _ => return Err(Unreadable::NotAnAddress),
        };
        let place = place(&base);
        let http = builder.build().map_err(|error| Unreadable::Tls { place, detail: innermost(&error) })?;
        Ok(Self { http, base })
    }

    /// What `/api/health` tells, whatever its status: an unhealthy server tells why.
    pub(super) async fn health(&self) -> Result<Health, Unreadable> {
        #[derive(Deserialize)]
        struct Raw {
            cache: Option<Box<RawValue>>,
        }
        let (body, found) = self.get("/api/health").await?;
        let json = serde_json::from_slice(&body).map(printable).unwrap_or_default();
        if json["service"] != SERVICE {
            return Err(Unreadable::NotOurs { place: place(&self.base), found });
        }
        let cache = serde_json::from_slice(&body).ok().and_then(|raw: Raw| raw.cache);
        Ok(Health { json, cache })
    }

    /// The word of `/api/health/ready`; `ready` when all is well.
    pub(super) async fn readiness(&self) -> Result<String, Unreadable> {
        let (body, found) = self.get("/api/health/ready").await?;
        let json = serde_json::from_slice(&body).map(printable).unwrap_or_default();
        let word = json["status"].as_str().map(str::to_owned);
        word.ok_or_else(|| Unreadable::NotOurs { place: place(&self.base), found })
    }

    /// The body, and what to say of an answer whose body makes no sense.
    async fn get(&self, path: &str) -> Result<(Vec<u8>, String), Unreadable> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let response = self.http.get(url).send().await.map_err(|error| self.unreadable(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(Unreadable::Redirects { place: place(&self.base), status: status.as_u16() });
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let found = format!("status {}, {}", status.as_u16(), kind.unwrap_or("no content type"));
        Ok((self.read(response).await?, found))
    }

    /// Of what is longer than any answer of ours only the beginning, which makes no sense then.
    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Unreadable> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreadable(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                break;
            }
        }
        Ok(body)
    }

    fn unreadable(&self, error: &reqwest::Error) -> Unreadable {
        let (place, detail) = (place(&self.base), innermost(error));
        if error.is_timeout() {
            Unreadable::TimedOut { place }
        } else if self.base.scheme() == "https" && is_tls(error) {
            Unreadable::Tls { place, detail }
        } else {
            Unreadable::Unreachable { place, detail }
        }
    }
}

fn place(base: &Url) -> String {
    base.origin().ascii_serialization()
}

fn is_tls(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref().is_some_and(is_tls_io))
}

/// rustls reports a refused handshake as invalid data, and one that breaks off as an unexpected end. An error within an
/// error is none of the outer one's sources.
fn is_tls_io(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        || error.get_ref().and_then(|inner| inner.downcast_ref()).is_some_and(is_tls_io)
}

/// The outer causes repeat the address.
fn innermost(error: &reqwest::Error) -> String {
    causes(error)
        .last()
        .map_or_else(|| "no cause given".to_owned(), |cause| cause.to_string().chars().take(200).collect())
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Without what could move the cursor of a terminal: it comes from elsewhere.
fn printable(value: Value) -> Value {
    let clean = |text: String| text.chars().filter(|c| !c.is_control()).collect::<String>();
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(values) => values.into_iter().map(printable).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (clean(name), printable(value))).collect()
        }
        other => other,
    }
}
