//! AutoModel, which its users also know as ModelSwapper: the health of providers and what they can serve.

mod board;
mod health;

use std::collections::HashSet;

pub use board::ProviderHealthBoard;
pub use health::{AutoModelHealth, ProviderReport, TaskReport};

use crate::domain::provider::Provider;

/// The names of the environment variables that are set. Values stay where they are until a probe needs one.
#[derive(Debug, Clone, Default)]
pub struct ProviderKeys(HashSet<String>);

impl FromIterator<String> for ProviderKeys {
    fn from_iter<T: IntoIterator<Item = String>>(names: T) -> Self {
        Self(names.into_iter().collect())
    }
}

impl ProviderKeys {
    /// Whether a key for the provider is set.
    #[must_use]
    pub fn configured(&self, provider: &Provider) -> bool {
        provider.env.iter().any(|name| self.0.contains(name))
    }
}
