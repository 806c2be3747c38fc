//! Logging: one line per event, for people on a terminal and for machines otherwise.

use tracing_subscriber::EnvFilter;

use crate::domain::closed::closed_enum;

closed_enum!(
    /// The form of log lines.
    LogFormat {
        /// For people.
        Pretty = "pretty",
        /// One JSON object per line: `timestamp`, `level`, `message`, `target`, and the event's fields.
        Json = "json",
    }
);

/// How to log.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// What to log, in the syntax of `RUST_LOG`.
    pub filter: String,
    /// In which form.
    pub format: LogFormat,
    /// Whether to colour the pretty form.
    pub colour: bool,
}

/// Whether the text can be read as a filter.
#[must_use]
pub fn is_filter(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok()
}

/// Installs the process-wide subscriber, writing to standard error.
///
/// # Errors
/// When the filter cannot be parsed, or a subscriber is installed already.
pub fn install(settings: &TelemetrySettings) -> anyhow::Result<()> {
    // actix tells of every worker, and sqlx of what whoever asked it tells better; both can still be named.
    let filter = EnvFilter::try_new(format!("actix_server=warn,sqlx=error,{}", settings.filter))
        .map_err(|_| anyhow::anyhow!("RUST_LOG: expected levels such as `info` or `info,chatchonk=debug`"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(settings.colour && settings.format == LogFormat::Pretty);
    let installed = match settings.format {
        LogFormat::Pretty => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("cannot install the log: {error}"))
}
