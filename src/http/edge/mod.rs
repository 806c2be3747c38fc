//! What surrounds every request: its connection, its id and span, and the limits that it meets.

pub mod connections;
mod failures;
pub mod layers;
mod rate_limit;
mod time_limit;
mod unread;

pub use failures::Failures;
pub use rate_limit::RateLimit;
pub use time_limit::Limited;
