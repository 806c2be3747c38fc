//! The envelope of a value in the shared tier: readable JSON that identifies it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::cache::{Digest, Found};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    format: u32,
    schema: u32,
    key: &'a str,
    version: u64,
    #[serde(with = "time::serde::rfc3339")]
    loaded_at: OffsetDateTime,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Returns the SHA-256 of a value, byte by byte as in the envelope.
pub(super) fn digest(value: &str) -> Digest {
    Sha256::digest(value).into()
}

/// Why the content of a key is not its value. Each is a miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// Not an envelope, or cut short.
    Unreadable,
    /// Of another format or schema, written by another release.
    OtherSchema,
    /// Written for another key.
    OtherKey,
}

/// Puts a value into an envelope. `None` if that is not possible as JSON.
pub(super) fn seal(
    key: &str,
    schema: u32,
    version: u64,
    loaded_at: OffsetDateTime,
    value: &RawValue,
) -> Option<Vec<u8>> {
    let envelope = Envelope { format: FORMAT, schema, key, version, loaded_at, value };
    serde_json::to_vec(&envelope).ok()
}

/// Opens the envelope of this key and schema. Accepts any date, because the local clock may be the wrong one.
///
/// # Errors
/// [`Rejected`], for any bytes; never panics.
pub(super) fn open(bytes: &[u8], key: &str, schema: u32) -> Result<Found, Rejected> {
    /// Read first, to distinguish another release's envelope from a damaged one.
    #[derive(Deserialize)]
    struct Header {
        format: u32,
        schema: u32,
    }
    let header: Header = serde_json::from_slice(bytes).map_err(|_| Rejected::Unreadable)?;
    if (header.format, header.schema) != (FORMAT, schema) {
        return Err(Rejected::OtherSchema);
    }
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|_| Rejected::Unreadable)?;
    if envelope.key != key {
        return Err(Rejected::OtherKey);
    }
    // The database counts no further.
    if i64::try_from(envelope.version).is_err() {
        return Err(Rejected::Unreadable);
    }
    let json = envelope.value.get();
    let digest = digest(json);
    Ok(Found { version: envelope.version, loaded_at: envelope.loaded_at, json: json.to_owned(), digest })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const KEY: &str = "chatchonk:test:catalogue.1:all";

    fn sealed() -> Vec<u8> {
        let value = serde_json::value::to_raw_value(&["a", "b"]).unwrap();
        seal(KEY, 1, 42, NOW, &value).unwrap()
    }

    #[test]
    fn what_is_sealed_has_these_very_bytes() {
        let golden = r#"{"format":1,"schema":1,"key":"chatchonk:test:catalogue.1:all","version":42,"loaded_at":"2026-11-22T12:00:00Z","value":["a","b"]}"#;
        assert_eq!(String::from_utf8(sealed()).unwrap(), golden);
    }

    #[test]
    fn an_envelope_opens_for_its_own_key_and_schema_only() {
        let bytes = sealed();
        let opened = open(&bytes, KEY, 1).unwrap();
        assert_eq!((opened.version, opened.loaded_at, &*opened.json), (42, NOW, r#"["a","b"]"#));
        assert_eq!(open(&bytes, KEY, 2).unwrap_err(), Rejected::OtherSchema);
        assert_eq!(open(&bytes, "chatchonk:test:catalogue.1:x", 1).unwrap_err(), Rejected::OtherKey);
    }

    /// What may happen to an envelope in transit or in the store.
    #[derive(Debug, Clone)]
    enum Mutation {
        Change { at: usize, byte: u8 },
        Insert { at: usize, bytes: Vec<u8> },
        Cut { from: usize, until: usize },
        SwapFields { one: usize, other: usize },
        RenameField { field: usize, to: &'static str },
        RepeatField { field: usize, value: &'static str },
        DropField { field: usize },
        Nest { array: bool },
        OtherSchema { schema: u32 },
    }

    const FIELDS: [&str; 6] = ["format", "schema", "key", "version", "loaded_at", "value"];

    impl Mutation {
        fn any() -> impl Strategy<Value = Self> {
            let place = || 0_usize..140;
            let field = || 0..FIELDS.len();
            let value = prop::sample::select(vec!["1", "2", "\"x\"", "null", "{}"]);
            prop_oneof![
                (place(), any::<u8>()).prop_map(|(at, byte)| Self::Change { at, byte }),
                (place(), prop::collection::vec(any::<u8>(), 1..9))
                    .prop_map(|(at, bytes)| Self::Insert { at, bytes }),
                (place(), place()).prop_map(|(from, until)| Self::Cut { from, until }),
                (field(), field()).prop_map(|(one, other)| Self::SwapFields { one, other }),
                (field(), prop::sample::select(vec!["", "Key", "valu", "schema", "key"]))
                    .prop_map(|(field, to)| Self::RenameField { field, to }),
                (field(), value).prop_map(|(field, value)| Self::RepeatField { field, value }),
                field().prop_map(|field| Self::DropField { field }),
                any::<bool>().prop_map(|array| Self::Nest { array }),
                (0_u32..4).prop_map(|schema| Self::OtherSchema { schema }),
            ]
        }

        fn apply(&self, bytes: &[u8]) -> Vec<u8> {
            let mut bytes = bytes.to_vec();
            let end = bytes.len();
            let text = || String::from_utf8_lossy(&bytes).into_owned();
            let name = |field: usize| format!("\"{}\":", FIELDS[field]);
            match self {
                Self::Change { at, byte } => {
                    if let Some(place) = bytes.get_mut(*at) {
                        *place = *byte;
                    }
                    bytes
                }
                Self::Insert { at, bytes: more } => {
                    let at = *at.min(&end);
                    bytes.splice(at..at, more.iter().copied());
                    bytes
                }
                Self::Cut { from, until } => {
                    bytes.drain(*from.min(until).min(&end)..*until.max(from).min(&end));
                    bytes
                }
                Self::SwapFields { one, other } => {
                    let text = text().replace(&name(*one), "\0");
                    text.replace(&name(*other), &name(*one)).replace('\0', &name(*other)).into_bytes()
                }
                Self::RenameField { field, to } => {
                    text().replace(&name(*field), &format!("\"{to}\":")).into_bytes()
                }
                Self::RepeatField { field, value } => {
                    text().replacen('{', &format!("{{{}{value},", name(*field)), 1).into_bytes()
                }
                Self::DropField { field } => text().replace(&name(*field), "").into_bytes(),
                Self::Nest { array: true } => format!("[{}]", text()).into_bytes(),
                Self::Nest { array: false } => format!("{{\"value\":{}}}", text()).into_bytes(),
                Self::OtherSchema { schema } => {
                    text().replace("\"schema\":1", &format!("\"schema\":{schema}")).into_bytes()
                }
            }
        }
    }

    /// `PROPTEST_CASES=1000000` runs more.
    fn cases() -> ProptestConfig {
        let set = ProptestConfig::default();
        let usual = ProptestConfig::with_cases(256).cases;
        let cases = if set.cases == usual { 10_000 } else { set.cases };
        ProptestConfig { cases, failure_persistence: None, ..set }
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn a_mutated_envelope_is_refused_or_one_of_this_key_and_schema(
            mutations in prop::collection::vec(Mutation::any(), 1..4)
        ) {
            let bytes = mutations.iter().fold(sealed(), |bytes, mutation| mutation.apply(&bytes));
            if let Ok(opened) = open(&bytes, KEY, 1) {
                // A changed character inside version, date or value is undetectable here; structure, key and schema are
                // checked.
                let whole: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                prop_assert_eq!((&whole["format"], &whole["schema"]), (&FORMAT.into(), &1.into()));
                prop_assert_eq!(&whole["key"], KEY);
                prop_assert_eq!(&whole["version"], opened.version);
                prop_assert_eq!(&whole["value"], &serde_json::from_str::<serde_json::Value>(&opened.json).unwrap());
            }
        }
    }
}
