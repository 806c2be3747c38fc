//! The output of commands.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::app::{Line, Mark};

/// Prints a line to standard output.
pub(super) fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}

/// Prints all lines. Returns exit code 1 if one is a fault.
pub(super) fn report(lines: &[Line]) -> anyhow::Result<ExitCode> {
    for line in lines {
        say(&line.to_string())?;
    }
    let at_fault = lines.iter().any(|line| line.mark == Mark::Fault);
    Ok(if at_fault { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
