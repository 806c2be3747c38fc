//! A running server, read over its public health routes.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::outgoing;

/// Time limit for a whole answer.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes; health takes a few kilobytes.
const MAX_ANSWER: usize = 1 << 20;
/// The service that health names.
const SERVICE: &str = "chatchonk-api";
const NOT_AN_ADDRESS: &str = "--url: expected the address of a running server, such as https://api.example.com or \
                              http://127.0.0.1:8080, without user, query or fragment";

/// A running server. Errors name only host and port: the address may hold a secret.
pub(super) struct RunningServer {
    http: Client,
    base: Url,
    place: String,
}

/// The answer of `/api/health`. Fields that another release does not have are `null`.
pub(super) struct Health {
    /// The whole answer, without control characters.
    pub json: Value,
    /// The object `cache` as the server sent it.
    pub cache: Option<Box<RawValue>>,
}

impl RunningServer {
    /// Sends no request yet.
    pub(super) fn at(address: &str) -> anyhow::Result<Self> {
        let base = Url::parse(address.trim()).ok().filter(outgoing::is_bare).context(NOT_AN_ADDRESS)?;
        let is_encrypted = match base.scheme() {
            "https" => true,
            "http" => false,
            _ => bail!(NOT_AN_ADDRESS),
        };
        let place = base.origin().ascii_serialization();
        let client = outgoing::client(is_encrypted).timeout(LIMIT).build();
        let http = client.map_err(|error| tls_failure(&place, &outgoing::innermost_cause(&error)))?;
        Ok(Self { http, base, place })
    }

    /// Requests `/api/health`, with any status: an unhealthy server says what is wrong.
    pub(super) async fn health(&self) -> anyhow::Result<Health> {
        #[derive(Deserialize)]
        struct Raw {
            cache: Option<Box<RawValue>>,
        }
        let (body, found) = self.get("/api/health").await?;
        let json = serde_json::from_slice(&body).map(printable).unwrap_or_default();
        if json["service"] != SERVICE {
            return Err(self.not_ours(&found));
        }
        let cache = serde_json::from_slice(&body).ok().and_then(|raw: Raw| raw.cache);
        Ok(Health { json, cache })
    }

    /// Returns the status of `/api/health/ready`.
    pub(super) async fn readiness(&self) -> anyhow::Result<String> {
        let (body, found) = self.get("/api/health/ready").await?;
        let json = serde_json::from_slice(&body).map(printable).unwrap_or_default();
        json["status"].as_str().map(str::to_owned).ok_or_else(|| self.not_ours(&found))
    }

    /// Returns the body, empty if it is too long, and a description of the answer for errors.
    async fn get(&self, path: &str) -> anyhow::Result<(Vec<u8>, String)> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let mut response = self.http.get(url).send().await.map_err(|error| self.unreadable(&error))?;
        let status = response.status();
        if status.is_redirection() {
            bail!(
                "{} redirects (status {}); give the address that it redirects to, often https:// instead of http://",
                self.place,
                status.as_u16()
            );
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let found = format!("status {}, {}", status.as_u16(), kind.unwrap_or("no content type"));
        let body = outgoing::read(&mut response, MAX_ANSWER).await;
        Ok((body.map_err(|error| self.unreadable(&error))?.unwrap_or_default(), found))
    }

    fn not_ours(&self, found: &str) -> anyhow::Error {
        let place = &self.place;
        anyhow!(
            "{place} does not answer as ChatChonk does ({found}); give the address of ChatChonk's own server"
        )
    }

    fn unreadable(&self, error: &reqwest::Error) -> anyhow::Error {
        let (place, detail) = (&self.place, outgoing::innermost_cause(error));
        if error.is_timeout() {
            anyhow!("{place} did not answer within 5 s; try again, and look into the server's log")
        } else if self.base.scheme() == "https" && is_tls(error) {
            tls_failure(place, &detail)
        } else {
            anyhow!("{place} cannot be reached ({detail}); check host and port, and that the server runs")
        }
    }
}

fn tls_failure(place: &str, detail: &str) -> anyhow::Error {
    anyhow!(
        "TLS with {place} failed ({detail}); check the server's certificate and this machine's root certificates, and \
         whether the address should begin with http://"
    )
}

fn is_tls(error: &reqwest::Error) -> bool {
    outgoing::causes(error).any(|cause| cause.downcast_ref().is_some_and(is_tls_io))
}

/// rustls reports a refused handshake as invalid data, and one that broke off as an unexpected end. Another I/O error may
/// wrap them without naming them as its source.
fn is_tls_io(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        || error.get_ref().and_then(|inner| inner.downcast_ref()).is_some_and(is_tls_io)
}

/// Removes control characters, which could move the cursor of a terminal.
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
