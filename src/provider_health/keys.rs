//! The providers' keys.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::id::ProviderId;

use super::base_urls::ProviderBaseUrls;
use super::known::{KNOWN, Known, variable_of};

/// The keys by provider. This build and `PROVIDER_BASE_URLS` decide on their variables, the catalogue does not. `Debug` shows
/// ids only.
#[derive(Clone, Default)]
pub struct ProviderKeys(BTreeMap<ProviderId, String>);

impl fmt::Debug for ProviderKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ProviderKeys {
    /// Reads the keys of the providers that this build knows or the operator has named.
    pub fn read<'a>(base_urls: &ProviderBaseUrls, variable: impl Fn(&str) -> Option<&'a str>) -> Self {
        let known = KNOWN.iter().filter_map(|known| {
            let key = known.variables.iter().find_map(|name| variable(name))?;
            Some((known.id.parse().ok()?, key.to_owned()))
        });
        let named = base_urls.providers().filter(|id| Known::of(id.as_str()).is_none());
        let named =
            named.filter_map(|id| Some((id.clone(), variable(&variable_of(id.as_str()))?.to_owned())));
        Self(known.chain(named).collect())
    }

    /// Whether a key for the provider is set.
    pub fn configured(&self, provider: &ProviderId) -> bool {
        self.0.contains_key(provider)
    }

    pub(super) fn of(&self, provider: &ProviderId) -> Option<&str> {
        self.0.get(provider).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(base_urls: &str, variables: &[(&str, &'static str)]) -> ProviderKeys {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        ProviderKeys::read(&base_urls.parse().unwrap(), value)
    }

    fn of<'a>(keys: &'a ProviderKeys, id: &str) -> Option<&'a str> {
        keys.of(&id.parse().unwrap())
    }

    #[test]
    fn a_key_is_read_for_known_and_named_providers_only() {
        let variables = [
            ("OPENAI_API_KEY", "hunter2"),
            ("HF_TOKEN", "hf"),
            ("ACME_API_KEY", "a"),
            ("AWS_SECRET_KEY", "s"),
        ];
        let keys = read("", &variables);
        assert_eq!((of(&keys, "openai"), of(&keys, "huggingface")), (Some("hunter2"), Some("hf")));
        assert_eq!(of(&keys, "acme"), None, "its host is not named");
        assert!(!format!("{keys:?}").contains("hunter2"));
        let named = read("acme=https://acme.example", &variables);
        assert_eq!(of(&named, "acme"), Some("a"));
        assert_eq!(named.0.len(), 3, "nothing else is kept");
    }

    #[test]
    fn an_id_similar_to_a_known_one_gets_no_key_unless_named() {
        let variables = [("OPENAI_API_KEY", "k"), ("MY_GATEWAY_API_KEY", "g"), ("MY_GATEWAY_TOKEN", "t")];
        let keys = read("", &variables);
        for id in ["OPENAI", "OpenAI", "openai.", "my-gateway"] {
            assert_eq!(of(&keys, id), None, "{id}");
        }
        let keys = read("my-gateway=https://gateway.example", &variables);
        assert_eq!((of(&keys, "my-gateway"), of(&keys, "my.gateway")), (Some("g"), None));
    }
}
