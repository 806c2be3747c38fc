//! The settings of traces, as `OpenTelemetry` defines their variables.

use std::fmt;
use std::str::FromStr;

use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::closed::closed_enum;
use crate::outgoing;

/// Where to send traces, and which requests to trace.
#[derive(Debug, Clone)]
pub struct TracesSettings {
    /// The address of the collector.
    pub endpoint: TracesEndpoint,
    /// Headers of every request to the collector.
    pub headers: TracesHeaders,
    /// The name of the service in traces.
    pub service: String,
    /// The name of the deployment, such as `production`.
    pub environment: String,
    /// Decides which requests are traced.
    pub sampler: Sampler,
}

/// An invalid value. The message never repeats it: it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct InvalidTracesSetting(&'static str);

/// The base address of a collector for OTLP over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct TracesEndpoint(pub(super) Url);

impl TracesEndpoint {
    /// Returns the address for traces: the base address followed by `/v1/traces`.
    pub(super) fn url(&self) -> String {
        format!("{}/v1/traces", self.0.as_str().trim_end_matches('/'))
    }

    /// Whether headers with secrets may be sent there: over https, or to this machine.
    pub fn keeps_secrets(&self) -> bool {
        outgoing::keeps_secrets(&self.0)
    }
}

impl FromStr for TracesEndpoint {
    type Err = InvalidTracesSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_endpoint = |url: &Url| ["http", "https"].contains(&url.scheme()) && outgoing::is_bare(url);
        Url::parse(text).ok().filter(is_endpoint).map(Self).ok_or(InvalidTracesSetting(
            "the http or https address of an OTLP/HTTP collector, such as http://localhost:4318, without query",
        ))
    }
}

impl fmt::Debug for TracesEndpoint {
    /// Shows the host only: some collectors have a key in the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TracesEndpoint").field(&self.0.host_str()).finish()
    }
}

/// Headers for the collector, which often hold its key. All values are marked as sensitive, so `Debug` hides them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TracesHeaders(pub(super) HeaderMap);

impl TracesHeaders {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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
        let expected = "headers such as name=value,other=value, percent-encoded where needed";
        headers.map(Self).ok_or(InvalidTracesSetting(expected))
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

impl SamplerKind {
    /// Returns the sampler of that kind. `ratio` is the share of traces, 0 to 1, where the kind needs one.
    pub fn sampler(self, ratio: f64) -> Sampler {
        let parent_based = |otherwise| Sampler::ParentBased(Box::new(otherwise));
        match self {
            Self::AlwaysOn => Sampler::AlwaysOn,
            Self::AlwaysOff => Sampler::AlwaysOff,
            Self::Traceidratio => Sampler::TraceIdRatioBased(ratio),
            Self::ParentbasedAlwaysOn => parent_based(Sampler::AlwaysOn),
            Self::ParentbasedAlwaysOff => parent_based(Sampler::AlwaysOff),
            Self::ParentbasedTraceidratio => parent_based(Sampler::TraceIdRatioBased(ratio)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_have_a_path_below_the_collectors_address() {
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
    fn headers_follow_the_specification_and_are_never_printed() {
        let headers: TracesHeaders = "api-key=hunter%202, x-scope = a=b ,".parse().unwrap();
        assert_eq!(headers.0["api-key"], "hunter 2");
        assert_eq!(headers.0["x-scope"], "a=b");
        assert!(!format!("{headers:?}").contains("hunter"));
        assert!(!format!("{:?}", headers.0).contains("hunter"));
        for wrong in ["key", "a b=c", "key=%0A"] {
            let error = wrong.parse::<TracesHeaders>().unwrap_err();
            assert!(!error.to_string().contains("%0A"), "{error}");
        }
    }
}
