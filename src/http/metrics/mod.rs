//! Metrics for Prometheus, on their own port, or on the public port behind a token.
//!
//! This module counts requests. A scrape collects the rest from other modules.

mod caching;
mod families;
mod figures;
mod process;
mod requests;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, web};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use subtle::ConstantTimeEq as _;

use crate::clock::Clock;
use crate::http::health::Sources;
use crate::http::reply::{ApiError, Code, Reply, Route};

use families::Families;
pub use requests::{Requests, Underway, Worker};

/// See <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where metrics are served. With neither setting, nothing is counted.
#[derive(Debug, Clone, Default)]
pub struct MetricsSettings {
    /// Their own listener, open to every client that reaches it unless a token is set.
    pub address: Option<SocketAddr>,
    /// Required on both ports. Without it, the public port has no metrics route.
    pub token: Option<MetricsToken>,
}

/// The bearer token of `/metrics`.
#[derive(Clone, PartialEq, Eq)]
pub struct MetricsToken(String);

/// A malformed token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 16 to 512 characters out of A-Z a-z 0-9 - . _ ~ + / =")]
pub struct InvalidMetricsToken;

impl MetricsToken {
    /// Compares in constant time for tokens of the right length.
    fn authorizes(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(7));
        given.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(token.ct_eq(self.0.as_bytes()))
        })
    }
}

impl FromStr for MetricsToken {
    type Err = InvalidMetricsToken;

    fn from_str(token: &str) -> Result<Self, Self::Err> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let fits = (16..=512).contains(&token.len()) && token.bytes().all(known);
        fits.then(|| Self(token.to_owned())).ok_or(InvalidMetricsToken)
    }
}

impl fmt::Debug for MetricsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsToken(…)")
    }
}

/// The request counters and the sources of a scrape.
pub struct Metrics {
    requests: Requests,
    token: Option<MetricsToken>,
    /// Scrapes without the right token.
    refused: AtomicU64,
    sources: web::Data<Sources>,
}

impl Metrics {
    /// Returns `None` if the settings serve metrics nowhere.
    pub fn new(settings: MetricsSettings, sources: web::Data<Sources>, clock: Clock) -> Option<Self> {
        let is_shown = settings.address.is_some() || settings.token.is_some();
        is_shown.then(|| Self {
            requests: Requests::new(clock),
            token: settings.token,
            refused: AtomicU64::new(0),
            sources,
        })
    }

    /// Whether the public port serves metrics.
    pub fn is_public(&self) -> bool {
        self.token.is_some()
    }

    /// Refuses a request without the right token, and counts it.
    fn admit(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.token.as_ref().is_none_or(|token| token.authorizes(headers)) {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        let detail = "send the token of METRICS_TOKEN as `Authorization: Bearer …`";
        Err(ApiError::new(Code::Unauthorized, detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"metrics\"")))
    }
}

/// Counts a new request; `None` if requests are not counted.
pub fn begin(request: &ServiceRequest) -> Option<Underway> {
    request.app_data::<Option<Arc<Worker>>>()?.as_ref().map(Worker::begin)
}

/// Counts the answer of a request.
pub fn answered<B>(underway: Option<Underway>, response: &ServiceResponse<B>) {
    if let Some(underway) = underway {
        let request = response.request();
        underway.answered(Route::of(request), request.method(), response.status());
    }
}

/// Records the route of a request that is answered before routing.
pub fn routed(request: &ServiceRequest, route: Option<Route>) {
    let is_counted = request.app_data::<Option<Arc<Worker>>>().is_some_and(Option::is_some);
    if let Some(route) = route.filter(|_| is_counted) {
        route.set(request.request());
    }
}

/// Registers the counters of a worker's app and the data of the handler.
pub fn configure(metrics: Option<web::Data<Metrics>>) -> impl Fn(&mut web::ServiceConfig) {
    move |app| {
        app.app_data(metrics.as_ref().map(|metrics| metrics.requests.worker()));
        if let Some(metrics) = &metrics {
            app.app_data(metrics.clone());
        }
    }
}

/// Get the metrics.
///
/// [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) text for Prometheus. Servers without
/// `METRICS_TOKEN` answer 404.
#[utoipa::path(get, path = "", operation_id = "get_metrics", tag = "Metrics",
    security(("metrics_token" = [])),
    responses((status = 200, description = "All families of metrics.", body = String,
        content_type = "application/openmetrics-text")))]
pub async fn for_bearers(metrics: web::Data<Metrics>, request: HttpRequest) -> Reply {
    metrics.admit(request.headers())?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Everything(metrics)));
    let mut page = String::new();
    if let Err(error) = text::encode(&mut page, &registry) {
        tracing::error!(%error, "metrics could not be encoded");
        return Ok(HttpResponse::InternalServerError().finish());
    }
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).content_type(CONTENT_TYPE).body(page))
}

struct Everything(web::Data<Metrics>);

impl fmt::Debug for Everything {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Everything")
    }
}

impl Collector for Everything {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let to = &mut Families(encoder);
        let Metrics { requests, refused, sources, .. } = &**self.0;
        let Sources { reader, status, kv, meters, .. } = &***sources;
        figures::service(to, status)?;
        figures::requests(to, requests)?;
        let refused = [([], refused.load(Ordering::Relaxed))];
        to.counters("chatchonk_metrics_refused", "Requests for metrics without the right token.", refused)?;
        caching::caches(to, meters, &reader.editions)?;
        caching::kv(to, kv.tier())?;
        figures::database(to, status, &reader.catalogue)?;
        figures::catalogue(to, &reader.catalogue, status.utc())?;
        figures::providers(to, &reader.provider_health)?;
        figures::log(to)?;
        figures::process(to, status.started_at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_as_bearer_authorizes() {
        let token: MetricsToken = "0123456789abcdef".parse().unwrap();
        for (value, authorized) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer 0123456789abcdef", true),
            ("Bearer 0123456789abcdeg", false),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdef0", false),
            ("Bearer  0123456789abcdef", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
            ("Bearer ", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(token.authorizes(&headers), authorized, "{value}");
        }
        assert!(!token.authorizes(&HeaderMap::new()));
    }

    #[test]
    fn tokens_are_not_printed_and_weak_ones_are_refused() {
        let token: MetricsToken = "0123456789abcdef".parse().unwrap();
        assert!(!format!("{token:?}").contains("0123"));
        for weak in ["", "0123456789abcde", "0123456789abcde ", "0123456789abcdé"] {
            assert_eq!(weak.parse::<MetricsToken>(), Err(InvalidMetricsToken), "{weak}");
        }
    }
}
