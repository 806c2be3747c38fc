//! How answers are built: what the catalogue shows, in which form, for how long, and what an error looks like.

mod coded;
mod coding;
mod conditional;
mod edition;
mod error;
mod freshness;
mod momentary;
mod reading;
mod representation;
mod route;

pub use coded::Coded;
pub use coding::Accepted;
pub use edition::{Edition, Editions, List, Resource};
pub use error::{ApiError, Code, Problem, Reply};
pub use freshness::Lifetime;
pub use momentary::{Momentary, momentary};
pub use reading::{Reader, Reading, json};
pub use route::Route;
