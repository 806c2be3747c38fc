//! The `chatchonk` binary: hands over to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    chatchonk::cli::run()
}
