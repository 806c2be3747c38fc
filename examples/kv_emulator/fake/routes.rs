//! Routes of requests, and the rules of Cloudflare's description.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::Request;
use super::answer::Reply;

/// The code of the fake's own refusals, for requests that the description does not allow.
pub(super) const NOT_DESCRIBED: u64 = 99_999;
/// The largest value, and the longest key.
const MAX_VALUE: usize = 26_214_400;
const MAX_KEY: usize = 512;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// GET of a value.
    Get,
    /// PUT of a value.
    Put,
    /// DELETE of a value.
    Delete,
    /// PUT of many values.
    PutMany,
    /// Deletion of many keys.
    DeleteMany,
    /// GET of the namespace.
    Probe,
    /// GET of the namespaces.
    Namespaces,
    /// Verification of a user's token.
    VerifyOfUser,
    /// Verification of an account's token.
    VerifyOfAccount,
    /// Anything else.
    Unknown,
}

/// The target of a request.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) call: Call,
    pub(super) account: Option<String>,
    pub(super) namespace: Option<String>,
    /// Decoded once, as Cloudflare does for all namespaces except old ones.
    pub(super) key: String,
}

impl Route {
    /// Reads method and path, still encoded.
    ///
    /// # Errors
    /// The refusal of an unknown route.
    pub(super) fn of(method: &str, path: &str) -> Result<Self, Reply> {
        let unknown = || Reply::refusal(404, &[(7_000, "No route for that URI")]);
        let Some(path) = path.strip_prefix("/client/v4/") else {
            return Err(Reply::refusal(404, &[(10_404, "No route for that URI")]));
        };
        let segments: Vec<&str> = path.split('/').collect();
        let (call, allowed) = match segments[..] {
            ["user", "tokens", "verify"] => (Call::VerifyOfUser, "GET"),
            ["accounts", _, "tokens", "verify"] => (Call::VerifyOfAccount, "GET"),
            ["accounts", _, "storage", "kv", "namespaces"] => (Call::Namespaces, "GET"),
            ["accounts", _, "storage", "kv", "namespaces", _] => (Call::Probe, "GET"),
            ["accounts", _, "storage", "kv", "namespaces", _, "bulk"] => (Call::PutMany, "PUT"),
            ["accounts", _, "storage", "kv", "namespaces", _, "bulk", "delete"] => (Call::DeleteMany, "POST"),
            ["accounts", _, "storage", "kv", "namespaces", _, "values", _] => match method {
                "PUT" => (Call::Put, "PUT"),
                "DELETE" => (Call::Delete, "DELETE"),
                _ => (Call::Get, "GET"),
            },
            _ => return Err(unknown()),
        };
        if method != allowed {
            return Err(Reply::refusal(405, &[(10_405, "Method not allowed")]));
        }
        let decoded = |place: usize| -> Option<String> {
            let segment = segments.get(place)?;
            percent_decode_str(segment).decode_utf8().ok().map(Cow::into_owned)
        };
        let key = decoded(7).unwrap_or_default();
        if segments.get(6) == Some(&"values") && key.is_empty() {
            return Err(Reply::refusal(405, &[(10_405, "Method not allowed")]));
        }
        let account = if call == Call::VerifyOfUser { None } else { decoded(1) };
        Ok(Self { call, account, namespace: decoded(5), key })
    }
}

/// Returns the violation of the description in this request, if any.
pub(super) fn violation(call: Call, request: &Request) -> Option<String> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    // RFC 3986's unreserved characters stay as they are; all others are encoded.
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let hexadecimal = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        let fits = match byte {
            b'%' => hexadecimal(rest.next()) && hexadecimal(rest.next()),
            _ => byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte),
        };
        if !fits {
            return Some(format!("{path}: a character is not encoded, or not once"));
        }
    }
    let media =
        request.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
    let (wanted_media, parameters): (_, &[&str]) = match call {
        Call::Put => (Some("application/octet-stream"), &["expiration_ttl", "expiration"]),
        Call::PutMany | Call::DeleteMany => (Some("application/json"), &[]),
        Call::Namespaces => (None, &["page", "per_page", "order", "direction"]),
        _ => (None, &[]),
    };
    if media != wanted_media {
        return Some(format!("{call:?}: Content-Type {media:?} instead of {wanted_media:?}"));
    }
    if wanted_media.is_none() && !request.body.is_empty() {
        return Some(format!("{call:?} has a body"));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let fits = parameters.contains(&name)
            && match name {
                "per_page" => value.parse().is_ok_and(|number: u32| (5..=100).contains(&number)),
                "order" => matches!(value, "id" | "title"),
                "direction" => matches!(value, "asc" | "desc"),
                _ => value.parse::<u64>().is_ok(),
            };
        if !fits {
            return Some(format!("{call:?}: parameter {pair}"));
        }
    }
    None
}

/// A pair of a bulk write.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    pub(super) time_to_live: Option<u64>,
    pub(super) expiration: Option<i64>,
}

/// Reads a bulk write.
///
/// # Errors
/// The violation of the description.
pub(super) fn pairs(body: &[u8]) -> Result<Vec<Pair>, String> {
    elements(body)?.into_iter().map(pair).collect()
}

fn pair(element: Value) -> Result<Pair, String> {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    let Value::Object(mut fields) = element else { return Err("a pair is not an object".to_owned()) };
    let key = fields.remove("key").ok_or("a pair has no key").and_then(key)?;
    let Some(Value::String(text)) = fields.remove("value") else {
        return Err(format!("{key}: the value is not a string"));
    };
    let is_base64 = match fields.remove("base64") {
        None => false,
        Some(flag) => flag.as_bool().ok_or("base64 is not a boolean")?,
    };
    let number =
        |field: Option<Value>| field.map(|field| field.as_i64().ok_or("not a whole number")).transpose();
    let time_to_live = number(fields.remove("expiration_ttl"))?;
    let expiration = number(fields.remove("expiration"))?;
    fields.remove("metadata");
    if let Some(name) = fields.keys().next() {
        return Err(format!("{key}: field {name}"));
    }
    if text.len() > MAX_VALUE {
        return Err(format!("{key}: the value is too long"));
    }
    let value = if is_base64 {
        BASE64_STANDARD.decode(text).map_err(|error| error.to_string())?
    } else {
        text.into_bytes()
    };
    let time_to_live = time_to_live.map(|seconds| u64::try_from(seconds).unwrap_or(0));
    Ok(Pair { key, value, time_to_live, expiration })
}

/// Reads the keys of a bulk delete.
///
/// # Errors
/// The violation of the description.
pub(super) fn keys(body: &[u8]) -> Result<Vec<String>, String> {
    elements(body)?.into_iter().map(|element| key(element).map_err(str::to_owned)).collect()
}

fn key(element: Value) -> Result<String, &'static str> {
    match element {
        Value::String(key) if !key.is_empty() && key.len() <= MAX_KEY => Ok(key),
        _ => Err("a key is not a string of 1 to 512 bytes"),
    }
}

fn elements(body: &[u8]) -> Result<Vec<Value>, String> {
    let elements: Vec<Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if elements.len() > 10_000 { Err("more than 10,000 elements".to_owned()) } else { Ok(elements) }
}
