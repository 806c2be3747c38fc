//! `PROVIDER_BASE_URLS`: the hosts that the operator trusts with a provider's key.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use reqwest::Url;

use crate::domain::id::ProviderId;
use crate::outgoing;

use super::known::{KNOWN, Known, variable_of};

/// Addresses that replace the providers' own base URLs, such as those of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderBaseUrls(BTreeMap<ProviderId, Url>);

/// An invalid list. The message never repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected pairs such as openai=https://gateway.example/openai/v1, comma-separated; each provider id once, in the \
     catalogue's case and with its own key variable; each address with https:// (http:// on this machine only), without \
     user, query or fragment"
)]
pub struct InvalidBaseUrls;

impl ProviderBaseUrls {
    pub(super) fn of(&self, provider: &ProviderId) -> Option<&Url> {
        self.0.get(provider)
    }

    pub(super) fn providers(&self) -> impl Iterator<Item = &ProviderId> {
        self.0.keys()
    }
}

impl FromStr for ProviderBaseUrls {
    type Err = InvalidBaseUrls;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut urls, mut variables) = (BTreeMap::new(), BTreeSet::new());
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (id, url) = pair.split_once('=').ok_or(InvalidBaseUrls)?;
            let id: ProviderId = id.trim().parse().map_err(|_| InvalidBaseUrls)?;
            if Known::of(id.as_str()).is_none() {
                // In the wrong case, the id names another provider, and the key would go to the known host.
                let differs_in_case = Known::of(&id.as_str().to_ascii_lowercase()).is_some();
                // One key must not go to two hosts, such as those of `my-gateway` and `my.gateway`.
                let variable = variable_of(id.as_str());
                let is_taken = KNOWN.iter().any(|known| known.variables.contains(&variable.as_str()));
                if differs_in_case || is_taken || !variables.insert(variable) {
                    return Err(InvalidBaseUrls);
                }
            }
            let url = outgoing::secret_base(url).ok_or(InvalidBaseUrls)?;
            if urls.insert(id, url).is_some() {
                return Err(InvalidBaseUrls);
            }
        }
        Ok(Self(urls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_needs_one_provider_and_a_safe_address() {
        for text in [
            "openai",
            "openai=",
            "=https://a",
            "o/i=https://a",
            "openai=http://a",
            "openai=https://u:p@a",
            "openai=https://a?b",
            "openai=https://a,openai=https://b",
            "OpenAI=https://a",
            "my-gateway=https://a,my_gateway=https://b",
            "my.gateway=https://a,MY:Gateway=https://a",
            "gemini=https://a",
            "Llama=https://a",
            "openai=https://api.openai.com@a",
            "openai=https://a#b",
        ] {
            assert_eq!(text.parse::<ProviderBaseUrls>(), Err(InvalidBaseUrls), "{text}");
        }
        let urls: ProviderBaseUrls =
            "openai=http://127.0.0.1:9/x/, acme=https://acme.example,".parse().unwrap();
        let url = |id: &str| urls.of(&id.parse().unwrap()).map(Url::as_str);
        assert_eq!(url("openai"), Some("http://127.0.0.1:9/x"));
        assert_eq!(url("acme"), Some("https://acme.example/"));
        assert_eq!(url("Acme"), None);
    }
}
