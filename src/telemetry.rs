//! The log, with one line per event, and traces.

#[cfg(test)]
#[path = "../tests/it/support/log.rs"]
pub(crate) mod captured;
mod clients;
mod lines;
mod settings;
mod traces;

use anyhow::Context as _;
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::clock::Clock;
use crate::domain::closed::closed_enum;

pub use clients::{ConnectionErrors, connection_errors};
pub use lines::{Log, dropped_lines};
pub use settings::{SamplerKind, TracesEndpoint, TracesHeaders, TracesSettings};
pub use traces::{Traces, continue_trace};

closed_enum!(
    /// The form of log lines.
    LogFormat {
        /// Text for people.
        Pretty = "pretty",
        /// One JSON object per line: `timestamp`, `level`, `message`, `target`, and the event's fields.
        Json = "json",
    }
);

/// How to log.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// Which events to log, in the syntax of `RUST_LOG`.
    pub filter: String,
    /// The form of the lines.
    pub format: LogFormat,
    /// Whether pretty lines have colours.
    pub colour: bool,
}

/// Whether the text is a valid filter.
pub fn is_filter(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok()
}

/// Installs the process-wide subscriber, which writes the log and sends traces. The two have separate filters; a span is
/// created if one of them accepts it.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// When the filter is invalid, or a subscriber is installed already. A failure to set up traces is only logged.
pub fn install(
    log: &Log,
    settings: &TelemetrySettings,
    traces: Option<&TracesSettings>,
    clock: Clock,
) -> anyhow::Result<Option<Traces>> {
    let traces = traces.map(|traces| Traces::new(traces, clock)).transpose();
    let dispatch = dispatch(log, settings, traces.as_ref().ok().and_then(Option::as_ref))?;
    tracing::dispatcher::set_global_default(dispatch).context("cannot install the log")?;
    Ok(traces.unwrap_or_else(|error| {
        tracing::warn!("no traces are sent: {error:#}");
        None
    }))
}

fn dispatch(log: &Log, settings: &TelemetrySettings, traces: Option<&Traces>) -> anyhow::Result<Dispatch> {
    // actix logs the start of every worker, and sqlx logs errors that its callers report better.
    // RUST_LOG comes last and overrides.
    let silenced: String = clients::silenced(&settings.filter).collect();
    let filter = EnvFilter::try_new(format!("actix_server=warn,sqlx=error,{silenced}{}", settings.filter))
        .context("RUST_LOG")?;
    let lines = log.lines.clone();
    let log = tracing_subscriber::fmt::layer()
        .with_writer(move || lines.clone())
        // They would go to standard error directly.
        .log_internal_errors(false)
        .with_ansi(settings.colour && settings.format == LogFormat::Pretty);
    let log = match settings.format {
        LogFormat::Pretty => log.boxed(),
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let registry = tracing_subscriber::registry().with(log.with_filter(filter)).with(clients::layer());
    Ok(match traces {
        Some(traces) => Dispatch::new(registry.with(traces.layer())),
        None => Dispatch::new(registry),
    })
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_line_of_another_thread_does_not_disable_capturing() {
        let line = || tracing::warn!("heard");
        let (log, _captured) = captured::Captured::here(tracing::level_filters::LevelFilter::INFO);
        std::thread::spawn(line).join().unwrap();
        line();
        assert_eq!(log.lines(), ["WARN heard"]);
    }

    #[test]
    fn without_traces_requests_have_spans_at_debug_only() {
        let log = Log::open();
        for (filter, makes_spans) in [("info", false), ("info,chatchonk=debug", true)] {
            let settings =
                TelemetrySettings { filter: filter.to_owned(), format: LogFormat::Json, colour: false };
            let dispatch = dispatch(&log, &settings, None).unwrap();
            let is_made =
                tracing::dispatcher::with_default(&dispatch, || tracing::span_enabled!(Level::DEBUG));
            assert_eq!(is_made, makes_spans, "{filter}");
        }
    }
}
