//! Checks whether a provider's row could divert its key.

use std::collections::BTreeMap;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName};

use crate::domain::id::ProviderId;
use crate::domain::provider::Provider;

use super::known::{Known, variable_of};

/// Headers that no row may set: they decide on a request's destination, sender or length, or belong to one connection.
/// `authorization` is for the key.
const RESERVED: [&str; 14] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
/// Headers such as `x-portkey-custom-host` and `helicone-openai-api-base` choose the upstream of a gateway.
const RESERVED_BEGINNINGS: [&str; 3] = ["proxy-", "x-forwarded-", "sec-"];
const RESERVED_ENDINGS: [&str; 11] = [
    "-base",
    "-config",
    "-endpoint",
    "-host",
    "-ip",
    "-origin",
    "-override",
    "-target",
    "-upstream",
    "-uri",
    "-url",
];
/// The longest name that is logged, in characters: DNS's limit for a host.
const MAX_SHOWN: usize = 253;

/// Why a provider with an address is not probed. The message says how to allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Distrust {
    /// The row names another host or port, or not https.
    #[error(
        "its row leads to {given}, but its key goes to the host of {trusted} only; to allow another host, set \
         PROVIDER_BASE_URLS={id}=https://…, otherwise correct models_list_url"
    )]
    Host { id: &'static str, trusted: &'static str, given: String },
    /// Neither this build nor the operator names a host for the provider.
    #[error(
        "this build does not know the provider, and its row leads to {given}; to allow that, set \
         PROVIDER_BASE_URLS={id}=https://… and its key as {}",
        variable_of(id)
    )]
    UnknownProvider { id: String, given: String },
    /// A gateway could read the path as another one.
    #[error(
        "the path of its models_list_url has a part such as .. or a character such as %; correct the row"
    )]
    Path,
    /// The row and this build differ in that column.
    #[error(
        "its row has another {0} than this build, which decides how its key is sent; restore the value of the seed, or \
         add a provider with another id and name its host in PROVIDER_BASE_URLS"
    )]
    Column(&'static str),
    /// No row may set that header.
    #[error("its row sets the header {0}, which no row may set; remove it")]
    Header(String),
    /// The row of an unknown provider came from the shared tier, not from the database.
    #[error("its row came from Cloudflare KV; the database has not confirmed it yet")]
    Copied,
    /// The host has only private addresses.
    #[error(
        "its host resolves to private addresses only; to allow that, name the host in PROVIDER_BASE_URLS"
    )]
    Private,
}

impl Distrust {
    pub fn log(&self, provider: &ProviderId) {
        tracing::warn!(%provider, reason = "untrusted_address", "not probing provider {provider}: {self}");
    }
}

/// How many providers one look may log by name.
const MAX_NAMED: usize = 20;

/// The untrusted providers, remembered so that each fault is logged once.
#[derive(Debug, Default)]
pub(super) struct Distrusted(BTreeMap<ProviderId, Distrust>);

impl Distrusted {
    /// Replaces the providers, and logs each new fault.
    pub fn replace(&mut self, now: BTreeMap<ProviderId, Distrust>) {
        // The database soon confirms or replaces a copy.
        let is_new = |(id, distrust): &(&ProviderId, &Distrust)| {
            self.0.get(*id) != Some(*distrust) && **distrust != Distrust::Copied
        };
        let mut new = now.iter().filter(is_new);
        for (provider, distrust) in new.by_ref().take(MAX_NAMED) {
            distrust.log(provider);
        }
        let others = new.count();
        if others > 0 {
            tracing::warn!(others, "not probing other providers whose rows are not trusted either");
        }
        self.0 = now;
    }
}

/// Checks a known provider's row for the variables and headers of this build.
pub(super) fn check_columns(known: &'static Known, row: &Provider) -> Result<(), Distrust> {
    let same_scheme = match (row.auth_scheme.as_deref(), known.auth_scheme) {
        (Some(row), Some(known)) => row.eq_ignore_ascii_case(known),
        (row, known) => row.is_none() && known.is_none(),
    };
    let is_known = |(name, value): (&String, &String)| {
        known.extra_headers.iter().any(|(n, v)| name.eq_ignore_ascii_case(n) && value == v)
    };
    let same_extra =
        row.extra_headers.len() == known.extra_headers.len() && row.extra_headers.iter().all(is_known);
    let same = [
        ("env", row.env == known.variables),
        ("auth_header", row.auth_header.eq_ignore_ascii_case(known.auth_header)),
        ("auth_scheme", same_scheme),
        ("extra_headers", same_extra),
    ];
    same.iter().find(|(_, same)| !same).map_or(Ok(()), |(column, _)| Err(Distrust::Column(column)))
}

/// Checks the headers of an unknown provider's row.
pub(super) fn check_headers(auth_header: &HeaderName, extra_headers: &HeaderMap) -> Result<(), Distrust> {
    let is_reserved = |name: &&HeaderName| {
        let name = name.as_str();
        RESERVED.contains(&name)
            || RESERVED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
            || RESERVED_ENDINGS.iter().any(|ending| name.ends_with(ending))
    };
    let auth_header = Some(auth_header).filter(|name| *name != reqwest::header::AUTHORIZATION);
    let mut reserved = auth_header.into_iter().chain(extra_headers.keys()).filter(is_reserved);
    reserved
        .next()
        .map_or(Ok(()), |name| Err(Distrust::Header(name.as_str().chars().take(MAX_SHOWN).collect())))
}

/// Checks for a known provider's host and port, https, and no user.
pub(super) fn check_host(known: &'static Known, list: &Url) -> Result<(), Distrust> {
    let trusted: Option<Url> = known.base_url.parse().ok();
    let is_trusted = trusted.as_ref().is_some_and(|trusted| trusted.origin() == list.origin())
        && list.scheme() == "https"
        && list.username().is_empty()
        && list.password().is_none();
    let (id, trusted) = (known.id, known.base_url);
    if is_trusted { Ok(()) } else { Err(Distrust::Host { id, trusted, given: shown(list) }) }
}

/// Checks that every server reads the path in the same way.
pub(super) fn check_path(path: &str) -> Result<(), Distrust> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~:@/".contains(c);
    let is_segment = |segment: &str| segment.chars().any(|c| c != '.');
    let below = path.strip_prefix('/').unwrap_or(path);
    let below = below.strip_suffix('/').filter(|below| !below.is_empty()).unwrap_or(below);
    let is_clear = below.is_empty() || below.split('/').all(is_segment);
    if is_clear && path.chars().all(is_plain) { Ok(()) } else { Err(Distrust::Path) }
}

/// Returns scheme, host and port. The rest of an address may be secret.
pub(super) fn shown(list: &Url) -> String {
    let port = list.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host: String = list.host_str().unwrap_or_default().chars().take(MAX_SHOWN).collect();
    format!("{}://{host}{port}", list.scheme())
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;

    use super::*;
    use crate::telemetry::captured::Captured;

    #[test]
    fn an_untrusted_row_is_logged_once_until_it_changes() {
        let (log, _captured) = Captured::here(LevelFilter::INFO);
        let mut distrusted = Distrusted::default();
        let one = |distrust: Distrust| BTreeMap::from([("acme".parse().unwrap(), distrust)]);
        for (now, lines) in [
            (one(Distrust::Path), 1),
            (one(Distrust::Path), 1),
            (one(Distrust::Column("env")), 2),
            (one(Distrust::Column("env")), 2),
            (BTreeMap::new(), 2),
            (one(Distrust::Column("env")), 3),
            (one(Distrust::Copied), 3),
        ] {
            distrusted.replace(now);
            assert_eq!(log.lines().len(), lines);
        }
        let many = (0..5_000).map(|n| (format!("p-{n}").parse().unwrap(), Distrust::Path));
        distrusted.replace(many.collect());
        assert_eq!(log.lines().len(), 3 + MAX_NAMED + 1, "the number of lines is bounded");
    }
}
