//! Cursors: positions in a list as opaque text.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::ModelQuery;
use super::matches::Position;

/// Longest cursor in bytes. Fits an id of 200 bytes and a name of 200 characters.
pub const MAX_CURSOR_BYTES: usize = 2048;

/// A position bound to its query: base64url without padding.
///
/// Opaque, but neither secret nor signed: a forged one only chooses where a list starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Cursor(String);

/// Text that is no cursor of this query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCursor {
    /// Truncated, altered, or not a cursor.
    #[error("the cursor is damaged: pass `next_cursor` on as it was given")]
    Damaged,
    /// A cursor of other filters or another order.
    #[error("the cursor belongs to another query: filters and sort must stay the same from page to page")]
    Foreign,
}

/// Content of a cursor.
#[derive(Serialize, Deserialize)]
struct Content<P> {
    #[serde(rename = "h")]
    hash: u64,
    #[serde(flatten)]
    position: P,
}

impl Cursor {
    /// Returns the cursor that continues the query's list after the position.
    pub fn encode(position: &Position, query: &ModelQuery) -> Self {
        let hash = query_hash(query);
        // These types always serialise.
        let json = serde_json::to_vec(&Content { hash, position }).unwrap_or_default();
        Self(URL_SAFE_NO_PAD.encode(json))
    }

    /// Returns the position of a cursor.
    ///
    /// # Errors
    /// [`InvalidCursor::Damaged`] for other text, [`InvalidCursor::Foreign`] for a cursor of another canonical query.
    pub fn decode(text: &str, query: &ModelQuery) -> Result<Position, InvalidCursor> {
        if text.len() > MAX_CURSOR_BYTES {
            return Err(InvalidCursor::Damaged);
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor::Damaged)?;
        let Content::<Position> { hash, position } =
            serde_json::from_slice(&json).map_err(|_| InvalidCursor::Damaged)?;
        if hash != query_hash(query) {
            return Err(InvalidCursor::Foreign);
        }
        if !position.key.is_of(query.order()) {
            return Err(InvalidCursor::Damaged);
        }
        Ok(position)
    }

    /// Returns the cursor as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn query_hash(query: &ModelQuery) -> u64 {
    xxh3_64(query.canonical().as_bytes())
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{any_query, any_snapshot};
    use super::*;
    use crate::domain::health::ProviderHealth;
    use crate::domain::snapshot::Snapshot;
    use crate::domain::testing::SEED;

    fn first_position(snapshot: &Snapshot, query: &ModelQuery) -> Option<Position> {
        let matches = query.run(snapshot, &ProviderHealth::default());
        matches.page(None, Some(1)).next
    }

    #[test]
    fn foreign_and_damaged_cursors_are_rejected() {
        let snapshot = SEED.clone().into_snapshot();
        let query = ModelQuery::default();
        let position = first_position(&snapshot, &query).unwrap();
        let cursor = Cursor::encode(&position, &query);
        let other = ModelQuery { sort: Some("-provider".parse().unwrap()), ..ModelQuery::default() };
        assert_eq!(Cursor::decode(cursor.as_str(), &query), Ok(position));
        assert_eq!(Cursor::decode(cursor.as_str(), &other), Err(InvalidCursor::Foreign));
        let cut = &cursor.as_str()[1..];
        assert_eq!(Cursor::decode(cut, &query), Err(InvalidCursor::Damaged));
        let long = "A".repeat(MAX_CURSOR_BYTES + 1);
        assert_eq!(Cursor::decode(&long, &query), Err(InvalidCursor::Damaged));
    }

    #[test]
    fn the_longest_id_and_name_fit() {
        for name in ["\u{1}".repeat(200), "😀".repeat(200)] {
            let mut seed = SEED.clone();
            let id = format!("cohere/{}", "x".repeat(193)).parse().unwrap();
            seed.models[0].id = id;
            seed.models[0].provider = "cohere".parse().unwrap();
            seed.models[0].name = name;
            let snapshot = seed.into_snapshot();
            let query = ModelQuery { sort: Some("-name".parse().unwrap()), ..ModelQuery::default() };
            let matches = query.run(&snapshot, &ProviderHealth::default());
            for limit in [1, matches.len() - 1] {
                let position = matches.page(None, Some(limit)).next.unwrap();
                let cursor = Cursor::encode(&position, &query);
                assert_eq!(Cursor::decode(cursor.as_str(), &query), Ok(position));
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_rejected_without_a_panic(text in "\\PC{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let query = ModelQuery::default();
            let encoded = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(Cursor::decode(&text, &query), Err(InvalidCursor::Damaged));
            prop_assert_eq!(Cursor::decode(&encoded, &query), Err(InvalidCursor::Damaged));
        }

        #[test]
        fn every_position_round_trips(snapshot in any_snapshot(), query in any_query()) {
            if let Some(position) = first_position(&snapshot, &query) {
                let cursor = Cursor::encode(&position, &query);
                prop_assert_eq!(Cursor::decode(cursor.as_str(), &query), Ok(position));
            }
        }
    }
}
