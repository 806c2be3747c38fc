//! Cloudflare Workers KV over its REST API: one call per method, every answer sorted into a class.
//!
//! Whether to call at all, to try again, or to leave KV alone for a while is decided elsewhere. No call is ever made
//! twice here, no redirect followed and no proxy variable obeyed (a host that reaches the internet through a proxy only
//! has no KV). TLS trusts the system's root certificates: the image ships Debian's, they are renewed with it, and an
//! operator can add an authority without a new release. Plain http, which the settings allow on this machine only,
//! trusts none and needs none.
//!
//! What Cloudflare answers, and its limits, are from <https://developers.cloudflare.com/api/resources/kv/> and
//! <https://developers.cloudflare.com/kv/platform/limits/>; codes that no page lists were seen by other clients.

mod answer;
mod error;
mod key;
mod settings;

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde::{Deserialize, Serialize};

pub use error::{KvError, KvErrorClass, KvFailure, KvMisconfiguration};
pub use key::{InvalidKvKey, KvKey, KvPair};
pub use settings::{InvalidKvSetting, KvBaseUrl, KvConnection, KvId, KvSettings, KvToken};

use self::answer::{Answer, LONGEST_WAIT};
use crate::clock::Clock;

/// Until TCP and TLS stand. Cloudflare's edge is near everywhere; what takes longer is broken.
const CONNECT: Duration = Duration::from_millis(500);
/// A whole GET. The origin is raced meanwhile, so a slower value is of no use.
const READ: Duration = Duration::from_secs(1);
/// A whole change. Nobody waits for it.
const WRITE: Duration = Duration::from_secs(3);
/// The largest value that KV keeps: 25 MiB.
const MAX_VALUE: usize = 25 << 20;
/// The most that is read of an answer: the largest value, and room.
const MAX_ANSWER: usize = MAX_VALUE + (1 << 20);
/// Limits of one bulk call: pairs or keys, and bytes.
const MAX_BATCH: (usize, usize) = (10_000, 100_000_000);
/// Cloudflare refuses a shorter life with 10034.
const MIN_TIME_TO_LIVE: u64 = 60;
/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A namespace of the account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KvNamespace {
    /// What `CLOUDFLARE_KV_NAMESPACE_ID` must hold.
    pub id: String,
    /// What the dashboard shows.
    pub title: String,
}

/// What Cloudflare says of the token. Not whether it opens KV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStatus {
    /// In use.
    Active,
    /// Switched off in the dashboard.
    Disabled,
    /// Past its end.
    Expired,
    /// Not asked: the base URL does not show where Cloudflare's other routes are.
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

/// How many calls Cloudflare still grants, to this token or user in all: `Ratelimit` and `Ratelimit-Policy`
/// (<https://developers.cloudflare.com/fundamentals/api/reference/limits/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvAllowance {
    /// Calls left.
    pub left: u64,
    /// Calls in a whole window, where the answer says so: 1,200 in 5 minutes.
    pub quota: Option<u64>,
    /// When they are full again.
    pub full_at: Instant,
}

/// A client of one namespace. Share it: it holds the connections.
///
/// Dropping the future of a call abandons the call; a change may have been made nevertheless.
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
    /// Makes no call.
    ///
    /// # Errors
    /// [`KvFailure::Connect`] when TLS cannot be set up: the system has no root certificates.
    pub fn new(connection: &KvConnection, clock: Clock) -> Result<Self, KvError> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", connection.token.reveal()))
            .map_err(|_| KvError::new(KvErrorClass::Permission))?;
        authorization.set_sensitive(true);
        let mut builder = Client::builder()
            .user_agent(concat!("chatchonk/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy();
        builder = if connection.base_url.is_encrypted() {
            builder.https_only(true)
        } else {
            builder.tls_certs_only([])
        };
        let http = builder.build().map_err(|error| KvError::failed(KvFailure::Connect, &error))?;
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

    /// The value, or nothing where KV knows none (any more, or yet: KV takes 60 s and more to show a change). At most 1 s.
    /// One read of the daily quota, either way.
    ///
    /// # Errors
    /// Every class. Only 404 with code 10009 is a miss; a wrong namespace answers 404 too.
    pub async fn get(&self, key: &KvKey) -> Result<Option<Vec<u8>>, KvError> {
        self.send(self.http.get(self.value_url(key)), READ).await?.into_value()
    }

    /// Writes a value of any bytes, kept for `time_to_live`: rounded up to whole seconds, and to 60 s at least. One write.
    /// At most one per key and second. At most 3 s; after a failure it may be written or not.
    ///
    /// # Errors
    /// Every class; [`KvFailure::TooLarge`] beyond 25 MiB, and then nothing is sent.
    pub async fn put(&self, key: &KvKey, value: Vec<u8>, time_to_live: Duration) -> Result<(), KvError> {
        if value.len() > MAX_VALUE {
            return Err(KvError::new(KvErrorClass::Failure(KvFailure::TooLarge)));
        }
        let url = format!("{}?expiration_ttl={}", self.value_url(key), seconds(time_to_live));
        // With any other type but multipart/form-data the body is stored as it is, too; this one says so.
        let request = self.http.put(url).header(CONTENT_TYPE, "application/octet-stream").body(value);
        self.send(request, WRITE).await?.into_result().map(drop)
    }

    /// Deletes a value, or does nothing where there is none. One delete. Otherwise like [`put`](Self::put).
    ///
    /// # Errors
    /// Every class.
    pub async fn delete(&self, key: &KvKey) -> Result<(), KvError> {
        let answer = self.send(self.http.delete(self.value_url(key)), WRITE).await?;
        if answer.is_missing() { Ok(()) } else { answer.into_result().map(drop) }
    }

    /// Writes pairs in one call, each one write, and returns the keys that KV did not take. No call for no pairs.
    /// At most 3 s; after a failure any of them may be written.
    ///
    /// # Errors
    /// Every class; [`KvFailure::TooLarge`] beyond 10,000 pairs, 25 MiB in a value or 100 MB in all, and then nothing is
    /// sent.
    pub async fn put_many(&self, pairs: &[KvPair]) -> Result<Vec<KvKey>, KvError> {
        let wire: Vec<_> = pairs.iter().map(WirePair::from).collect();
        if wire.iter().any(|pair| pair.value.len() > MAX_VALUE) {
            return Err(KvError::new(KvErrorClass::Failure(KvFailure::TooLarge)));
        }
        let keys = pairs.iter().map(|pair| &pair.key);
        self.send_batch(self.http.put(format!("{}/bulk", self.namespace)), &wire, keys).await
    }

    /// Deletes keys in one call, each one delete. Otherwise like [`put_many`](Self::put_many).
    ///
    /// # Errors
    /// Every class; [`KvFailure::TooLarge`] beyond 10,000 keys, and then nothing is sent.
    pub async fn delete_many(&self, keys: &[KvKey]) -> Result<Vec<KvKey>, KvError> {
        let wire: Vec<_> = keys.iter().map(KvKey::as_str).collect();
        self.send_batch(self.http.post(format!("{}/bulk/delete", self.namespace)), &wire, keys.iter()).await
    }

    /// Asks for the namespace itself: the cheapest proof that token, account and namespace fit. At most 1 s.
    ///
    /// # Errors
    /// Every class.
    pub async fn probe(&self) -> Result<KvNamespace, KvError> {
        self.send(self.http.get(&self.namespace), READ).await?.into_typed()
    }

    /// The namespaces of the account, the first 100 by title: to name them to whoever set a wrong id. At most 1 s.
    ///
    /// # Errors
    /// Every class.
    pub async fn namespaces(&self) -> Result<Vec<KvNamespace>, KvError> {
        let url = format!("{}?per_page=100&order=title", self.namespaces);
        self.send(self.http.get(url), READ).await?.into_typed()
    }

    /// Asks whether the token lives: as a user's and, if Cloudflare knows no such one, as the account's own. At most 2 s.
    /// [`TokenStatus::Skipped`], without a call, unless the base URL ends in `/accounts/` and the account's id.
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

    /// What the last answer that arrived says is left; nothing before the first.
    pub fn allowance(&self) -> Option<KvAllowance> {
        *self.allowance.lock()
    }

    async fn verify_token_at(&self, url: &str) -> Result<TokenStatus, KvError> {
        let token: WireToken = self.send(self.http.get(url), READ).await?.into_typed()?;
        Ok(match token.status {
            WireTokenStatus::Active => TokenStatus::Active,
            WireTokenStatus::Disabled => TokenStatus::Disabled,
            WireTokenStatus::Expired => TokenStatus::Expired,
        })
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
        let (body, broken) = read(&mut response).await;
        Ok(Answer { status: response.status(), headers: response.headers().clone(), body, broken })
    }
}

/// Whole seconds, as KV takes them.
fn seconds(time_to_live: Duration) -> u64 {
    let rounded_up = time_to_live.as_secs().saturating_add(u64::from(time_to_live.subsec_nanos() > 0));
    rounded_up.max(MIN_TIME_TO_LIVE)
}

/// Reads as far as it goes: the status counts even if the body breaks off.
async fn read(response: &mut Response) -> (Vec<u8>, Option<KvFailure>) {
    let mut body = Vec::new();
    if response.content_length().is_some_and(|length| length > MAX_ANSWER as u64) {
        return (body, Some(KvFailure::TooLarge));
    }
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER => {
                return (body, Some(KvFailure::TooLarge));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return (body, None),
            Err(error) if error.is_timeout() => return (body, Some(KvFailure::Timeout)),
            Err(_) => return (body, Some(KvFailure::Malformed)),
        }
    }
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
    status: WireTokenStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireTokenStatus {
    Active,
    Disabled,
    Expired,
}

#[cfg(test)]
mod tests;
