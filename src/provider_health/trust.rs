//! What in a provider's row is not trusted with its key, and how to allow it.

use std::collections::BTreeMap;
use std::fmt;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName};

use crate::domain::id::ProviderId;
use crate::domain::provider::Provider;

use super::known::{Known, variable_of};

/// Headers that say where a request goes, who sends it or where it ends, or that belong to one connection. A row must not
/// set them. `authorization` is the place of the key alone.
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
/// As above. Gateways are told their upstream by headers such as `x-portkey-custom-host`, `x-portkey-config`,
/// `helicone-target-url` and `helicone-openai-api-base`.
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
/// As much of a host as a name can have. A row may hold more.
const MAX_SHOWN: usize = 253;

/// Why a provider is not probed although its row has an address. `Display` says how to allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Distrust {
    /// The row names another host than this build, or not the standard port of https.
    Host { id: &'static str, trusted: &'static str, given: String },
    /// This build does not know the provider, and the operator has not named its host.
    UnknownProvider { id: String, given: String },
    /// The path has characters or segments that a gateway could take for another path.
    Path,
    /// The row has another value in that column than this build.
    Column(&'static str),
    /// The row has a header that no row may set.
    Header(String),
    /// The row of a provider that this build does not know came from the shared tier, not from the database.
    Copied,
    /// Its host leads to private addresses only.
    Private,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { id, trusted, given } => write!(
                f,
                "its row leads to {given}, but its key goes to {trusted} only; to allow another host, set \
                 PROVIDER_BASE_URLS={id}=https://…, otherwise correct models_list_url"
            ),
            Self::UnknownProvider { id, given } => write!(
                f,
                "this build does not know the provider, and its row leads to {given}; to allow that, set \
                 PROVIDER_BASE_URLS={id}=https://… and its key as {}",
                variable_of(id)
            ),
            Self::Path => f.write_str(
                "the path of its models_list_url has a part such as .. or a character such as %; correct the row",
            ),
            Self::Column(column) => write!(
                f,
                "its row has another {column} than this build, which decides how its key is sent; put back the value \
                 of the seed, or add a provider with another id and name its host in PROVIDER_BASE_URLS"
            ),
            Self::Header(name) => write!(f, "its row sets the header {name}, which no row may set; remove it"),
            Self::Private => f.write_str(
                "its host leads to private addresses only; to allow that, name the host in PROVIDER_BASE_URLS",
            ),
            Self::Copied => f.write_str("its row came from Cloudflare KV; the database has not confirmed it yet"),
        }
    }
}

impl Distrust {
    /// Warns that the provider is not probed, and how to allow it.
    pub fn log(&self, provider: &ProviderId) {
        tracing::warn!(%provider, reason = "untrusted_address", "not probing provider {provider}: {self}");
    }
}

/// How many providers one look may put into the log by name.
const MAX_NAMED: usize = 20;

/// The providers whose rows are not trusted, for a warning when that changes and not at every look.
#[derive(Debug, Default)]
pub(super) struct Distrusted(BTreeMap<ProviderId, Distrust>);

impl Distrusted {
    /// Takes the place of what was known, and warns of each provider that was trusted before or has another fault now.
    pub fn replace(&mut self, now: BTreeMap<ProviderId, Distrust>) {
        // A copy is confirmed or replaced soon, without the operator.
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

/// Checks that a row has the variable and headers of this build.
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

/// Checks the headers that the row of an unknown provider asks for.
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

/// Checks that an address is on the host of a known provider, by https, at its standard port and without a user.
pub(super) fn check_host(known: &'static Known, list: &Url) -> Result<(), Distrust> {
    let trusted: Option<Url> = known.base_url.parse().ok();
    let is_trusted = trusted.as_ref().is_some_and(|trusted| trusted.origin() == list.origin())
        && list.scheme() == "https"
        && list.username().is_empty()
        && list.password().is_none();
    let (id, trusted) = (known.id, known.host());
    if is_trusted { Ok(()) } else { Err(Distrust::Host { id, trusted, given: shown(list) }) }
}

/// Checks that a path means the same to everyone who reads it.
pub(super) fn check_path(path: &str) -> Result<(), Distrust> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~:@/".contains(c);
    let is_segment = |segment: &str| segment.chars().any(|c| c != '.');
    let below = path.strip_prefix('/').unwrap_or(path);
    let below = below.strip_suffix('/').filter(|below| !below.is_empty()).unwrap_or(below);
    let is_clear = below.is_empty() || below.split('/').all(is_segment);
    if is_clear && path.chars().all(is_plain) { Ok(()) } else { Err(Distrust::Path) }
}

/// Scheme, host and port. What else an address has may be secret.
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
    fn a_row_that_is_not_trusted_is_logged_once_until_it_changes() {
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
        assert_eq!(log.lines().len(), 3 + MAX_NAMED + 1, "however many rows there are");
    }
}
