//! One probe: a GET of a provider's model list, which costs nothing.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::clock::Clock;
use crate::outgoing;

use super::address::{PrivateAddress, Resolver, Unresolved};
use super::reason::Reason;
use super::standing::Look;
use super::target::Target;

/// Time limit for TCP and TLS.
const CONNECT: Duration = Duration::from_secs(3);
/// Time limit for a whole probe.
const WHOLE: Duration = Duration::from_secs(8);
/// The longest list that is read, in bytes. The longest known one has half a megabyte, and a round may read twelve.
const MAX_LIST: usize = 2 << 20;

/// Sends the probes. Each client is built on first use, because reading root certificates takes time.
pub(super) struct Prober {
    clock: Clock,
    /// For hosts on this machine, which only the operator can name.
    plain: OnceLock<Option<Client>>,
    /// For other hosts that the operator has named.
    named: OnceLock<Option<Client>>,
    /// For all other hosts.
    public: OnceLock<Option<Client>>,
}

impl Prober {
    /// Builds no client yet. Durations and time limits follow `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { clock, plain: OnceLock::new(), named: OnceLock::new(), public: OnceLock::new() }
    }

    /// Requests the list once. Takes at most 8 s.
    pub async fn look(&self, target: &Target) -> Look {
        let begun = self.clock.now();
        match self.clock.timeout(WHOLE, self.request(target)).await {
            Ok(Ok(())) => Look::Answered(self.clock.now().saturating_duration_since(begun)),
            Ok(Err(reason)) => Look::Failed(reason),
            Err(_) => Look::Failed(Reason::Timeout),
        }
    }

    async fn request(&self, target: &Target) -> Result<(), Reason> {
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
            // Google and xAI answer a wrong key with 400, and name the key in the text.
            StatusCode::BAD_REQUEST if names_the_key(&read(response).await?) => Err(Reason::Unauthorized),
            status if status.is_server_error() => Err(Reason::Http5xx),
            _ => Err(Reason::UnexpectedStatus),
        }
    }
}

fn client_of(is_encrypted: bool, resolver: Resolver) -> reqwest::Result<Client> {
    let builder = outgoing::client(is_encrypted).connect_timeout(CONNECT).dns_resolver(resolver);
    // No connection is kept: the next probe is minutes away.
    builder.pool_max_idle_per_host(0).build()
}

async fn read(mut response: Response) -> Result<Vec<u8>, Reason> {
    outgoing::read(&mut response, MAX_LIST).await.ok().flatten().ok_or(Reason::BadBody)
}

/// Accepts an array, or an object with the array `data`, or `models` at Google and Cohere.
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

fn unanswered(error: &reqwest::Error) -> Reason {
    if error.is_timeout() {
        return Reason::Timeout;
    }
    let reason = outgoing::causes(error).find_map(|cause| match cause {
        cause if cause.is::<Unresolved>() => Some(Reason::Dns),
        cause if cause.is::<PrivateAddress>() => Some(Reason::UntrustedAddress),
        _ => None,
    });
    reason.unwrap_or(Reason::Connect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_private_address_is_not_probed_unless_named() {
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
            // The second probe makes the first connection, which is closed at once.
            listener.accept().await.map(drop)
        });
        assert_eq!((look, connection.is_ok()), (Look::Failed(Reason::Connect), true));
    }

    #[test]
    fn only_a_model_list_is_accepted() {
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
    fn a_refused_key_is_distinguished_from_other_bad_requests() {
        assert!(names_the_key(br#"{"error":{"message":"API key not valid.","reason":"API_KEY_INVALID"}}"#));
        assert!(names_the_key(br#"{"error":"Incorrect API key provided: k***y."}"#));
        assert!(!names_the_key(br#"{"error":"unknown parameter"}"#));
    }
}
