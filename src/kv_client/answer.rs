//! Answers of Cloudflare's API, and their classes.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fault::{KvError, KvErrorClass, KvFailure, KvMisconfiguration};

/// Longest wait taken from a header, in seconds, so that sums of times cannot overflow.
pub(super) const LONGEST_WAIT: u64 = 86_400;
/// GET of an absent value. A wrong namespace or account is a 404, too.
const KEY_NOT_FOUND: u64 = 10_009;

/// An answer, as far as it arrived.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Why the body is incomplete.
    pub(super) broken: Option<KvFailure>,
}

/// The envelope of every answer but a value. `messages` is ignored on purpose: it reports a valid token with code 10000,
/// which in `errors` means a refused one.
#[derive(Debug, Deserialize)]
struct Envelope {
    success: bool,
    // Loosely typed, so that an odd code does not hide the others.
    #[serde(default)]
    errors: Value,
    #[serde(default)]
    result: Value,
}

impl Envelope {
    /// Codes with their messages.
    fn errors(&self) -> impl Iterator<Item = (u64, &str)> {
        let errors = self.errors.as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| {
            Some((
                error.get("code")?.as_u64()?,
                error.get("message").and_then(Value::as_str).unwrap_or_default(),
            ))
        })
    }
}

impl Answer {
    /// Whether the key is absent.
    pub(super) fn is_missing(&self) -> bool {
        let says_so = |envelope: Envelope| envelope.errors().any(|(code, _)| code == KEY_NOT_FOUND);
        self.status == StatusCode::NOT_FOUND && self.envelope().is_some_and(says_so)
    }

    /// Returns the raw bytes of a value (`application/octet-stream`, or no type from an emulator). Errors come in an
    /// envelope, also under status 200.
    pub(super) fn into_value(self) -> Result<Option<Vec<u8>>, KvError> {
        if self.is_missing() {
            return Ok(None);
        }
        let media = self.headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
        let refused = self.status != StatusCode::OK
            || self.broken.is_some()
            || media.starts_with("text/html")
            || media.starts_with("application/json")
                && self.envelope().is_some_and(|envelope| !envelope.success);
        if refused { Err(self.into_error()) } else { Ok(Some(self.body)) }
    }

    /// Returns the `result` of any other answer.
    pub(super) fn into_result(self) -> Result<Value, KvError> {
        match self.envelope() {
            Some(envelope)
                if self.status.is_success() && envelope.success && envelope.errors().next().is_none() =>
            {
                Ok(envelope.result)
            }
            _ => Err(self.into_error()),
        }
    }

    /// Returns the `result` as a type.
    pub(super) fn into_typed<T: DeserializeOwned>(self) -> Result<T, KvError> {
        let status = Some(self.status.as_u16());
        let malformed = KvError { status, ..KvError::new(KvErrorClass::Failure(KvFailure::Malformed)) };
        serde_json::from_value(self.into_result()?).map_err(|_| malformed)
    }

    fn envelope(&self) -> Option<Envelope> {
        if self.broken.is_some() { None } else { serde_json::from_slice(&self.body).ok() }
    }

    fn into_error(self) -> KvError {
        let envelope = self.envelope();
        let mut codes = envelope.iter().flat_map(Envelope::errors);
        let first = codes.next();
        let decisive = first.into_iter().chain(codes).find_map(|(code, message)| {
            let class = class_of_code(self.status, code, message, self.retry_after())?;
            Some((class, Some(code)))
        });
        let (class, code) = decisive
            .unwrap_or_else(|| (self.class_of_status(envelope.is_some()), first.map(|(code, _)| code)));
        let ray = self.headers.get("cf-ray").and_then(|ray| ray.to_str().ok()).filter(|ray| {
            ray.len() <= 64 && ray.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
        KvError {
            status: Some(self.status.as_u16()),
            code,
            ray: ray.map(str::to_owned),
            ..KvError::new(class)
        }
    }

    /// For codes without a class, and answers without an envelope.
    fn class_of_status(&self, has_envelope: bool) -> KvErrorClass {
        let malformed = KvErrorClass::Failure(self.broken.unwrap_or(KvFailure::Malformed));
        match self.status.as_u16() {
            429 => KvErrorClass::Throttled { retry_after: self.retry_after() },
            500.. => KvErrorClass::Failure(KvFailure::Server),
            408 => KvErrorClass::Failure(KvFailure::Timeout),
            // The gateway sends these without an envelope.
            400 | 413 | 414 => KvErrorClass::Configuration(KvMisconfiguration::Request),
            // A page with another status is not from Cloudflare's API: a challenge, a redirect, a proxy.
            _ if !has_envelope => malformed,
            401 | 403 => KvErrorClass::Permission,
            402..500 => KvErrorClass::Configuration(KvMisconfiguration::Request),
            200..300 => KvErrorClass::Failure(KvFailure::Server),
            _ => malformed,
        }
    }

    /// Cloudflare gives seconds, never a date.
    fn retry_after(&self) -> Option<Duration> {
        let seconds: u64 = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
    }
}

/// Returns the class of a code, if it has one. No public page lists the codes: they are from other clients and their
/// tests.
fn class_of_code(
    status: StatusCode,
    code: u64,
    message: &str,
    retry_after: Option<Duration>,
) -> Option<KvErrorClass> {
    Some(match code {
        // Under any status, 200 included.
        971 | 10_429 => KvErrorClass::Throttled { retry_after },
        10_048 => KvErrorClass::Quota,
        _ if status.is_server_error() => return None,
        10_011 | 10_013 => KvErrorClass::Configuration(KvMisconfiguration::Namespace),
        7_000 | 7_003 | 10_404 => KvErrorClass::Configuration(KvMisconfiguration::Account),
        // With other messages these codes mean a refused token.
        1_000 if message.contains("timeout") => KvErrorClass::Failure(KvFailure::Server),
        10_001 if message.contains("internal error") => KvErrorClass::Failure(KvFailure::Server),
        // Under other statuses some mean something else: 10000 may be a method that is not allowed.
        1_000 | 6_003 | 6_111 | 9_106 | 9_109 | 10_000 | 10_001
            if matches!(status.as_u16(), 200 | 400 | 401 | 403) =>
        {
            KvErrorClass::Permission
        }
        _ => return None,
    })
}
