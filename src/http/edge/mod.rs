//! Around every request: connection, id, span and limits.

pub mod connections;
mod cors;
mod failures;
pub mod layers;
mod rate_limit;
mod time_limit;
mod unread;

pub use cors::cors;
pub use failures::Failures;
pub use layers::Edge;
pub use rate_limit::RateLimit;
pub use time_limit::Limited;
