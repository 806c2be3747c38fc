//! The `chatchonk` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    chatchonk::cli::run()
}
