//! AutoModel, which its users also know as ModelSwapper: the health of providers and what they can serve.

mod board;
mod health;
mod keys;
mod probe;
mod rounds;
mod standing;
mod target;
mod watch;

pub use board::ProviderHealthBoard;
pub use health::{AutoModelHealth, ProviderReport, TaskReport};
pub use keys::ProviderKeys;
pub use standing::{Look, Reason, Standing, Standings};
pub use target::{InvalidBaseUrls, ProviderBaseUrls};
pub use watch::{ProbeSettings, Watch};
