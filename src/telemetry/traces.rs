//! Traces: spans are sent to a collector as OTLP over HTTP, in batches, by a thread that nobody waits for.
//!
//! A collector that is away costs the spans of that time and nothing else: at most [`MAX_QUEUED`] of them wait, what comes
//! on top is dropped, and no batch is sent twice.

use std::collections::HashMap;
use std::fmt;
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
use reqwest::redirect;
use tokio::runtime::Handle;
use tracing::{Level, Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use super::settings::TracesSettings;
use crate::clock::Clock;
use crate::outage::Outage;

/// How many spans may wait for the collector.
const MAX_QUEUED: usize = 2_048;
/// How long a batch may take to send.
const EXPORT: Duration = Duration::from_secs(3);
/// How long the last batch may take.
const LAST: Duration = Duration::from_millis(450);
/// The most that is read of an answer.
const MAX_ANSWER: usize = 64 * 1024;

/// The traces of a process. Keep it, and [`finish`](Self::finish) it at the end.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Makes no call yet. Sends on the current runtime.
    ///
    /// # Errors
    /// When TLS cannot be set up, or the address cannot be used.
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
            .with_sampler(opentelemetry_sdk::trace::Sampler::from(settings.sampler))
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// What makes spans of the crate's own.
    pub(super) fn layer<S: Subscriber + for<'s> LookupSpan<'s>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("chatchonk"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(own())
    }

    /// Sends what waits, for at most half a second.
    pub async fn finish(self) {
        // It blocks; and what it was not done with in time is lost.
        let _ = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LAST)).await;
    }
}

/// Spans of this crate, and what it warns of within them. What other crates tell is too much for a trace.
fn own() -> FilterFn<impl Fn(&Metadata<'_>) -> bool + Clone> {
    let is_own = |metadata: &Metadata<'_>| {
        metadata.target().starts_with("chatchonk")
            && (metadata.is_span() && *metadata.level() <= Level::DEBUG || *metadata.level() <= Level::WARN)
    };
    filter_fn(is_own).with_max_level_hint(LevelFilter::DEBUG)
}

/// Makes the span a part of the caller's trace, which it names in the headers `traceparent` and `tracestate`, where spans
/// are sent anywhere. Call it before the span is entered.
pub fn continue_trace(span: &Span, traceparent: Option<&str>, tracestate: Option<&str>) {
    let Some(traceparent) = traceparent else { return };
    let headers = [("traceparent", traceparent), ("tracestate", tracestate.unwrap_or_default())];
    let headers = HashMap::from(headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    // Without a layer that makes traces there is nothing to be part of.
    let _ = span.set_parent(context);
}

/// The collector, over the HTTP client that all of the crate uses.
struct Collector {
    http: reqwest::Client,
    runtime: Handle,
    clock: Clock,
    host: String,
    outage: Mutex<Outage>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Collector {
    fn new(settings: &TracesSettings, clock: Clock) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("chatchonk/", env!("CARGO_PKG_VERSION")))
            .default_headers(settings.headers.reveal().clone())
            .timeout(EXPORT)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy();
        builder = if settings.endpoint.is_encrypted() {
            builder.https_only(true)
        } else {
            builder.tls_certs_only([])
        };
        Ok(Self {
            http: builder.build()?,
            runtime: Handle::current(),
            clock,
            host: settings.endpoint.host().to_owned(),
            outage: Mutex::new(Outage::new(Duration::ZERO)),
        })
    }

    /// Logs that spans are lost, and that they are sent again, once each. Returns whether it did.
    fn took(&self, fault: Option<&str>) -> bool {
        let now = self.clock.now();
        let is_news = {
            let mut outage = self.outage.lock();
            if fault.is_some() { outage.fails((), now) } else { outage.works(now).is_some() }
        };
        match fault {
            None if is_news => tracing::info!("the collector of traces answers again"),
            Some(fault) if is_news => tracing::warn!(
                host = self.host,
                "traces are lost: {fault}; check OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS"
            ),
            _ => {}
        }
        is_news
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The thread that calls this belongs to no runtime.
        let sent = self.runtime.spawn(send(self.http.clone(), request)).await;
        let result = sent.map_err(HttpError::from).and_then(|sent| sent.map_err(HttpError::from));
        let fault = match &result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("the collector answers {}", response.status())),
            Err(_) => Some("the collector cannot be reached".to_owned()),
        };
        self.took(fault.as_deref());
        result
    }
}

async fn send(http: reqwest::Client, request: Request<Bytes>) -> reqwest::Result<Response<Bytes>> {
    let mut response = http.execute(request.try_into()?).await?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        // What is longer says nothing that anybody reads.
        let room = MAX_ANSWER - body.len();
        body.extend_from_slice(&part[..part.len().min(room)]);
        if body.len() == MAX_ANSWER {
            break;
        }
    }
    let mut answer = Response::new(Bytes::from(body));
    (*answer.status_mut(), *answer.headers_mut()) = (response.status(), response.headers().clone());
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::{Sampler, SamplerKind};
    use super::*;

    #[tokio::test]
    async fn a_lost_collector_is_one_line_and_a_flapping_one_few() {
        let (clock, hand) = Clock::manual(datetime!(2026-11-22 12:00 UTC));
        let settings = TracesSettings {
            endpoint: "http://localhost:4318".parse().unwrap(),
            headers: <_>::default(),
            service: String::new(),
            environment: String::new(),
            sampler: Sampler { kind: SamplerKind::AlwaysOn, ratio: 1.0 },
        };
        let collector = Collector::new(&settings, clock).unwrap();
        assert!(!collector.took(None));
        assert!(collector.took(Some("gone")));
        hand.advance(Duration::from_hours(1));
        assert!(!collector.took(Some("gone")));
        assert!(collector.took(None) && !collector.took(None));
        let flapping = (0..1_000).filter(|n| {
            hand.advance(Duration::from_secs(5));
            collector.took((n % 2 == 0).then_some("gone"))
        });
        assert_eq!(flapping.count(), 1);
    }
}
