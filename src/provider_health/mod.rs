//! The health of providers: probes, what they mean, and the report behind `/api/automodel/health`.

mod address;
mod base_urls;
mod board;
mod keys;
mod known;
mod probe;
mod reason;
mod report;
mod rounds;
mod standing;
mod target;
mod trust;
mod watch;

pub use base_urls::ProviderBaseUrls;
pub use board::ProviderHealthBoard;
pub use keys::ProviderKeys;
pub use reason::Reason;
pub use report::AutoModelHealth;
pub use standing::{Standing, Standings};
pub use watch::{ProbeSettings, Watch};
