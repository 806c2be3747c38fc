//! Damage to the bytes under a key.

use chatchonk::cache::{CATALOGUE, Family, PREFERENCES, RESPONSES};
use chatchonk::kv_tier::KvLimits;

use super::data::{Data, FOREIGN, Subject};
use super::world::{Dice, World};

/// Cuts the bytes, inserts one that is invalid in text, or replaces all of them.
pub(super) fn damaged(dice: &Dice, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.is_empty() {
        return bytes;
    }
    match dice.draw(|rng| rng.u32(0..5)) {
        0 => bytes.truncate(dice.draw(|rng| rng.usize(0..bytes.len()))),
        1 => {
            let at = dice.draw(|rng| rng.usize(0..bytes.len()));
            bytes[at] = 0xff;
        }
        2 => bytes = b"null".to_vec(),
        3 => bytes = b"<html>502</html>".to_vec(),
        _ => bytes.extend_from_slice(b"}"),
    }
    bytes
}

/// Builds an envelope as another writer would.
pub(super) fn envelope(
    world: &World,
    schema: u32,
    key: &str,
    version: u64,
    value: &Data,
    future: bool,
) -> Vec<u8> {
    let ahead = time::Duration::minutes(if future { 60 } else { 0 });
    let loaded_at =
        (world.clock.utc() + ahead).format(&time::format_description::well_known::Rfc3339).unwrap();
    let value = serde_json::to_string(value).unwrap();
    format!(
        r#"{{"format":1,"schema":{schema},"key":"{key}","version":{version},"loaded_at":"{loaded_at}","value":{value}}}"#
    )
    .into_bytes()
}

/// Returns the family of a subject.
fn family_of(subject: Subject) -> Family {
    match subject {
        Subject::Catalogue => CATALOGUE,
        Subject::User(_) => PREFERENCES,
        Subject::Upstream(_) => RESPONSES,
    }
}

/// Returns the key of a subject in the shared tier.
pub(super) fn key_of(subject: Subject) -> String {
    let id = match subject {
        Subject::Catalogue => "all".to_owned(),
        Subject::User(user) => user.to_string(),
        Subject::Upstream(api) => api.to_string(),
    };
    let Family { name, schema, .. } = family_of(subject);
    format!("chatchonk:test:{name}.{schema}:{id}")
}

/// A foreign value under a subject's key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Planted {
    /// A whole value of another database.
    Foreign,
    /// A value of a newer release, under the older release's key.
    Newer,
    /// A value of another key or family.
    Misplaced,
    /// A value dated tomorrow.
    Future,
    /// The value that was there, damaged.
    Damaged,
    /// Other content at the current version, which is public.
    Forged,
}

impl Planted {
    pub(super) const ALL: [Self; 6] =
        [Self::Foreign, Self::Newer, Self::Misplaced, Self::Future, Self::Damaged, Self::Forged];

    pub(super) fn plant(self, world: &World, subject: Subject) {
        let key = key_of(subject);
        let version = world.database.foreign_version(world, subject);
        let value = Data::new(subject, FOREIGN, version);
        let schema = family_of(subject).schema;
        let bytes = match self {
            Self::Foreign => envelope(world, schema, &key, version, &value, false),
            Self::Newer => envelope(world, schema + 1, &key, version, &Data { schema: 2, ..value }, false),
            Self::Misplaced => {
                let other =
                    if subject == Subject::Catalogue { Subject::Upstream(0) } else { Subject::Catalogue };
                let value = Data::new(other, FOREIGN, version);
                envelope(world, family_of(other).schema, &key_of(other), version, &value, false)
            }
            Self::Future => envelope(world, schema, &key, version, &value, true),
            Self::Forged => {
                let version = world.database.version(subject);
                envelope(world, schema, &key, version, &Data::new(subject, FOREIGN, version), false)
            }
            Self::Damaged => match world.namespace.value(&key, world.now()) {
                Some(bytes) if !bytes.is_empty() => damaged(&world.dice, &bytes),
                _ => Vec::new(),
            },
        };
        world.namespace.plant(world, &key, bytes);
    }
}

/// Limits so low that a history reaches them.
pub(super) fn narrow(world: &World) -> KvLimits {
    let (writes, deletes) = world.dice.draw(|rng| (rng.u64(4..30), rng.u64(2..12)));
    KvLimits { writes, deletes, ..KvLimits::FREE_PLAN }
}
