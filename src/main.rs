//! The `chatchonk` binary: parses the command line and hands it on.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    chatchonk::cli::run(chatchonk::cli::Arguments::parse())
}
