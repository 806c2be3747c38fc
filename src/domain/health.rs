//! Health of the providers.

use std::collections::BTreeMap;

use super::id::ProviderId;
use super::provider::ProviderStatus;

/// The last known status of each provider. Providers without one are unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderHealth(BTreeMap<ProviderId, ProviderStatus>);

impl ProviderHealth {
    /// Returns a provider's status.
    pub fn status_of(&self, provider: &str) -> ProviderStatus {
        self.0.get(provider).copied().unwrap_or(ProviderStatus::Unknown)
    }

    /// Whether no provider has a status.
    pub fn is_silent(&self) -> bool {
        self.0.values().all(|status| *status == ProviderStatus::Unknown)
    }
}

impl FromIterator<(ProviderId, ProviderStatus)> for ProviderHealth {
    fn from_iter<T: IntoIterator<Item = (ProviderId, ProviderStatus)>>(statuses: T) -> Self {
        Self(statuses.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_without_a_status_is_unknown_and_usable() {
        let openai = "openai".parse().unwrap();
        let health = ProviderHealth::from_iter([(openai, ProviderStatus::Down)]);
        assert_eq!(health.status_of("openai"), ProviderStatus::Down);
        assert_eq!(health.status_of("mistral"), ProviderStatus::Unknown);
        assert!(health.status_of("mistral").is_usable());
        assert!(!health.is_silent() && ProviderHealth::default().is_silent());
    }
}
