//! The request for a provider's model list: address and headers.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::catalogue::CatalogueSource;
use crate::domain::provider::Provider;

use super::base_urls::ProviderBaseUrls;
use super::keys::ProviderKeys;
use super::known::Known;
use super::standing::Reason;
use super::trust::{Distrust, check_columns, check_headers, check_host, check_path, shown};

/// The longest address that is accepted, in bytes.
const MAX_ADDRESS: usize = 2_000;

/// The request for one provider's model list. It holds the key, which `Debug` hides.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub url: Url,
    pub headers: HeaderMap,
    /// Whether the operator has named the host, which may then have a private address.
    pub is_named: bool,
}

/// Why a provider is not probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// [`Reason::NoKey`], [`Reason::BadKey`] or [`Reason::NoList`].
    Impossible(Reason),
    /// The row could divert the key.
    Untrusted(Distrust),
}

impl Refusal {
    /// Returns the reason that health reports.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Impossible(reason) => *reason,
            Self::Untrusted(_) => Reason::UntrustedAddress,
        }
    }
}

impl From<Distrust> for Refusal {
    fn from(distrust: Distrust) -> Self {
        Self::Untrusted(distrust)
    }
}

const NO_LIST: Refusal = Refusal::Impossible(Reason::NoList);

impl Target {
    /// Decides where to request the provider's list and what to send.
    ///
    /// A key goes to the host that this build knows, or to the one that the operator has named. The row of a known provider
    /// decides on the path on its own host only, and only if it came from the database. The row of an unknown provider
    /// decides on the headers and the path below the named host, if it came from the database.
    ///
    /// # Errors
    /// [`Refusal`] if the list must not or cannot be requested. An untrusted row is reported with or without a key.
    pub fn of(
        provider: &Provider,
        source: CatalogueSource,
        keys: &ProviderKeys,
        base_urls: &ProviderBaseUrls,
    ) -> Result<Self, Refusal> {
        let (known, named) = (Known::of(provider.id.as_str()), base_urls.of(&provider.id));
        let list = provider.models_list_url.as_deref().filter(|list| list.len() <= MAX_ADDRESS);
        let list: Url = list.and_then(|list| list.parse().ok()).ok_or(NO_LIST)?;
        let (url, mut headers, auth_header, auth_scheme) = match known {
            Some(known) => {
                check_columns(known, provider)?;
                let base: Url = known.base_url.parse().map_err(|_| NO_LIST)?;
                let url = match (named, source) {
                    (None, _) => {
                        check_host(known, &list)?;
                        if source == CatalogueSource::Kv { below(&base, known.list)? } else { cleaned(list)? }
                    }
                    // A gateway may choose its upstream by the path, so the row does not decide on it.
                    (Some(named), _) => below(named, known.list)?,
                };
                let name = HeaderName::try_from(known.auth_header).map_err(|_| NO_LIST)?;
                (url, header_map(known.extra_headers.iter().copied())?, name, known.auth_scheme)
            }
            None => {
                let Some(named) = named else {
                    let (id, given) = (provider.id.to_string(), shown(&list));
                    return Err(Distrust::UnknownProvider { id, given }.into());
                };
                if source == CatalogueSource::Kv {
                    return Err(Distrust::Copied.into());
                }
                let extra =
                    provider.extra_headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                let headers = header_map(extra)?;
                let name = HeaderName::try_from(&provider.auth_header).map_err(|_| NO_LIST)?;
                check_headers(&name, &headers)?;
                (moved(named, provider, &list)?, headers, name, provider.auth_scheme.as_deref())
            }
        };
        match keys.of(&provider.id) {
            Some(key) => drop(headers.insert(auth_header, header_of(key, auth_scheme)?)),
            None if provider.models_list_needs_key => return Err(Refusal::Impossible(Reason::NoKey)),
            None => {}
        }
        Ok(Self { url, headers, is_named: named.is_some() })
    }
}

fn header_map<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Result<HeaderMap, Refusal> {
    let header = |(name, value): (&str, &str)| Some((name.parse().ok()?, value.parse().ok()?));
    headers.map(header).collect::<Option<_>>().ok_or(NO_LIST)
}

fn header_of(key: &str, scheme: Option<&str>) -> Result<HeaderValue, Refusal> {
    let value = scheme.map_or_else(|| key.to_owned(), |scheme| format!("{scheme} {key}"));
    let mut value = HeaderValue::try_from(value).map_err(|_| Refusal::Impossible(Reason::BadKey))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Moves the list of a row below the named address. A list outside the provider's base URL keeps its whole path. The query
/// is dropped: a gateway may choose its upstream by it.
fn moved(named: &Url, provider: &Provider, list: &Url) -> Result<Url, Refusal> {
    let base: Option<Url> = provider.base_url.parse().ok();
    let base = base.filter(|base| base.origin() == list.origin());
    let path =
        base.and_then(|base| list.path().strip_prefix(base.path().trim_end_matches('/')).map(str::to_owned));
    let path = path.filter(|path| path.starts_with('/')).unwrap_or_else(|| list.path().to_owned());
    Ok(below(named, &path)?)
}

/// Appends a path to an address. The host stays the same, whatever the path is.
fn below(base: &Url, path: &str) -> Result<Url, Distrust> {
    check_path(path)?;
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    Ok(url)
}

/// Checks the path of an address whose host was checked, and drops its fragment.
fn cleaned(mut list: Url) -> Result<Url, Distrust> {
    check_path(list.path())?;
    list.set_fragment(None);
    Ok(list)
}

#[cfg(test)]
mod tests;
