//! Closed enumerations: one table of names for parsing, printing, JSON, error messages and schemas.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// A name that is not in the enumeration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not one of {}", allowed.join(", "))]
pub struct UnknownName {
    /// The given name.
    pub given: String,
    /// All names, in the order of the table.
    pub allowed: &'static [&'static str],
}

/// Declares an enumeration whose variants have fixed `snake_case` names.
///
/// Generates `ALL`, `NAMES`, `MEANINGS`, `as_str`, `FromStr` (exact), `Display`, serde and the schema.
macro_rules! closed_enum {
    (
        $(#[doc = $doc:literal])*
        $type:ident { $($(#[doc = $meaning:literal])* $variant:ident = $name:literal),+ $(,)? }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[doc = $meaning])* $variant),+ }

        #[allow(dead_code, reason = "not every enumeration needs all of these")]
        impl $type {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// Every name, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($name),+];
            /// Every meaning, in the same order.
            pub const MEANINGS: &'static [&'static str] = &[$(concat!($($meaning),*)),+];

            /// Returns the name in JSON, SQL and queries.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::domain::closed::UnknownName;
            fn from_str(given: &str) -> Result<Self, Self::Err> {
                match given {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::domain::closed::UnknownName {
                        given: given.to_owned(),
                        allowed: Self::NAMES,
                    }),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        $crate::domain::text::text_serde!($type);

        impl utoipa::ToSchema for $type {}

        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::domain::closed::schema(concat!($($doc),*), Self::NAMES, Self::MEANINGS)
            }
        }
    };
}
pub(crate) use closed_enum;

/// Builds the schema from names and meanings.
pub(crate) fn schema(about: &str, names: &[&str], meanings: &[&str]) -> RefOr<Schema> {
    let rows = names.iter().zip(meanings).map(|(name, meaning)| format!("\n- `{name}`: {}", meaning.trim()));
    let description: String = std::iter::once(format!("{}\n", about.trim())).chain(rows).collect();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names.iter().copied()))
        .description(Some(description))
        .into()
}
