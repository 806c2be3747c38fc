//! The kinds of cached values, all declared here.

use std::time::Duration;

/// One kind of cached value and how it is treated.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name in keys, statistics and logs.
    pub name: &'static str,
    /// How long a value is fresh after it was last validated.
    pub fresh: Duration,
    /// What happens when the origin fails.
    pub on_origin_failure: OnOriginFailure,
    /// How long a caller waits for a flight when it holds a value that may be served stale.
    pub soft_limit: Duration,
    /// How long a caller waits for a flight otherwise.
    pub hard_limit: Duration,
    /// How long a flight may take.
    pub flight_limit: Duration,
    /// After this long a value is loaded again even though its version says that nothing changed.
    pub reload_after: Duration,
    /// Rises with every change of what is written to the shared tier.
    pub schema: u32,
    /// How long the shared tier keeps a value, to serve in an outage; `None`: it never gets one.
    pub keep_shared: Option<Duration>,
    /// Bound of the values in memory, in bytes as the origin weighs them. `None` for a family of one key, whose value must
    /// be held whatever it weighs.
    pub max_bytes: Option<u64>,
}

/// What a family serves when its origin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOriginFailure {
    /// The newest value held, of any age, even one known to be outdated; then the floor.
    ServeAnyAge,
    /// A value of at most this age that is not known to be outdated.
    ServeUpTo(Duration),
    /// Nothing: an error.
    Refuse,
}

/// What the families below have in common: small values that are kept in memory only, and served while they are fresh.
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

/// What upstream APIs answered. Nothing announces a change of theirs: age counts from the load.
pub const RESPONSES: Family = Family {
    name: "responses",
    fresh: Duration::from_mins(15),
    on_origin_failure: OnOriginFailure::ServeUpTo(Duration::from_hours(24)),
    keep_shared: Some(Duration::from_hours(24)),
    ..USUAL
};

/// A user's preferences. Personal, hence in memory only.
pub const PREFERENCES: Family = Family {
    name: "preferences",
    fresh: Duration::from_mins(30),
    on_origin_failure: OnOriginFailure::ServeUpTo(Duration::from_hours(24)),
    ..USUAL
};

/// A user's settings of providers. Secrets, hence in memory only, and never served when the database cannot confirm them.
pub const PROVIDER_CONFIGS: Family =
    Family { name: "provider_configs", fresh: Duration::from_hours(1), ..USUAL };

/// All of them.
pub const FAMILIES: [Family; 4] = [CATALOGUE, RESPONSES, PREFERENCES, PROVIDER_CONFIGS];
