//! Where a provider is asked for its models, and with what.

use std::collections::BTreeMap;
use std::str::FromStr;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::cache::KvBaseUrl;
use crate::domain::id::ProviderId;
use crate::domain::provider::Provider;

use super::keys::ProviderKeys;
use super::standing::Reason;

/// Addresses that take the place of the providers' own base URLs, such as those of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderBaseUrls(BTreeMap<ProviderId, String>);

/// Text that is not a list of base URLs. Never says what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {}", ProviderBaseUrls::EXPECTED)]
pub struct InvalidBaseUrls;

impl ProviderBaseUrls {
    /// What is expected of them.
    pub const EXPECTED: &str = "pairs such as openai=https://gateway.example/openai/v1, comma-separated, each with a \
                                provider's id and an address that begins with https:// (http:// on this machine only), \
                                without user, query or fragment";
}

impl FromStr for ProviderBaseUrls {
    type Err = InvalidBaseUrls;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (id, url) = pair.split_once('=')?;
            // The key of the provider travels there: the rule is that of Cloudflare's token.
            Some((id.trim().parse().ok()?, url.parse::<KvBaseUrl>().ok()?.as_str().to_owned()))
        };
        pairs.map(pair).collect::<Option<_>>().map(Self).ok_or(InvalidBaseUrls)
    }
}

/// The request for one provider's list of models. Holds the key: `Debug` hides it.
#[derive(Debug, Clone)]
pub struct Target {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
}

impl Target {
    /// The request for that provider's list.
    ///
    /// # Errors
    /// Why it must not, or cannot, be asked: [`Reason::NoKey`], [`Reason::BadKey`] or [`Reason::NoList`].
    pub fn of(
        provider: &Provider,
        keys: &ProviderKeys,
        base_urls: &ProviderBaseUrls,
    ) -> Result<Self, Reason> {
        let key = keys.of(provider);
        if key.is_none() && provider.models_list_needs_key {
            return Err(Reason::NoKey);
        }
        let url = list_url(provider, base_urls).ok_or(Reason::NoList)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &provider.extra_headers {
            let name: HeaderName = name.parse().map_err(|_| Reason::NoList)?;
            headers.insert(name, value.parse().map_err(|_| Reason::NoList)?);
        }
        if let Some(key) = key {
            let name: HeaderName = provider.auth_header.parse().map_err(|_| Reason::NoList)?;
            let value = match &provider.auth_scheme {
                Some(scheme) => format!("{scheme} {key}"),
                None => key.to_owned(),
            };
            let mut value = HeaderValue::try_from(value).map_err(|_| Reason::BadKey)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self { url, headers })
    }
}

/// The address of the list. What the catalogue says must begin with https: a key travels there.
fn list_url(provider: &Provider, base_urls: &ProviderBaseUrls) -> Option<Url> {
    let list = provider.models_list_url.as_deref()?;
    let Some(base_url) = base_urls.0.get(&provider.id) else {
        return list.parse().ok().filter(|url: &Url| url.scheme() == "https");
    };
    // A list that does not lie below the provider's base URL keeps its path. Nothing is sent to the provider itself.
    let path = match list.strip_prefix(provider.base_url.trim_end_matches('/')) {
        Some(path) => path.to_owned(),
        None => list.parse::<Url>().ok()?.path().to_owned(),
    };
    format!("{base_url}{path}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::seed::Seed;

    fn provider(id: &str) -> Provider {
        let seed = Seed::builtin().unwrap();
        seed.providers.into_iter().find(|provider| provider.id.as_str() == id).unwrap()
    }

    fn keys(variables: &[(&str, &str)]) -> ProviderKeys {
        variables.iter().map(|(name, key)| ((*name).to_owned(), (*key).to_owned())).collect()
    }

    fn target(provider: &Provider, key: &str) -> Result<Target, Reason> {
        Target::of(provider, &keys(&[(&provider.env[0], key)]), &ProviderBaseUrls::default())
    }

    #[test]
    fn each_provider_is_asked_at_its_own_address_in_its_own_way() {
        for (id, url, name, value, others) in [
            ("openai", "https://api.openai.com/v1/models", "authorization", "Bearer k", 0),
            ("anthropic", "https://api.anthropic.com/v1/models", "x-api-key", "k", 1),
            ("google", "https://generativelanguage.googleapis.com/v1beta/models", "x-goog-api-key", "k", 0),
            ("cohere", "https://api.cohere.com/v1/models", "authorization", "Bearer k", 0),
        ] {
            let target = target(&provider(id), "k").unwrap();
            assert_eq!((target.url.as_str(), target.headers[name].to_str().unwrap()), (url, value));
            assert_eq!(target.headers.len(), 1 + others, "{id}");
        }
        let anthropic = target(&provider("anthropic"), "k").unwrap();
        assert_eq!(anthropic.headers["anthropic-version"], "2023-06-01");
    }

    #[test]
    fn without_a_key_only_a_list_that_needs_none_is_asked_for() {
        let none = ProviderKeys::default();
        let of = |id| Target::of(&provider(id), &none, &ProviderBaseUrls::default());
        assert_eq!(of("openai").unwrap_err(), Reason::NoKey);
        assert!(of("openrouter").unwrap().headers.is_empty());
        assert_eq!(target(&provider("openrouter"), "k").unwrap().headers["authorization"], "Bearer k");
    }

    #[test]
    fn a_key_goes_nowhere_in_the_clear_and_is_not_printed() {
        let openai = provider("openai");
        let at = |url: &str| Provider { models_list_url: Some(url.to_owned()), ..openai.clone() };
        assert_eq!(target(&at("http://api.openai.com/v1/models"), "k").unwrap_err(), Reason::NoList);
        assert_eq!(target(&at("nowhere"), "k").unwrap_err(), Reason::NoList);
        let none = Provider { models_list_url: None, ..openai.clone() };
        assert_eq!(target(&none, "k").unwrap_err(), Reason::NoList);
        assert_eq!(target(&openai, "hunter2\nx: y").unwrap_err(), Reason::BadKey);
        assert!(!format!("{:?}", target(&openai, "hunter2")).contains("hunter2"));
    }

    #[test]
    fn a_base_url_takes_the_place_of_the_providers_own() {
        let base_urls: ProviderBaseUrls =
            "openai=http://127.0.0.1:9/x/, cohere=https://gateway.example,".parse().unwrap();
        let url = |provider: &Provider| list_url(provider, &base_urls).unwrap().to_string();
        assert_eq!(url(&provider("openai")), "http://127.0.0.1:9/x/models");
        assert_eq!(url(&provider("cohere")), "https://gateway.example/v1/models");
        assert_eq!(url(&provider("groq")), "https://api.groq.com/openai/v1/models");
        let elsewhere = Provider { base_url: "https://other.example".to_owned(), ..provider("openai") };
        assert_eq!(url(&elsewhere), "http://127.0.0.1:9/x/v1/models");
        for text in
            ["openai", "openai=", "=https://a", "o/i=https://a", "openai=http://a", "openai=https://u:p@a"]
        {
            assert_eq!(text.parse::<ProviderBaseUrls>(), Err(InvalidBaseUrls), "{text}");
        }
    }
}
