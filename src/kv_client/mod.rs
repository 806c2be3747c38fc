//! Cloudflare Workers KV over its REST API: one call per method, every answer classified.
//!
//! Callers decide whether to call or to retry. TLS trusts the system's root certificates, which are renewed with the
//! image and to which operators can add their own. Plain http, allowed on this machine only, trusts none.
//!
//! Answers and limits are from <https://developers.cloudflare.com/api/resources/kv/> and
//! <https://developers.cloudflare.com/kv/platform/limits/>. Codes that no page lists were seen by other clients.

mod answer;
mod connection;
mod fault;
mod key;

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder};
use serde::{Deserialize, Serialize};

pub use connection::{InvalidKvSetting, KvBaseUrl, KvConnection, KvId, KvSettings, KvToken};
pub use fault::{KvError, KvErrorClass, KvFailure, KvMisconfiguration};
pub use key::{InvalidKvKey, KvKey, KvPair};

use self::answer::{Answer, LONGEST_WAIT};
use crate::clock::Clock;
use crate::outgoing;

/// Limit for TCP and TLS: Cloudflare's edge is near everywhere.
const CONNECT: Duration = Duration::from_millis(500);
/// Limit of a GET. It races the origin, so a slower value is useless.
const READ: Duration = Duration::from_secs(1);
/// Limit of a change, for which no request waits.
const WRITE: Duration = Duration::from_secs(3);
/// KV's largest value: 25 MiB.
const MAX_VALUE: usize = 25 << 20;
/// Largest answer: the largest value, and some more.
const MAX_ANSWER: usize = MAX_VALUE + (1 << 20);
/// Limits of a bulk call: pairs or keys, and bytes.
const MAX_BATCH: (usize, usize) = (10_000, 100_000_000);
/// Cloudflare refuses a shorter life with code 10034.
const MIN_TIME_TO_LIVE: u64 = 60;
/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A namespace of the account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KvNamespace {
    /// The value for `CLOUDFLARE_KV_NAMESPACE_ID`.
    pub id: String,
    /// Its name in the dashboard.
    pub title: String,
}

/// Cloudflare's word on the token, which says nothing about its permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenStatus {
    /// Active.
    Active,
    /// Disabled in the dashboard.
    Disabled,
    /// Expired.
    Expired,
    /// Not checked: the base URL does not lead to Cloudflare's other routes.
    #[serde(skip)]
    Skipped,
}

impl fmt::Display for TokenStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "the API token is active",
            Self::Disabled => "the API token is disabled",
            Self::Expired => "the API token has expired",
            Self::Skipped => {
                "the API token was not verified: CLOUDFLARE_KV_BASE_URL does not end in /accounts/ and the account's id"
            }
        })
    }
}

/// State of the rate limit of the token or user: `Ratelimit` and `Ratelimit-Policy`
/// (<https://developers.cloudflare.com/fundamentals/api/reference/limits/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvAllowance {
    /// Calls left.
    pub left: u64,
    /// Calls per window, if the answer names it: 1,200 in 5 minutes.
    pub quota: Option<u64>,
    /// When the window ends.
    pub full_at: Instant,
}

/// A client of one namespace, with its connections.
///
/// A call whose future is dropped may still have changed KV.
pub struct KvClient {
    http: Client,
    namespaces: String,
    namespace: String,
    token_routes: Option<[String; 2]>,
    allowance: Mutex<Option<KvAllowance>>,
    clock: Clock,
}

impl fmt::Debug for KvClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvClient").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl KvClient {
    /// Builds the client without a call.
    ///
    /// # Errors
    /// [`KvFailure::Connect`] when the system has no root certificates.
    pub fn new(connection: &KvConnection, clock: Clock) -> Result<Self, KvError> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", connection.token.reveal()))
            .map_err(|_| KvError::new(KvErrorClass::Permission))?;
        authorization.set_sensitive(true);
        let http = outgoing::client(connection.base_url.is_encrypted())
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
            .connect_timeout(CONNECT)
            .build()
            .map_err(|error| KvError::failed(KvFailure::Connect, &error))?;
        let base = connection.base_url.as_str();
        let namespaces = format!("{base}/storage/kv/namespaces");
        let account = format!("/accounts/{}", connection.account_id.as_str());
        Ok(Self {
            http,
            namespace: format!("{namespaces}/{}", connection.namespace_id.as_str()),
            namespaces,
            token_routes: base
                .strip_suffix(&account)
                .map(|root| [format!("{root}/user/tokens/verify"), format!("{base}/tokens/verify")]),
            allowance: Mutex::new(None),
            clock,
        })
    }

    /// Returns the value, or `None` if KV has none or does not show it yet, which can take over 60 s. Costs one read.
    /// At most 1 s.
    ///
    /// # Errors
    /// Every class. Only a 404 with code 10009 is a miss: a wrong namespace is a 404, too.
    pub async fn get(&self, key: &KvKey) -> Result<Option<Vec<u8>>, KvError> {
        self.send(self.http.get(self.value_url(key)), READ).await?.into_value()
    }

    /// Writes a value of any bytes for `time_to_live`, rounded up to whole seconds and at least 60 s. Costs one write;
    /// KV takes one per key and second. At most 3 s. After a failure the value may have been written.
    ///
    /// # Errors
    /// Every class; [`KvFailure::TooLarge`] beyond 25 MiB, before anything is sent.
    pub async fn put(&self, key: &KvKey, value: Vec<u8>, time_to_live: Duration) -> Result<(), KvError> {
        if value.len() > MAX_VALUE {
            return Err(KvError::new(KvErrorClass::Failure(KvFailure::TooLarge)));
        }
        let url = format!("{}?expiration_ttl={}", self.value_url(key), seconds(time_to_live));
        // Any type but multipart/form-data stores the body unchanged.
        let request = self.http.put(url).header(CONTENT_TYPE, "application/octet-stream").body(value);
        self.send(request, WRITE).await?.into_result().map(drop)
    }

    /// Deletes a value, if there is one. Costs one delete. Otherwise like [`put`](Self::put).
    ///
    /// # Errors
    /// Every class.
    pub async fn delete(&self, key: &KvKey) -> Result<(), KvError> {
        let answer = self.send(self.http.delete(self.value_url(key)), WRITE).await?;
        if answer.is_missing() { Ok(()) } else { answer.into_result().map(drop) }
    }

    /// Writes pairs in one call, or makes no call for none. Costs one write each. Returns the keys that KV refused. At
    /// most 3 s. After a failure any of them may have been written.
    ///
    /// # Errors
    /// Every class; [`KvFailure::TooLarge`] beyond 10,000 pairs, 25 MiB in a value or 100 MB in all, before anything is
    /// sent.
    pub async fn put_many(&self, pairs: &[KvPair]) -> Result<Vec<KvKey>, KvError> {
        let wire: Vec<_> = pairs.iter().map(WirePair::from).collect();
        if wire.iter().any(|pair| pair.value.len() > MAX_VALUE) {
            return Err(KvError::new(KvErrorClass::Failure(KvFailure::TooLarge)));
        }
        let keys = pairs.iter().map(|pair| &pair.key);
        self.send_batch(self.http.put(format!("{}/bulk", self.namespace)), &wire, keys).await
    }

    /// Deletes keys in one call. Costs one delete each. Otherwise like [`put_many`](Self::put_many).
    ///
    /// # Errors
    /// Every class; [`KvFailure::TooLarge`] beyond 10,000 keys, before anything is sent.
    pub async fn delete_many(&self, keys: &[KvKey]) -> Result<Vec<KvKey>, KvError> {
        let wire: Vec<_> = keys.iter().map(KvKey::as_str).collect();
        self.send_batch(self.http.post(format!("{}/bulk/delete", self.namespace)), &wire, keys.iter()).await
    }

    /// Queries the namespace: the cheapest proof of token, account and namespace. At most 1 s.
    ///
    /// # Errors
    /// Every class.
    pub async fn probe(&self) -> Result<KvNamespace, KvError> {
        self.send(self.http.get(&self.namespace), READ).await?.into_typed()
    }

    /// Returns the first 100 namespaces of the account by title, to suggest one for a wrong id. At most 1 s.
    ///
    /// # Errors
    /// Every class.
    pub async fn namespaces(&self) -> Result<Vec<KvNamespace>, KvError> {
        let url = format!("{}?per_page=100&order=title", self.namespaces);
        self.send(self.http.get(url), READ).await?.into_typed()
    }

    /// Verifies the token as a user's and, if that is unknown, as the account's. At most 2 s. Returns
    /// [`TokenStatus::Skipped`] without a call unless the base URL ends in `/accounts/` and the account's id.
    ///
    /// # Errors
    /// [`KvErrorClass::Permission`] when neither is known; else every class.
    pub async fn verify_token(&self) -> Result<TokenStatus, KvError> {
        let Some([of_user, of_account]) = &self.token_routes else { return Ok(TokenStatus::Skipped) };
        match self.verify_token_at(of_user).await {
            Err(error) if error.class == KvErrorClass::Permission => self.verify_token_at(of_account).await,
            verdict => verdict,
        }
    }

    /// Returns the rate limit's state from the last answer.
    pub fn allowance(&self) -> Option<KvAllowance> {
        *self.allowance.lock()
    }

    async fn verify_token_at(&self, url: &str) -> Result<TokenStatus, KvError> {
        let token: WireToken = self.send(self.http.get(url), READ).await?.into_typed()?;
        Ok(token.status)
    }

    async fn send_batch<'k>(
        &self,
        request: RequestBuilder,
        wire: &[impl Serialize],
        keys: impl Iterator<Item = &'k KvKey>,
    ) -> Result<Vec<KvKey>, KvError> {
        if wire.is_empty() {
            return Ok(Vec::new());
        }
        let too_large = || KvError::new(KvErrorClass::Failure(KvFailure::TooLarge));
        let body = serde_json::to_vec(wire).map_err(|_| too_large())?;
        if wire.len() > MAX_BATCH.0 || body.len() > MAX_BATCH.1 {
            return Err(too_large());
        }
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let result: Option<WireBatch> = self.send(request, WRITE).await?.into_typed()?;
        let refused = result.and_then(|result| result.unsuccessful_keys).unwrap_or_default();
        Ok(keys.filter(|key| refused.iter().any(|refused| refused == key.as_str())).cloned().collect())
    }

    fn value_url(&self, key: &KvKey) -> String {
        format!("{}/values/{}", self.namespace, utf8_percent_encode(key.as_str(), ENCODED))
    }

    async fn send(&self, request: RequestBuilder, limit: Duration) -> Result<Answer, KvError> {
        let sent = request.timeout(limit).send().await;
        let mut response = sent.map_err(|error| {
            let failure = if error.is_timeout() { KvFailure::Timeout } else { KvFailure::Connect };
            KvError::failed(failure, &error)
        })?;
        if let Some(allowance) = allowance(response.headers(), self.clock.now()) {
            *self.allowance.lock() = Some(allowance);
        }
        // The status counts even if the body breaks off.
        let (body, broken) = match outgoing::read(&mut response, MAX_ANSWER).await {
            Ok(Some(body)) => (body, None),
            Ok(None) => (Vec::new(), Some(KvFailure::TooLarge)),
            Err(error) if error.is_timeout() => (Vec::new(), Some(KvFailure::Timeout)),
            Err(_) => (Vec::new(), Some(KvFailure::Malformed)),
        };
        Ok(Answer { status: response.status(), headers: response.headers().clone(), body, broken })
    }
}

/// Rounds up to whole seconds and KV's minimum.
fn seconds(time_to_live: Duration) -> u64 {
    let rounded_up = time_to_live.as_secs().saturating_add(u64::from(time_to_live.subsec_nanos() > 0));
    rounded_up.max(MIN_TIME_TO_LIVE)
}

/// `Ratelimit: "default";r=1199;t=300` and `Ratelimit-Policy: "burst";q=1200;w=300`.
fn allowance(headers: &HeaderMap, now: Instant) -> Option<KvAllowance> {
    let parameter = |header: &str, name: &str| -> Option<u64> {
        let list = headers.get(header)?.to_str().ok()?;
        let mut parameters = list.split(',').next()?.split(';').map(str::trim);
        parameters.find_map(|text| text.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let full_in = parameter("ratelimit", "t")?.min(LONGEST_WAIT);
    Some(KvAllowance {
        left: parameter("ratelimit", "r")?,
        quota: parameter("ratelimit-policy", "q"),
        full_at: now + Duration::from_secs(full_in),
    })
}

#[derive(Serialize)]
struct WirePair<'p> {
    key: &'p str,
    value: Cow<'p, str>,
    base64: bool,
    expiration_ttl: u64,
}

impl<'p> From<&'p KvPair> for WirePair<'p> {
    fn from(pair: &'p KvPair) -> Self {
        let text = std::str::from_utf8(&pair.value);
        Self {
            key: pair.key.as_str(),
            base64: text.is_err(),
            value: text.map_or_else(|_| BASE64_STANDARD.encode(&pair.value).into(), Cow::Borrowed),
            expiration_ttl: seconds(pair.time_to_live),
        }
    }
}

#[derive(Deserialize)]
struct WireBatch {
    unsuccessful_keys: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct WireToken {
    status: TokenStatus,
}

#[cfg(test)]
mod tests;
