//! One probe: a GET of a provider's list of models, which costs nothing.

use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, StatusCode, redirect};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::clock::Clock;

use super::standing::{Look, Reason};
use super::target::Target;

/// Until TCP and TLS stand.
const CONNECT: Duration = Duration::from_secs(3);
/// A whole probe.
const WHOLE: Duration = Duration::from_secs(8);
/// The longest list that is read. The longest known has half a megabyte, and a round may read twelve at the same time.
const MAX_LIST: usize = 2 << 20;

/// Asks providers. No redirect is followed and no proxy variable obeyed: what the settings do not name must not change
/// where a key is sent.
pub(super) struct Prober {
    clock: Clock,
    plain: OnceLock<Option<Client>>,
    /// Made when it is needed: reading the system's root certificates takes its time.
    encrypted: OnceLock<Option<Client>>,
}

impl Prober {
    /// Measures by that clock, and gives up by it.
    pub fn new(clock: Clock) -> Self {
        Self { clock, plain: OnceLock::new(), encrypted: OnceLock::new() }
    }

    /// Asks once. At most 8 s. What comes back is looked at and dropped.
    pub async fn look(&self, target: &Target) -> Look {
        let begun = self.clock.now();
        match self.clock.timeout(WHOLE, self.ask(target)).await {
            Ok(Ok(())) => Look::Answered(self.clock.now().saturating_duration_since(begun)),
            Ok(Err(reason)) => Look::Failed(reason),
            Err(_) => Look::Failed(Reason::Timeout),
        }
    }

    async fn ask(&self, target: &Target) -> Result<(), Reason> {
        let is_encrypted = target.url.scheme() == "https";
        let client = if is_encrypted { &self.encrypted } else { &self.plain };
        let client = client.get_or_init(|| client_of(is_encrypted).ok()).as_ref().ok_or(Reason::Connect)?;
        let request = client.get(target.url.clone()).headers(target.headers.clone());
        let response = request.send().await.map_err(|error| unanswered(&error))?;
        match response.status() {
            StatusCode::OK => {
                let body = read(response).await?;
                if is_list(&body) { Ok(()) } else { Err(Reason::BadBody) }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Reason::Unauthorized),
            StatusCode::TOO_MANY_REQUESTS => Err(Reason::RateLimited),
            // Google and xAI answer so to a wrong key, and say it in words.
            StatusCode::BAD_REQUEST if names_the_key(&read(response).await?) => Err(Reason::Unauthorized),
            status if status.is_server_error() => Err(Reason::Http5xx),
            _ => Err(Reason::UnexpectedStatus),
        }
    }
}

fn client_of(is_encrypted: bool) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .user_agent(concat!("chatchonk/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .dns_resolver(Resolver)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        // The next probe is minutes away.
        .pool_max_idle_per_host(0)
        .no_proxy();
    if is_encrypted { builder.https_only(true).build() } else { builder.tls_certs_only([]).build() }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Reason> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Reason::BadBody)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_LIST {
            return Err(Reason::BadBody);
        }
    }
    Ok(body)
}

/// Whether it has the shape in which providers list their models: `data` or, at Google and Cohere, `models`; or a bare
/// list.
fn is_list(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Listed {
        data: Option<Vec<IgnoredAny>>,
        models: Option<Vec<IgnoredAny>>,
    }
    let listed = serde_json::from_slice::<Listed>(body);
    listed.is_ok_and(|listed| listed.data.or(listed.models).is_some())
        || serde_json::from_slice::<Vec<IgnoredAny>>(body).is_ok()
}

fn names_the_key(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    text.contains("api key") || text.contains("api_key")
}

/// Why no answer came.
fn unanswered(error: &reqwest::Error) -> Reason {
    if error.is_timeout() {
        return Reason::Timeout;
    }
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let mut causes = causes.filter(|cause| cause.is::<Unresolved>());
    if causes.next().is_some() { Reason::Dns } else { Reason::Connect }
}

/// The system's resolver, whose failures can be told from those to connect.
struct Resolver;

#[derive(Debug, thiserror::Error)]
#[error("the name leads to no address")]
struct Unresolved(#[source] std::io::Error);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port of the URL takes the place of this one.
            let found = tokio::net::lookup_host((name.as_str().to_owned(), 0)).await.map_err(Unresolved)?;
            Ok(Box::new(found) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_models_is_told_from_anything_else() {
        for body in [
            r#"{"object":"list","data":[]}"#,
            r#"{"models":[{"name":"a"}]}"#,
            r#"[{"id":"a"}]"#,
            r#"{"data":[],"models":[]}"#,
        ] {
            assert!(is_list(body.as_bytes()), "{body}");
        }
        for body in ["", "<html>", "{}", r#"{"error":"x"}"#, r#"{"data":{}}"#, r#"{"data":[1"#, "null", "7"] {
            assert!(!is_list(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn a_refused_key_is_told_from_another_bad_request() {
        assert!(names_the_key(br#"{"error":{"message":"API key not valid.","reason":"API_KEY_INVALID"}}"#));
        assert!(names_the_key(br#"{"error":"Incorrect API key provided: k***y."}"#));
        assert!(!names_the_key(br#"{"error":"unknown parameter"}"#));
    }
}
