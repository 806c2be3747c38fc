//! One probe: a GET of a provider's list of models, which costs nothing.

use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, redirect};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::clock::Clock;

use super::address::{PrivateAddress, Resolver, Unresolved};
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
    /// For hosts on this machine, which only the operator can name.
    plain: OnceLock<Option<Client>>,
    /// For other hosts that the operator has named.
    named: OnceLock<Option<Client>>,
    /// For all others. Each client is built when it is needed: reading the system's root certificates takes its time.
    public: OnceLock<Option<Client>>,
}

impl Prober {
    /// Measures by that clock, and gives up by it.
    pub fn new(clock: Clock) -> Self {
        Self { clock, plain: OnceLock::new(), named: OnceLock::new(), public: OnceLock::new() }
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
        let (client, is_encrypted, resolver) = match (target.is_named, target.url.scheme()) {
            (false, _) => (&self.public, true, Resolver::Public),
            (true, "https") => (&self.named, true, Resolver::Any),
            (true, _) => (&self.plain, false, Resolver::Any),
        };
        let client = client.get_or_init(|| client_of(is_encrypted, resolver).ok());
        let client = client.as_ref().ok_or(Reason::Connect)?;
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

fn client_of(is_encrypted: bool, resolver: Resolver) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .user_agent(concat!("chatchonk/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .dns_resolver(resolver)
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
    let mut reasons = causes.filter_map(|cause| match cause {
        cause if cause.is::<Unresolved>() => Some(Reason::Dns),
        cause if cause.is::<PrivateAddress>() => Some(Reason::UntrustedAddress),
        _ => None,
    });
    reasons.next().unwrap_or(Reason::Connect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_not_probed_unless_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let prober = Prober::new(Clock::system());
        let target = |is_named| Target {
            url: format!("https://localhost:{port}/v1/models").parse().unwrap(),
            headers: reqwest::header::HeaderMap::new(),
            is_named,
        };
        let (unnamed, named) = (target(false), target(true));
        assert_eq!(prober.look(&unnamed).await, Look::Failed(Reason::UntrustedAddress));
        let (look, connection) = tokio::join!(prober.look(&named), async {
            // The first connection that comes is that of the second probe. It is closed at once.
            listener.accept().await.map(drop)
        });
        assert_eq!((look, connection.is_ok()), (Look::Failed(Reason::Connect), true));
    }

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
