//! What others may see of the server: log, metrics and traces.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};

use crate::http::{MetricsSettings, MetricsToken};
use crate::telemetry::TracesSettings;
use crate::telemetry::{
    self, LogFormat, Sampler, SamplerKind, TelemetrySettings, TracesEndpoint, TracesHeaders,
};

use super::environment::{ConfigError, Environment};

pub(super) fn telemetry(environment: &Environment) -> Result<TelemetrySettings, ConfigError> {
    let terminal = std::io::stderr().is_terminal();
    let default = if terminal { LogFormat::Pretty } else { LogFormat::Json };
    Ok(TelemetrySettings {
        filter: environment
            .parse("RUST_LOG", "levels such as `info` or `info,chatchonk=debug`", |filter: &String| {
                telemetry::is_filter(filter)
            })?
            .unwrap_or_else(|| "info".to_owned()),
        format: environment.parse("LOG_FORMAT", "pretty or json", |_| true)?.unwrap_or(default),
        colour: terminal,
    })
}

pub(super) fn metrics(environment: &Environment, host: IpAddr) -> Result<MetricsSettings, ConfigError> {
    let port = environment.parse::<u16>("METRICS_PORT", "a port number from 0 to 65535", |_| true)?;
    Ok(MetricsSettings {
        address: port.map(|port| SocketAddr::new(host, port)),
        token: environment.parse("METRICS_TOKEN", MetricsToken::EXPECTED, |_| true)?,
    })
}

/// Checked even where no endpoint is set: what is wrong should show before it is needed.
pub(super) fn traces(
    environment: &Environment,
    deployment: &str,
) -> Result<Option<TracesSettings>, ConfigError> {
    let endpoint = environment.parse("OTEL_EXPORTER_OTLP_ENDPOINT", TracesEndpoint::EXPECTED, |_| true)?;
    let headers = |variable| {
        let headers = environment.parse(variable, TracesHeaders::EXPECTED, |_: &TracesHeaders| true);
        headers.map(|headers| headers.map(|headers| (variable, headers)))
    };
    let general = headers("OTEL_EXPORTER_OTLP_HEADERS")?;
    let headers = headers("OTEL_EXPORTER_OTLP_TRACES_HEADERS")?.or(general);
    if let (Some(endpoint), Some((variable, headers))) = (&endpoint, &headers)
        && !headers.is_empty()
        && !TracesEndpoint::may_get_secrets(endpoint)
    {
        return Err(ConfigError {
            variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
            problem: format!(
                "expected https, or this machine such as http://localhost:4318, because {variable} holds secrets; \
                 use https or remove the headers"
            ),
        });
    }
    let kind = environment.parse("OTEL_TRACES_SAMPLER", &SamplerKind::NAMES.join(", "), |_| true)?;
    let ratio = environment
        .parse("OTEL_TRACES_SAMPLER_ARG", "a share from 0 to 1, such as 0.1", |n| (0.0..=1.0).contains(n))?;
    let service = environment.get("OTEL_SERVICE_NAME").unwrap_or("chatchonk-api");
    Ok(endpoint.map(|endpoint| TracesSettings {
        endpoint,
        headers: headers.map(|(_, headers)| headers).unwrap_or_default(),
        service: service.to_owned(),
        environment: deployment.to_owned(),
        sampler: Sampler {
            kind: kind.unwrap_or(SamplerKind::ParentbasedAlwaysOn),
            ratio: ratio.unwrap_or(1.0),
        },
    }))
}
