//! Counts actix's events on malformed requests and refused connections instead of logging them: any client could fill the
//! log with them.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::Context;

/// The modules whose events clients cause, with their counters.
const CAUSES: [(&str, &AtomicU64); 3] =
    [("actix_http", &REQUESTS), ("actix_server::accept", &ACCEPTS), ("actix_server::service", &ACCEPTS)];

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static ACCEPTS: AtomicU64 = AtomicU64::new(0);

/// The connections of this process that failed below HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionErrors {
    /// Connections whose bytes were no HTTP request, or broke off.
    pub request: u64,
    /// Failures to accept connections, mostly because no file descriptor was free.
    pub accept: u64,
}

/// Returns the counts since the subscriber was installed.
pub fn connection_errors() -> ConnectionErrors {
    ConnectionErrors { request: REQUESTS.load(Ordering::Relaxed), accept: ACCEPTS.load(Ordering::Relaxed) }
}

/// Returns directives, each followed by a comma, that silence these events unless `filter` enables them at debug level.
pub(super) fn silenced(filter: &str) -> impl Iterator<Item = String> {
    // One by one: `Targets` cannot parse directives on spans, which do not matter here.
    let directives: Vec<Targets> = filter.split(',').filter_map(|directive| directive.parse().ok()).collect();
    let is_silent =
        move |target: &&str| !directives.iter().any(|given| given.would_enable(target, &Level::DEBUG));
    CAUSES.into_iter().map(|(target, _)| target).filter(is_silent).map(|target| format!("{target}=off,"))
}

fn count_of(metadata: &Metadata<'_>) -> Option<&'static AtomicU64> {
    let is_within = |module: &str| {
        let rest = metadata.target().strip_prefix(module);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    CAUSES.into_iter().find_map(|(module, count)| is_within(module).then_some(count))
}

/// Returns the layer that counts, with its own filter.
pub(super) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'s> tracing_subscriber::registry::LookupSpan<'s>,
{
    let is_counted =
        |metadata: &Metadata<'_>| *metadata.level() <= Level::WARN && count_of(metadata).is_some();
    Counting.with_filter(filter_fn(is_counted).with_max_level_hint(LevelFilter::WARN))
}

struct Counting;

impl<S: Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(count) = count_of(event.metadata()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_clients_are_off_unless_named_or_at_debug_level() {
        let all = CAUSES.map(|(target, _)| format!("{target}=off,"));
        for (filter, expected) in [
            ("info", &all[..]),
            ("info,chatchonk=debug", &all),
            ("info,chatchonk[request]=trace", &all),
            ("info,actix_http=debug", &all[1..]),
            ("warn,actix=debug", &[]),
            ("debug", &[]),
            ("trace,hyper=off", &[]),
        ] {
            assert_eq!(silenced(filter).collect::<Vec<_>>(), expected, "{filter}");
        }
    }
}
