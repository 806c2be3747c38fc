//! Traces: a background thread sends spans to a collector in batches, as OTLP over HTTP.
//!
//! An unreachable collector costs spans only: at most [`MAX_QUEUED`] wait, and no batch is sent twice.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tracing::{Level, Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use super::settings::TracesSettings;
use crate::clock::Clock;
use crate::outage::Outage;
use crate::outgoing;

/// How many spans may wait.
const MAX_QUEUED: usize = 2_048;
/// Time limit for a batch.
const EXPORT: Duration = Duration::from_secs(3);
/// Time limit for the last batch.
const LAST: Duration = Duration::from_millis(450);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The traces of a process. Call [`finish`](Self::finish) at its end.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends nothing yet. Later calls run on the current runtime.
    ///
    /// # Errors
    /// When TLS cannot be set up, or the address is invalid.
    pub(super) fn new(settings: &TracesSettings, clock: Clock) -> anyhow::Result<Self> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(settings, clock)?)
            .with_endpoint(settings.endpoint.url())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(EXPORT)
            .build()?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(MAX_QUEUED).build();
        let resource = Resource::builder()
            .with_service_name(settings.service.clone())
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("vcs.ref.head.revision", crate::COMMIT),
                KeyValue::new("deployment.environment.name", settings.environment.clone()),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .with_sampler(settings.sampler.clone())
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// Returns the layer that records this crate's spans and warnings. Events of other crates are too many.
    pub(super) fn layer<S: Subscriber + for<'s> LookupSpan<'s>>(&self) -> impl Layer<S> + use<S> {
        let is_own = |metadata: &Metadata<'_>| {
            let limit = if metadata.is_span() { Level::DEBUG } else { Level::WARN };
            metadata.target().starts_with("chatchonk") && *metadata.level() <= limit
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("chatchonk"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(filter_fn(is_own).with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends the spans that wait, for at most half a second.
    pub async fn finish(self) {
        // The call blocks. Spans that are not sent in time are lost.
        let _ = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LAST)).await;
    }
}

/// Makes the span part of the caller's trace, according to its headers. Call it before the span is entered.
pub fn continue_trace(span: &Span, traceparent: Option<&str>, tracestate: Option<&str>) {
    let Some(traceparent) = traceparent else { return };
    let headers = [("traceparent", traceparent), ("tracestate", tracestate.unwrap_or_default())];
    let headers = HashMap::from(headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    // Fails if no layer records traces.
    let _ = span.set_parent(context);
}

#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    runtime: Handle,
    clock: Clock,
    host: String,
    outage: Mutex<Outage>,
}

impl Collector {
    fn new(settings: &TracesSettings, clock: Clock) -> anyhow::Result<Self> {
        let endpoint = &settings.endpoint.0;
        let builder = outgoing::client(endpoint.scheme() == "https");
        Ok(Self {
            http: builder.default_headers(settings.headers.0.clone()).timeout(EXPORT).build()?,
            runtime: Handle::current(),
            clock,
            host: endpoint.host_str().unwrap_or_default().to_owned(),
            outage: Mutex::new(Outage::new(Duration::ZERO)),
        })
    }

    /// Logs the start and the end of an outage. Returns whether it logged.
    fn record(&self, fault: Option<&str>) -> bool {
        let (now, host) = (self.clock.now(), &self.host);
        let Some(fault) = fault else {
            let recovers = self.outage.lock().record_success(now).is_some();
            if recovers {
                tracing::info!("the collector of traces answers again");
            }
            return recovers;
        };
        let begins = self.outage.lock().record_failure((), now);
        if begins {
            tracing::warn!(
                host,
                "traces are lost: {fault}; check OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS"
            );
        }
        begins
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The calling thread belongs to no runtime.
        let sent = self.runtime.spawn(send(self.http.clone(), request)).await;
        let result = sent.map_err(HttpError::from).and_then(|sent| sent.map_err(HttpError::from));
        let fault = match &result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("the collector answers {}", response.status())),
            Err(_) => Some("the collector cannot be reached".to_owned()),
        };
        self.record(fault.as_deref());
        result
    }
}

async fn send(http: reqwest::Client, request: Request<Bytes>) -> reqwest::Result<Response<Bytes>> {
    let mut response = http.execute(request.try_into()?).await?;
    // The status decides; a longer answer is not read.
    let body = outgoing::read(&mut response, MAX_ANSWER).await?.unwrap_or_default();
    let mut answer = Response::new(Bytes::from(body));
    (*answer.status_mut(), *answer.headers_mut()) = (response.status(), response.headers().clone());
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::SamplerKind;
    use super::*;

    #[tokio::test]
    async fn an_outage_of_the_collector_is_logged_once() {
        let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
        let settings = TracesSettings {
            endpoint: "http://localhost:4318".parse().unwrap(),
            headers: <_>::default(),
            service: String::new(),
            environment: String::new(),
            sampler: SamplerKind::AlwaysOn.sampler(1.0),
        };
        let collector = Collector::new(&settings, clock).unwrap();
        assert!(!collector.record(None));
        assert!(collector.record(Some("gone")));
        hand.advance(Duration::from_hours(1));
        assert!(!collector.record(Some("gone")));
        assert!(collector.record(None) && !collector.record(None));
        let flapping = (0..1_000).filter(|n| {
            hand.advance(Duration::from_secs(5));
            collector.record((n % 2 == 0).then_some("gone"))
        });
        assert_eq!(flapping.count(), 1);
    }
}
