//! Logging: one line per event, for people on a terminal and for machines otherwise. And traces, where they are wanted.

mod settings;
mod traces;

use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::clock::Clock;
use crate::domain::closed::closed_enum;

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
#[must_use]
pub fn is_filter(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok()
}

/// Installs the process-wide subscriber, which logs to standard error, and sends traces if it is told where. The log and
/// the traces are filtered apart: a request's span is made for the one or the other, or for nobody.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// When the filter cannot be parsed, or a subscriber is installed already. Traces that cannot be sent are a warning.
pub fn install(
    settings: &TelemetrySettings,
    traces: Option<&TracesSettings>,
    clock: Clock,
) -> anyhow::Result<Option<Traces>> {
    let (traces, failure) = match traces.map(|traces| Traces::new(traces, clock)).transpose() {
        Ok(traces) => (traces, None),
        Err(error) => (None, Some(error)),
    };
    tracing::dispatcher::set_global_default(dispatch(settings, traces.as_ref())?)
        .map_err(|error| anyhow::anyhow!("cannot install the log: {error}"))?;
    if let Some(error) = failure {
        tracing::warn!("no traces are sent: {error:#}");
    }
    Ok(traces)
}

fn dispatch(settings: &TelemetrySettings, traces: Option<&Traces>) -> anyhow::Result<Dispatch> {
    // actix tells of every worker, and sqlx of what whoever asked it tells better; both can still be named.
    let filter = EnvFilter::try_new(format!("actix_server=warn,sqlx=error,{}", settings.filter))
        .map_err(|_| anyhow::anyhow!("RUST_LOG: expected levels such as `info` or `info,chatchonk=debug`"))?;
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(settings.colour && settings.format == LogFormat::Pretty);
    let log = match settings.format {
        LogFormat::Pretty => log.boxed(),
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let registry = tracing_subscriber::registry().with(log.with_filter(filter));
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
    fn spans_of_requests_are_made_at_debug_level_only_as_long_as_nobody_traces() {
        for (filter, makes_spans) in [("info", false), ("info,chatchonk=debug", true)] {
            let settings =
                TelemetrySettings { filter: filter.to_owned(), format: LogFormat::Json, colour: false };
            let dispatch = dispatch(&settings, None).unwrap();
            let is_made =
                tracing::dispatcher::with_default(&dispatch, || tracing::span_enabled!(Level::DEBUG));
            assert_eq!(is_made, makes_spans, "{filter}");
        }
    }
}
