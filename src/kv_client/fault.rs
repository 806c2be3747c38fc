//! Errors of KV, in words that people search for.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::outgoing;

use super::KvFailure::{Connect, Malformed, Server, Timeout, TooLarge};

/// The remedy for faults that only Cloudflare can fix.
const SEE_STATUS: &str = "nothing to do: it is tried again; see https://www.cloudflarestatus.com";

/// What an error means for later calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvErrorClass {
    /// Calls fail until an operator changes a setting.
    Configuration(KvMisconfiguration),
    /// The token does not open KV. Waiting does not help.
    Permission,
    /// The operation is out of quota until 00:00 UTC; others are not.
    Quota,
    /// No call of any kind is allowed for a while.
    Throttled {
        /// The time, if Cloudflare gave one; at most a day. It blocks for up to 5 minutes.
        retry_after: Option<Duration>,
    },
    /// This call failed.
    Failure(KvFailure),
}

/// Which setting is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvMisconfiguration {
    /// The namespace: 10011, 10013.
    Namespace,
    /// The account, or the route to it: 7000, 7003, 10404.
    Account,
    /// The request: any other 4xx.
    Request,
}

/// How a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvFailure {
    /// The time limit passed.
    Timeout,
    /// No connection, or one that broke before the answer.
    Connect,
    /// Cloudflare reports a fault of its own.
    Server,
    /// Not an answer of KV's, such as a web page, or an incomplete one.
    Malformed,
    /// An answer or request beyond KV's limits.
    TooLarge,
}

/// A failed call. Prints neither token nor key nor text from Cloudflare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvError {
    /// What it means.
    pub class: KvErrorClass,
    /// Status of the answer.
    pub status: Option<u16>,
    /// Code in `errors`: the one that decided the class, or the first.
    pub code: Option<u64>,
    /// Cloudflare's id of the request (`cf-ray`), for its support.
    pub ray: Option<String>,
    /// The system's or TLS's word on a failed connection.
    pub(super) detail: Option<String>,
}

impl KvError {
    /// Creates an error of a class without details.
    pub const fn new(class: KvErrorClass) -> Self {
        Self { class, status: None, code: None, ray: None, detail: None }
    }

    /// Keeps the innermost cause: the outer ones repeat the URL.
    pub(super) fn failed(failure: KvFailure, error: &reqwest::Error) -> Self {
        let detail = Some(outgoing::innermost_cause(error));
        Self { detail, ..Self::new(KvErrorClass::Failure(failure)) }
    }

    /// What is wrong, for health and log.
    pub const fn reason(&self) -> &'static str {
        self.explained().0
    }

    /// How to fix it.
    pub const fn remedy(&self) -> &'static str {
        self.explained().1
    }

    const fn explained(&self) -> (&'static str, &'static str) {
        use KvErrorClass::{Configuration, Failure, Permission, Quota, Throttled};
        use KvMisconfiguration::{Account, Namespace, Request};
        match self.class {
            Configuration(Namespace) => (
                "Namespace not found",
                "check CLOUDFLARE_KV_NAMESPACE_ID: the id, not the title, of a namespace of this account (Cloudflare → \
                 Storage & databases → Workers KV)",
            ),
            Configuration(Account) => (
                "Account not found",
                "check CLOUDFLARE_ACCOUNT_ID (Cloudflare → Account home → Copy account ID), and CLOUDFLARE_KV_BASE_URL \
                 if it is set",
            ),
            Configuration(Request) => (
                "Cloudflare refuses the request",
                "unset CLOUDFLARE_KV_BASE_URL or correct it; if it is right, report the status and code: the fault is ours",
            ),
            Permission => (
                match self.status {
                    Some(403) => "403 Forbidden: the API token does not open Workers KV",
                    Some(401) => "401 Unauthorized: the API token does not open Workers KV",
                    _ => "the API token does not open Workers KV",
                },
                "give the token of CLOUDFLARE_API_TOKEN the permission Workers KV Storage: Edit for this account \
                 (Cloudflare → API tokens), and check that it has not expired",
            ),
            Quota => (
                "the daily limit of Workers KV is used up",
                "nothing to do: it opens again at 00:00 UTC; the paid Workers plan has no daily limit",
            ),
            Throttled { .. } => (
                "429 Too Many Requests: Cloudflare's API asks to wait",
                "nothing to do: calls go on later; a token owned by the account does not share its limit with people",
            ),
            Failure(Timeout) => ("Workers KV answers too slowly", SEE_STATUS),
            Failure(Server) => ("Cloudflare reports a fault of its own", SEE_STATUS),
            Failure(Connect) => (
                "Workers KV cannot be reached",
                "nothing to do: it is tried again; if it lasts, check the network, the system's root certificates and \
                 CLOUDFLARE_KV_BASE_URL",
            ),
            Failure(Malformed) => (
                "the answer is not one of Workers KV, or broke off",
                "nothing to do: it is tried again; if it lasts, check CLOUDFLARE_KV_BASE_URL",
            ),
            Failure(TooLarge) => {
                ("a value or answer exceeds the limits of Workers KV", "keep values below 25 MiB")
            }
        }
    }
}

impl Error for KvError {}

impl fmt::Display for KvError {
    /// Such as `Namespace not found (status 404, code 10013, ray 8f1c…)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())?;
        let facts = [
            self.status.map(|status| format!("status {status}")),
            self.code.map(|code| format!("code {code}")),
            self.ray.as_ref().map(|ray| format!("ray {ray}")),
            self.detail.clone(),
        ];
        let facts: Vec<_> = facts.into_iter().flatten().collect();
        if facts.is_empty() { Ok(()) } else { write!(f, " ({})", facts.join(", ")) }
    }
}
