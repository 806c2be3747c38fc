//! The integration tests: one binary, real parts.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy spares test functions only, not their helpers"
)]

mod catalogue;
mod embedded;
mod kv_client;
mod support;
