//! What unit tests of several modules share.

use std::sync::LazyLock;

use super::seed::Seed;

/// The seed, read once: in a debug build that takes longer than most tests.
pub(crate) static SEED: LazyLock<Seed> = LazyLock::new(|| Seed::builtin().unwrap());
