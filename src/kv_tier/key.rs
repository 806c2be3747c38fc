//! Names of values in the shared tier: `chatchonk:{environment}:{family}.{schema}:{id}`.

use std::time::Duration;

use crate::cache::Family;
use crate::kv_client::{InvalidKvKey, KvKey};
use crate::store::KvKnownKey;

/// Time that a key of an older schema stays after its successor was written, for deploys that are rolled back.
const SUPERSEDED_STAYS: Duration = Duration::from_hours(24);

/// Returns the prefix of a deployment's keys.
pub fn key_prefix(environment: &str) -> String {
    format!("chatchonk:{environment}:")
}

/// Builds the key of a value.
///
/// # Errors
/// [`InvalidKvKey`] when a part has an invalid character, or the key is too long.
pub fn key_of(environment: &str, family: &str, schema: u32, id: &str) -> Result<KvKey, InvalidKvKey> {
    format!("{}{family}.{schema}:{id}", key_prefix(environment)).parse()
}

/// Splits a key into family, schema and id.
fn parts<'k>(key: &'k str, environment: &str) -> Option<(&'k str, u32, &'k str)> {
    let (name, id) = key.strip_prefix(&key_prefix(environment))?.split_once(':')?;
    let (family, schema) = name.rsplit_once('.')?;
    Some((family, schema.parse().ok()?, id))
}

/// Returns the keys of older schemas whose successors are old enough.
pub(super) fn superseded(known: &[KvKnownKey], environment: &str, families: &[Family]) -> Vec<KvKey> {
    let is_superseded = |old: &&KvKnownKey| {
        let (family, schema, id) = parts(&old.key, environment)?;
        let current = families.iter().find(|current| current.name == family)?;
        let newer = key_of(environment, family, current.schema, id).ok()?;
        let newer = known.iter().find(|known| known.key == newer.as_str())?;
        Some(schema < current.schema && newer.known_for >= SUPERSEDED_STAYS)
    };
    let old = known.iter().filter(|old| is_superseded(old) == Some(true));
    old.filter_map(|old| old.key.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CATALOGUE;

    #[test]
    fn keys_of_an_older_schema_go_a_day_after_their_successor() {
        let known = |hours| {
            [
                ("catalogue.1:all", 500),
                ("catalogue.2:all", hours),
                ("catalogue.3:all", 500),
                ("catalogue.1:other", 500),
                ("unknown.1:all", 500),
                ("", 500),
            ]
            .map(|(key, hours)| KvKnownKey {
                key: format!("chatchonk:production:{key}"),
                known_for: Duration::from_hours(hours),
            })
        };
        let families = [Family { schema: 2, ..CATALOGUE }];
        let superseded = |hours| superseded(&known(hours), "production", &families);
        assert_eq!(superseded(23), []);
        let old: KvKey = "chatchonk:production:catalogue.1:all".parse().unwrap();
        assert_eq!(superseded(24), [old]);
    }
}
