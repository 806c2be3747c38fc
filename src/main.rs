//! The `chatchonk` binary.
fn main() {}
