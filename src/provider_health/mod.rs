//! The health of providers: probes, what they mean, and the report behind `/api/automodel/health`.

mod address;
mod base_urls;
mod board;
mod health;
mod keys;
mod known;
mod probe;
mod rounds;
mod standing;
mod target;
mod trust;
mod watch;

pub use base_urls::ProviderBaseUrls;
pub use board::ProviderHealthBoard;
pub use health::AutoModelHealth;
pub use keys::ProviderKeys;
pub use standing::{Reason, Standing, Standings};
pub use watch::{ProbeSettings, Watch};
