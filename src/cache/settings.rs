//! What is set of the shared tier.

/// The three variables of Cloudflare KV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvSettings {
    /// None of them, or only some.
    NotConfigured {
        /// The missing ones, when others are set.
        missing: Vec<&'static str>,
    },
    /// All of them. This release still caches in memory only.
    Configured,
}

impl KvSettings {
    /// What there is to say about them, and the way out; nothing when none of the variables is set.
    #[must_use]
    pub fn remark(&self) -> Option<(String, &'static str)> {
        match self {
            Self::NotConfigured { missing } if missing.is_empty() => None,
            Self::NotConfigured { missing } => {
                let verb = if missing.len() == 1 { "is" } else { "are" };
                let reason = format!("KV not configured: {} {verb} missing", missing.join(", "));
                Some((reason, "set all three variables, or none"))
            }
            Self::Configured => {
                let reason = "the variables are set, but this release caches in memory only";
                Some((reason.to_owned(), "nothing to do"))
            }
        }
    }
}
