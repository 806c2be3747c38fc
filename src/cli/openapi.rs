//! `openapi`: the API's document.

use std::process::ExitCode;

use anyhow::Context;

pub(super) fn print() -> anyhow::Result<ExitCode> {
    let document = crate::http::document_text().context("cannot write the document")?;
    super::say(document.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
