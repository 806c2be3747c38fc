//! Where traces go, in the terms of `OpenTelemetry`'s variables.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::closed::closed_enum;

/// Where to send traces, and which.
#[derive(Debug, Clone)]
pub struct TracesSettings {
    /// The collector.
    pub endpoint: TracesEndpoint,
    /// What is sent to it with every request.
    pub headers: TracesHeaders,
    /// The name of the service in traces.
    pub service: String,
    /// The name of the deployment, such as `production`.
    pub environment: String,
    /// Which requests are traced.
    pub sampler: Sampler,
}

/// A value that cannot be used. Never repeats it: it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct InvalidTracesSetting(&'static str);

/// The base address of a collector that takes OTLP over HTTP. Its path is prolonged by `/v1/traces`.
#[derive(Clone, PartialEq, Eq)]
pub struct TracesEndpoint(Url);

impl TracesEndpoint {
    /// What one looks like.
    pub const EXPECTED: &'static str =
        "the http or https address of an OTLP/HTTP collector, such as http://localhost:4318, without query";

    /// Where traces are sent.
    pub(super) fn url(&self) -> String {
        format!("{}/v1/traces", self.0.as_str().trim_end_matches('/'))
    }

    /// Whether it is https.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns whether headers with secrets may be sent there: over https, or to this machine.
    pub fn may_get_secrets(&self) -> bool {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
        self.is_encrypted() || host == "localhost" || host.parse().is_ok_and(is_loopback)
    }

    /// The name of the machine, for the log.
    pub(super) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl FromStr for TracesEndpoint {
    type Err = InvalidTracesSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).ok().filter(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        url.map(Self).ok_or(InvalidTracesSetting(Self::EXPECTED))
    }
}

impl fmt::Debug for TracesEndpoint {
    /// Some collectors put a key into the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TracesEndpoint").field(&self.host()).finish()
    }
}

/// Headers for the collector, which mostly hold its key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TracesHeaders(HeaderMap);

impl TracesHeaders {
    /// What they look like.
    pub const EXPECTED: &'static str = "headers such as name=value,other=value, percent-encoded where needed";

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers, marked as secrets.
    pub(super) fn reveal(&self) -> &HeaderMap {
        &self.0
    }
}

impl FromStr for TracesHeaders {
    type Err = InvalidTracesSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let header = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_str(name.trim()).ok()?, value))
        };
        let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
        let headers: Option<HeaderMap> = pairs.map(header).collect();
        headers.map(Self).ok_or(InvalidTracesSetting(Self::EXPECTED))
    }
}

impl fmt::Debug for TracesHeaders {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

closed_enum!(
    /// The samplers that `OpenTelemetry` names.
    SamplerKind {
        /// All.
        AlwaysOn = "always_on",
        /// None.
        AlwaysOff = "always_off",
        /// A share of all traces.
        Traceidratio = "traceidratio",
        /// What the caller decided, else all.
        ParentbasedAlwaysOn = "parentbased_always_on",
        /// What the caller decided, else none.
        ParentbasedAlwaysOff = "parentbased_always_off",
        /// What the caller decided, else a share.
        ParentbasedTraceidratio = "parentbased_traceidratio",
    }
);

/// Which requests are traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// How it is decided.
    pub kind: SamplerKind,
    /// The share of traces, 0 to 1, where that counts.
    pub ratio: f64,
}

impl From<Sampler> for opentelemetry_sdk::trace::Sampler {
    fn from(Sampler { kind, ratio }: Sampler) -> Self {
        let own = match kind {
            SamplerKind::AlwaysOn | SamplerKind::ParentbasedAlwaysOn => Self::AlwaysOn,
            SamplerKind::AlwaysOff | SamplerKind::ParentbasedAlwaysOff => Self::AlwaysOff,
            SamplerKind::Traceidratio | SamplerKind::ParentbasedTraceidratio => {
                Self::TraceIdRatioBased(ratio)
            }
        };
        match kind {
            SamplerKind::AlwaysOn | SamplerKind::AlwaysOff | SamplerKind::Traceidratio => own,
            _ => Self::ParentBased(Box::new(own)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_https_or_to_this_machine_only() {
        for (endpoint, may) in [
            ("https://otlp.example.com", true),
            ("https://192.0.2.1", true),
            ("http://localhost:4318", true),
            ("http://LOCALHOST", true),
            ("http://127.9.9.9:4318", true),
            ("http://2130706433", true),
            ("http://[::1]:4318", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://otlp.example.com", false),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://10.0.0.1:4318", false),
            ("http://[fd00::1]:4318", false),
            ("http://0.0.0.0:4318", false),
            ("http://collector:4318", false),
        ] {
            assert_eq!(endpoint.parse::<TracesEndpoint>().unwrap().may_get_secrets(), may, "{endpoint}");
        }
    }

    #[test]
    fn the_path_of_the_collector_is_prolonged() {
        for (endpoint, url) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("https://otlp.example.com/otlp/", "https://otlp.example.com/otlp/v1/traces"),
        ] {
            assert_eq!(endpoint.parse::<TracesEndpoint>().unwrap().url(), url);
        }
        for wrong in ["localhost:4318", "grpc://a", "http://u:p@a", "http://a?k=v", "https://"] {
            assert!(wrong.parse::<TracesEndpoint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_are_read_as_the_specification_says_and_never_printed() {
        let headers: TracesHeaders = "api-key=hunter%202, x-scope = a=b ,".parse().unwrap();
        assert_eq!(headers.reveal()["api-key"], "hunter 2");
        assert_eq!(headers.reveal()["x-scope"], "a=b");
        assert_eq!(format!("{headers:?}"), r#"{"api-key", "x-scope"}"#);
        assert!(!format!("{:?}", headers.reveal()).contains("hunter"));
        for wrong in ["key", "a b=c", "key=%0A"] {
            let error = wrong.parse::<TracesHeaders>().unwrap_err();
            assert!(!error.to_string().contains("%0A"), "{error}");
        }
    }
}
