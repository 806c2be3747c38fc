//! The settings of log, metrics and traces.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};

use crate::http::MetricsSettings;
use crate::telemetry::{
    self, LogFormat, SamplerKind, TelemetrySettings, TracesEndpoint, TracesHeaders, TracesSettings,
};

use super::environment::{ConfigError, Environment};

pub(super) fn telemetry(environment: &Environment) -> Result<TelemetrySettings, ConfigError> {
    let terminal = std::io::stderr().is_terminal();
    let default = if terminal { LogFormat::Pretty } else { LogFormat::Json };
    Ok(TelemetrySettings {
        filter: environment
            .parse_if("RUST_LOG", "levels such as `info` or `info,chatchonk=debug`", |filter: &String| {
                telemetry::is_filter(filter)
            })?
            .unwrap_or_else(|| "info".to_owned()),
        format: environment.parse_as("LOG_FORMAT", "pretty or json")?.unwrap_or(default),
        colour: terminal,
    })
}

pub(super) fn metrics(environment: &Environment, host: IpAddr) -> Result<MetricsSettings, ConfigError> {
    let port = environment.parse_as("METRICS_PORT", "a port number from 0 to 65535")?;
    Ok(MetricsSettings {
        address: port.map(|port| SocketAddr::new(host, port)),
        token: environment.parse("METRICS_TOKEN")?,
    })
}

/// Checks all variables even without an endpoint, so that an error shows before traces are needed.
pub(super) fn traces(
    environment: &Environment,
    deployment: &str,
) -> Result<Option<TracesSettings>, ConfigError> {
    let endpoint = environment.parse::<TracesEndpoint>("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    let general = environment.parse::<TracesHeaders>("OTEL_EXPORTER_OTLP_HEADERS")?;
    let (variable, headers) = match environment.parse("OTEL_EXPORTER_OTLP_TRACES_HEADERS")? {
        Some(headers) => ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", headers),
        None => ("OTEL_EXPORTER_OTLP_HEADERS", general.unwrap_or_default()),
    };
    if let Some(endpoint) = &endpoint
        && !headers.is_empty()
        && !endpoint.keeps_secrets()
    {
        let problem = format!(
            "expected https, or this machine such as http://localhost:4318, because {variable} holds secrets; use https \
             or remove the headers"
        );
        return Err(ConfigError::new("OTEL_EXPORTER_OTLP_ENDPOINT", problem));
    }
    let kind = environment.parse_as("OTEL_TRACES_SAMPLER", &SamplerKind::NAMES.join(", "))?;
    let ratio = environment.parse_if("OTEL_TRACES_SAMPLER_ARG", "a share from 0 to 1, such as 0.1", |n| {
        (0.0..=1.0).contains(n)
    })?;
    let service = environment.get("OTEL_SERVICE_NAME").unwrap_or("chatchonk-api");
    Ok(endpoint.map(|endpoint| TracesSettings {
        endpoint,
        headers,
        service: service.to_owned(),
        environment: deployment.to_owned(),
        sampler: kind.unwrap_or(SamplerKind::ParentbasedAlwaysOn).sampler(ratio.unwrap_or(1.0)),
    }))
}
