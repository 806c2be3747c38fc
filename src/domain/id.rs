//! Identifiers of providers, models and task types.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use utoipa::ToSchema;

use super::text::text_serde;

/// Longest identifier in bytes, as in the columns' CHECKs.
pub const MAX_ID_BYTES: usize = 200;

/// Text that is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Empty, too long, or with an invalid character.
    #[error("an id has 1 to {MAX_ID_BYTES} characters out of A-Z a-z 0-9 . _ : @ - and, for models, /")]
    Malformed,
    /// A model id that is not `provider/name`.
    #[error("a model id is `provider/name`")]
    NoProvider,
}

fn check_characters(text: &str, others: &[u8]) -> Result<(), InvalidId> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || others.contains(&b);
    let is_valid = (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(allowed);
    if is_valid { Ok(()) } else { Err(InvalidId::Malformed) }
}

macro_rules! text_id {
    ($(#[$meta:meta])* $type:ident, $pattern:literal, $check:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
        #[schema(value_type = String, pattern = $pattern, max_length = 200)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> Result<(), InvalidId> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        text_serde!($type);

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A provider, such as `openai`.
    ProviderId,
    "^[A-Za-z0-9._:@-]+$",
    |text| check_characters(text, b"._:@-")
);
text_id!(
    /// A task type, such as `summarization`.
    TaskId,
    "^[A-Za-z0-9._:@-]+$",
    |text| check_characters(text, b"._:@-")
);
text_id!(
    /// A model: `provider/name`. The name may contain `/` and `:`.
    ModelId,
    "^[A-Za-z0-9._:@-]+/[A-Za-z0-9._:@/-]+$",
    |text| {
        check_characters(text, b"._:@-/")?;
        match text.split_once('/') {
            Some((provider, name)) if !provider.is_empty() && !name.is_empty() => Ok(()),
            _ => Err(InvalidId::NoProvider),
        }
    }
);

impl ModelId {
    /// Returns the part before the first `/`.
    pub fn provider(&self) -> &str {
        self.0.split_once('/').map_or("", |(provider, _)| provider)
    }

    /// Returns the part after the first `/`: the provider's name of the model, unless its row has another.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_ids_may_contain_slashes_and_colons() {
        let id: ModelId = "openrouter/meta/llama-3:free".parse().unwrap();
        assert_eq!(id.provider(), "openrouter");
    }

    #[test]
    fn ids_reject_invalid_characters_and_lengths() {
        for bad in ["", "a b", "a\0b", "é", "a%2Fb", &"x".repeat(201)] {
            assert!(bad.parse::<ProviderId>().is_err(), "{bad:?}");
            assert!(bad.parse::<ModelId>().is_err(), "{bad:?}");
        }
        for bad in ["openai", "/gpt", "openai/"] {
            assert_eq!(bad.parse::<ModelId>(), Err(InvalidId::NoProvider), "{bad:?}");
        }
    }
}
