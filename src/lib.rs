//! ChatChonk's API server: the catalogue of AI models and providers, and its cache. See `docs/architecture.md`.

pub mod app;
pub mod cache;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod embedded;
pub mod histogram;
pub mod http;
pub mod kv_client;
pub mod kv_tier;
mod outage;
mod outgoing;
pub mod provider_health;
pub mod status;
pub mod store;
pub mod telemetry;

/// The commit this binary was built from, or `unknown`.
pub const COMMIT: &str = env!("CHATCHONK_COMMIT");
