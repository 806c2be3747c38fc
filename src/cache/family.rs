//! Families: the kinds of cached values, and how each is treated.

use std::time::Duration;

/// One kind of cached value.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name in keys, statistics and logs.
    pub name: &'static str,
    /// How long a value is fresh after its last validation.
    pub fresh: Duration,
    /// What reads get when the origin fails.
    pub on_origin_failure: OnOriginFailure,
    /// How long a caller with a fallback waits for a load.
    pub soft_limit: Duration,
    /// How long any other caller waits.
    pub hard_limit: Duration,
    /// Time limit of a load.
    pub flight_limit: Duration,
    /// A value of this age is loaded again even at an unchanged version.
    pub reload_after: Duration,
    /// Rises with every change of the format in the shared tier.
    pub schema: u32,
    /// How long the shared tier keeps a value, for outages. `None`: values stay out of it.
    pub keep_shared: Option<Duration>,
    /// Bound of all values in memory, in bytes as the origin weighs them. `None` for a family of one key, which must
    /// always fit.
    pub max_bytes: Option<u64>,
}

/// What a family serves when its origin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOriginFailure {
    /// The newest value in memory, whatever its age, even if outdated; then the floor.
    ServeAnyAge,
    /// A value of at most this age that is not outdated.
    ServeUpTo(Duration),
    /// An error.
    Refuse,
}

/// Defaults: small values in memory only, served while fresh.
const USUAL: Family = Family {
    name: "",
    fresh: Duration::from_mins(5),
    on_origin_failure: OnOriginFailure::Refuse,
    soft_limit: Duration::from_millis(100),
    hard_limit: Duration::from_secs(3),
    flight_limit: Duration::from_secs(10),
    reload_after: Duration::from_hours(24),
    schema: 1,
    keep_shared: None,
    max_bytes: Some(8 * 1024 * 1024),
};

/// Providers, models and task types in one snapshot.
pub const CATALOGUE: Family = Family {
    name: "catalogue",
    schema: 2,
    on_origin_failure: OnOriginFailure::ServeAnyAge,
    keep_shared: Some(Duration::from_hours(30 * 24)),
    max_bytes: None,
    ..USUAL
};

/// Answers of upstream APIs. No change is announced, so age counts from the load.
pub const RESPONSES: Family = Family {
    name: "responses",
    fresh: Duration::from_mins(15),
    on_origin_failure: OnOriginFailure::ServeUpTo(Duration::from_hours(24)),
    keep_shared: Some(Duration::from_hours(24)),
    ..USUAL
};

/// A user's preferences: personal, so in memory only.
pub const PREFERENCES: Family = Family {
    name: "preferences",
    fresh: Duration::from_mins(30),
    on_origin_failure: OnOriginFailure::ServeUpTo(Duration::from_hours(24)),
    ..USUAL
};

/// A user's provider settings: secrets, so in memory only, and never served unconfirmed.
pub const PROVIDER_CONFIGS: Family =
    Family { name: "provider_configs", fresh: Duration::from_hours(1), ..USUAL };

/// All families.
pub const FAMILIES: [Family; 4] = [CATALOGUE, RESPONSES, PREFERENCES, PROVIDER_CONFIGS];
