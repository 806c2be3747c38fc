//! Pure types and rules: ids, models, prices, filters, ranking. No async, no I/O, no clock.

pub mod closed;
pub mod cost;
pub mod date;
pub mod did_you_mean;
pub mod health;
mod heap;
pub mod id;
pub mod model;
pub mod order;
pub mod price;
pub mod price_band;
pub mod provider;
pub mod query;
pub mod search;
pub mod seed;
pub mod snapshot;
pub mod task;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod text;
