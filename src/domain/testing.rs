//! Shared by unit tests.

use std::sync::LazyLock;

use super::seed::Seed;

/// The seed, read once, because debug builds take long.
pub(crate) static SEED: LazyLock<Seed> = LazyLock::new(|| Seed::builtin().unwrap());
