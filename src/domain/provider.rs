//! Providers: who serves models, and where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::closed::closed_enum;
use super::id::ProviderId;

closed_enum!(
    /// What the health probes of a provider last said.
    ProviderStatus {
        /// The last probes answered.
        Healthy = "healthy",
        /// Answers, but slowly, or not always.
        Degraded = "degraded",
        /// Does not answer, or refuses the key.
        Down = "down",
        /// Not probed: no key is set, or no probe has run yet.
        Unknown = "unknown",
    }
);

impl ProviderStatus {
    /// Whether `healthy_only=true` keeps the provider's models. Fails open: what is unknown counts as usable.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Healthy | Self::Unknown)
    }
}

/// A company or service that serves models over an API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Such as `openai`.
    pub id: ProviderId,
    /// For people.
    pub name: String,
    /// The root of its native API.
    pub base_url: String,
    /// The root of its OpenAI-compatible API, where it has one.
    pub openai_compatible_base_url: Option<String>,
    /// Documentation of its models.
    pub docs_url: Option<String>,
    /// The address of its own model list, for health probes.
    pub models_list_url: Option<String>,
    /// Whether that list needs a key.
    pub models_list_needs_key: bool,
    /// The header that carries the key.
    pub auth_header: String,
    /// What stands before the key in that header, such as `Bearer`.
    pub auth_scheme: Option<String>,
    /// Headers that every call needs besides.
    pub extra_headers: BTreeMap<String, String>,
    /// The environment variables that may hold its key, in order of preference.
    pub env: Vec<String>,
    /// `false` hides the provider and all its models.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

pub(super) fn enabled() -> bool {
    true
}
