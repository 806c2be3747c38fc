//! `PROVIDER_BASE_URLS`: the hosts that the operator trusts with a provider's key.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use reqwest::Url;

use crate::domain::id::ProviderId;
use crate::kv_client::KvBaseUrl;

use super::known::{KNOWN, Known, variable_of};

/// Addresses that take the place of the providers' own base URLs, such as those of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderBaseUrls(BTreeMap<ProviderId, Url>);

/// Text that is not a list of base URLs. Never says what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {}", ProviderBaseUrls::EXPECTED)]
pub struct InvalidBaseUrls;

impl ProviderBaseUrls {
    /// What is expected of them.
    pub const EXPECTED: &str = "pairs such as openai=https://gateway.example/openai/v1, comma-separated, each with a \
                                provider's id (one pair for each, in the case of the catalogue, and none whose key is another one's variable) and an address that begins with https:// (http:// \
                                on this machine only), without user, query or fragment";

    /// The address that the operator has named for that provider.
    pub(super) fn of(&self, provider: &ProviderId) -> Option<&Url> {
        self.0.get(provider)
    }

    /// The providers that the operator has named.
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
            // In another case it would name another provider, and the key would go to the known one's own host.
            if Known::of(id.as_str()).is_none() && Known::of(&id.as_str().to_ascii_lowercase()).is_some() {
                return Err(InvalidBaseUrls);
            }
            if Known::of(id.as_str()).is_none() {
                let variable = variable_of(id.as_str());
                let mut known = KNOWN.iter().flat_map(|known| known.variables);
                // One key must not go to the hosts of two providers, such as `my-gateway` and `my.gateway`.
                if known.any(|known| *known == variable) || !variables.insert(variable) {
                    return Err(InvalidBaseUrls);
                }
            }
            // The provider's key travels there: the rule is that of Cloudflare's token.
            let url: KvBaseUrl = url.parse().map_err(|_| InvalidBaseUrls)?;
            let url = url.as_str().parse().map_err(|_| InvalidBaseUrls)?;
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
    fn a_base_url_has_one_provider_and_an_address_that_keeps_a_key() {
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
