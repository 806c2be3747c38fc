//! Providers: companies and services that serve models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::closed::closed_enum;
use super::id::ProviderId;

closed_enum!(
    /// What the last probes of a provider showed.
    ProviderStatus {
        /// The last probes were answered.
        Healthy = "healthy",
        /// It answers, but slowly or not always.
        Degraded = "degraded",
        /// It does not answer, or refuses the key.
        Down = "down",
        /// Not probed: no key is set, or no probe has run.
        Unknown = "unknown",
    }
);

impl ProviderStatus {
    /// Whether `healthy_only=true` keeps the provider's models. Unknown counts as usable.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Healthy | Self::Unknown)
    }
}

/// A company or service with an API for models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Such as `openai`.
    pub id: ProviderId,
    /// For people.
    pub name: String,
    /// Root of its native API.
    pub base_url: String,
    /// Root of its OpenAI-compatible API.
    pub openai_compatible_base_url: Option<String>,
    /// Documentation of its models.
    pub docs_url: Option<String>,
    /// Address of its model list, for health probes.
    pub models_list_url: Option<String>,
    /// Whether the list needs a key.
    pub models_list_needs_key: bool,
    /// Header of the key.
    pub auth_header: String,
    /// Text before the key in that header, such as `Bearer`.
    pub auth_scheme: Option<String>,
    /// Further headers of every call.
    pub extra_headers: BTreeMap<String, String>,
    /// Environment variables that may hold its key, by preference.
    pub env: Vec<String>,
    /// `false` hides the provider and its models.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

pub(super) fn enabled() -> bool {
    true
}
