//! Where a provider's model list is requested, and with which headers.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::catalogue::CatalogueSource;
use crate::domain::provider::Provider;

use super::base_urls::ProviderBaseUrls;
use super::keys::ProviderKeys;
use super::known::Known;
use super::reason::Reason;
use super::trust::{Distrust, check_columns, check_headers, check_host, check_path, shown};

/// The longest address that is accepted, in bytes.
const MAX_ADDRESS: usize = 2_000;

/// The request for a model list. It holds the key, which `Debug` hides.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub url: Url,
    pub headers: HeaderMap,
    /// Whether the operator has named the host, which may have a private address.
    pub is_named: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// [`Reason::NoKey`], [`Reason::BadKey`] or [`Reason::NoList`].
    #[error("{0}")]
    Impossible(Reason),
    /// The row could divert the key.
    #[error(transparent)]
    Untrusted(#[from] Distrust),
}

impl Refusal {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Impossible(reason) => *reason,
            Self::Untrusted(_) => Reason::UntrustedAddress,
        }
    }
}

const NO_LIST: Refusal = Refusal::Impossible(Reason::NoList);

impl Target {
    /// A key goes to the host that this build knows, or to the one that the operator has named. A row decides on the path on
    /// a known provider's own host, or on the headers and the path of an unknown provider; a row from Cloudflare KV decides
    /// on nothing.
    ///
    /// # Errors
    /// [`Refusal`] if the list must not or cannot be requested. An untrusted row is reported even without a key.
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
                    // A gateway may choose its upstream by the path.
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

/// Moves a list below the named address. A list outside the provider's base URL keeps its whole path. The query is dropped:
/// a gateway may choose its upstream by it.
fn moved(named: &Url, provider: &Provider, list: &Url) -> Result<Url, Refusal> {
    let base: Option<Url> = provider.base_url.parse().ok();
    let base = base.filter(|base| base.origin() == list.origin());
    let path =
        base.and_then(|base| list.path().strip_prefix(base.path().trim_end_matches('/')).map(str::to_owned));
    let path = path.filter(|path| path.starts_with('/')).unwrap_or_else(|| list.path().to_owned());
    Ok(below(named, &path)?)
}

/// Appends a path. The host stays the same, whatever the path is.
fn below(base: &Url, path: &str) -> Result<Url, Distrust> {
    check_path(path)?;
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    Ok(url)
}

/// Checks the path, after the host, and drops the fragment.
fn cleaned(mut list: Url) -> Result<Url, Distrust> {
    check_path(list.path())?;
    list.set_fragment(None);
    Ok(list)
}

#[cfg(test)]
mod tests;
