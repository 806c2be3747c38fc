//! The providers' keys.

use std::collections::HashMap;
use std::fmt;

use crate::domain::provider::Provider;

/// How the names of variables end that may hold a key. The catalogue's column `env` holds the same rule.
const ENDINGS: [&str; 3] = ["_API_KEY", "_KEY", "_TOKEN"];

/// The variables that may hold a provider's key, by name. A key goes to its own provider and nowhere else: `Debug` shows
/// names only.
#[derive(Clone, Default)]
pub struct ProviderKeys(HashMap<String, String>);

impl fmt::Debug for ProviderKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(String, String)> for ProviderKeys {
    /// Takes those whose names look like a key's; the rest is not kept.
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        let looks_like_one = |name: &str| ENDINGS.iter().any(|ending| name.ends_with(ending));
        Self(variables.into_iter().filter(|(name, _)| looks_like_one(name)).collect())
    }
}

impl ProviderKeys {
    /// Whether a key for the provider is set.
    #[must_use]
    pub fn configured(&self, provider: &Provider) -> bool {
        self.of(provider).is_some()
    }

    /// The key of the provider: the first of its variables that is set.
    pub(super) fn of(&self, provider: &Provider) -> Option<&str> {
        provider.env.iter().find_map(|name| self.0.get(name)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_key_is_kept_and_no_value_is_printed() {
        let variables = ["OPENAI_API_KEY", "HF_TOKEN", "DATABASE_URL", "HOME"];
        let keys: ProviderKeys =
            variables.into_iter().map(|name| (name.to_owned(), "hunter2".to_owned())).collect();
        let mut kept: Vec<_> = keys.0.keys().map(String::as_str).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["HF_TOKEN", "OPENAI_API_KEY"]);
        assert!(!format!("{keys:?}").contains("hunter2"));
    }
}
