//! Logging: one line per event, for people on a terminal and for machines otherwise. And traces, where they are wanted.

#[cfg(test)]
#[path = "../tests/it/support/log.rs"]
pub(crate) mod captured;
mod clients;
mod lines;
mod settings;
mod traces;

use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::clock::Clock;
use crate::domain::closed::closed_enum;

pub use clients::{ConnectionErrors, connection_errors};
pub use lines::{Log, dropped_lines};
pub use settings::{
    InvalidTracesSetting, Sampler, SamplerKind, TracesEndpoint, TracesHeaders, TracesSettings,
};
pub use traces::{Traces, continue_trace};

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
pub fn is_filter(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok()
}

/// Installs the process-wide subscriber, which writes to the log and sends traces to the collector, if there is one. Log and
/// traces have separate filters: a request's span is created only if one of them takes it.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// When the filter cannot be parsed, or a subscriber is installed already. Traces that cannot be sent are a warning.
pub fn install(
    log: &Log,
    settings: &TelemetrySettings,
    traces: Option<&TracesSettings>,
    clock: Clock,
) -> anyhow::Result<Option<Traces>> {
    let (traces, failure) = match traces.map(|traces| Traces::new(traces, clock)).transpose() {
        Ok(traces) => (traces, None),
        Err(error) => (None, Some(error)),
    };
    tracing::dispatcher::set_global_default(dispatch(log, settings, traces.as_ref())?)
        .map_err(|error| anyhow::anyhow!("cannot install the log: {error}"))?;
    if let Some(error) = failure {
        tracing::warn!("no traces are sent: {error:#}");
    }
    Ok(traces)
}

fn dispatch(log: &Log, settings: &TelemetrySettings, traces: Option<&Traces>) -> anyhow::Result<Dispatch> {
    // actix logs the start of every worker, and sqlx logs errors that its callers report better.
    // RUST_LOG comes last and overrides.
    let mut filter = "actix_server=warn,sqlx=error,".to_owned();
    for directive in clients::silenced(&settings.filter) {
        filter.push_str(&directive);
        filter.push(',');
    }
    let filter = EnvFilter::try_new(filter + &settings.filter)
        .map_err(|_| anyhow::anyhow!("RUST_LOG: expected levels such as `info` or `info,chatchonk=debug`"))?;
    let log = tracing_subscriber::fmt::layer()
        .with_writer(log.lines())
        // It would print to standard error directly.
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
    fn a_line_that_another_thread_comes_to_first_is_captured_where_somebody_listens() {
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
