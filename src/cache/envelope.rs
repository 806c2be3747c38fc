//! The envelope around a value in the shared tier: readable JSON that says what it is, so that nothing else is ever
//! taken for it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::{Duration, OffsetDateTime};

/// The layout of the envelope itself.
const FORMAT: u32 = 1;
/// How far another machine's clock may be ahead.
const MAX_CLOCK_SKEW: Duration = Duration::minutes(5);

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

/// An opened envelope.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    pub version: u64,
    pub loaded_at: OffsetDateTime,
    /// The value as JSON, not yet decoded.
    pub value: &'a str,
}

/// Why what lies under a key is not taken for its value. Each is a miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// Not an envelope, or cut short.
    Unreadable,
    /// Of another format or schema: an older or newer release wrote it.
    OtherSchema,
    /// Written for another key.
    OtherKey,
    /// Dated later than a clock may be off.
    FromTheFuture,
}

/// Puts a value into an envelope. `None` when it cannot be written as JSON.
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

/// Opens an envelope, if it is one for this key and schema.
///
/// # Errors
/// [`Rejected`], whatever the bytes are; never panics.
pub(super) fn open<'a>(
    bytes: &'a [u8],
    key: &str,
    schema: u32,
    now: OffsetDateTime,
) -> Result<Opened<'a>, Rejected> {
    /// Read first, so that another release's envelope is told from a damaged one.
    #[derive(Deserialize)]
    struct Header {
        format: u32,
        schema: u32,
    }
    let header: Header = serde_json::from_slice(bytes).map_err(|_| Rejected::Unreadable)?;
    if (header.format, header.schema) != (FORMAT, schema) {
        return Err(Rejected::OtherSchema);
    }
    let envelope: Envelope<'a> = serde_json::from_slice(bytes).map_err(|_| Rejected::Unreadable)?;
    if envelope.key != key {
        return Err(Rejected::OtherKey);
    }
    if envelope.loaded_at > now + MAX_CLOCK_SKEW {
        return Err(Rejected::FromTheFuture);
    }
    Ok(Opened { version: envelope.version, loaded_at: envelope.loaded_at, value: envelope.value.get() })
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
    fn an_envelope_opens_for_its_own_key_schema_and_time_only() {
        let bytes = sealed();
        let opened = open(&bytes, KEY, 1, NOW).unwrap();
        assert_eq!((opened.version, opened.loaded_at, opened.value), (42, NOW, r#"["a","b"]"#));
        assert_eq!(open(&bytes, KEY, 2, NOW).unwrap_err(), Rejected::OtherSchema);
        assert_eq!(open(&bytes, "chatchonk:test:catalogue.1:x", 1, NOW).unwrap_err(), Rejected::OtherKey);
        let earlier = NOW - MAX_CLOCK_SKEW - Duration::seconds(1);
        assert_eq!(open(&bytes, KEY, 1, earlier).unwrap_err(), Rejected::FromTheFuture);
    }

    proptest! {
        #[test]
        fn a_damaged_envelope_is_refused_or_unchanged(at in 0_usize..140, byte: u8, cut in 0_usize..140) {
            let whole = sealed();
            let mut bytes = whole.clone();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(whole.len().saturating_sub(cut));
            if let Ok(opened) = open(&bytes, KEY, 1, NOW) {
                // A changed digit or letter inside version, date or value cannot be told; structure and key can.
                prop_assert_eq!(bytes.len(), whole.len());
                prop_assert!(serde_json::from_str::<serde_json::Value>(opened.value).is_ok());
            }
        }
    }
}
