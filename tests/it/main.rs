//! The integration tests: one binary, real parts.
#![expect(
    clippy::expect_used,
    reason = "clippy spares test functions only, not their helpers"
)]

mod embedded;
