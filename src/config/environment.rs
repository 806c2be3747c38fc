//! The variables of the process, and errors in them.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// All settings, in the order of `.env.example`. The providers' keys are in `provider_health/known.rs`.
pub const SETTINGS: &[&str] = &[
    "PORT",
    "HOST",
    "ENVIRONMENT",
    "WORKERS",
    "DATABASE_URL",
    "DATABASE_MAX_CONNECTIONS",
    "DATABASE_TLS",
    "PGSSLROOTCERT",
    "DATA_DIR",
    "MIGRATE_ON_START",
    "CLOUDFLARE_API_TOKEN",
    "CLOUDFLARE_ACCOUNT_ID",
    "CLOUDFLARE_KV_NAMESPACE_ID",
    "CLOUDFLARE_KV_BASE_URL",
    "CLOUDFLARE_KV_DAILY_READS",
    "CLOUDFLARE_KV_DAILY_WRITES",
    "CLOUDFLARE_KV_DAILY_DELETES",
    "ALLOWED_ORIGINS",
    "RATE_LIMIT",
    "RUST_LOG",
    "LOG_FORMAT",
    "METRICS_PORT",
    "METRICS_TOKEN",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "PROBE_PROVIDERS",
    "PROVIDER_BASE_URLS",
];

/// Variables that the platform sets.
const PLATFORM: &[&str] = &["RENDER", "IS_PULL_REQUEST", "RENDER_CPU_COUNT", "XDG_DATA_HOME", "HOME", "PATH"];

/// The variables of the process. Values are trimmed; an empty variable counts as absent.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(pairs: T) -> Self {
        let trimmed = pairs.into_iter().map(|(name, value)| (name.into(), value.into().trim().to_owned()));
        Self(trimmed.filter(|(_, value)| !value.is_empty()).collect())
    }
}

impl Environment {
    /// Reads the variables of the process, and those of `.env` in the working directory that it lacks.
    ///
    /// # Errors
    /// [`ConfigError`] when an existing `.env` cannot be read or parsed, or the value of a setting is not UTF-8.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Result<Self, ConfigError> {
        let mut variables: HashMap<_, _> = match dotenvy::from_path_iter(".env") {
            Ok(pairs) => pairs.collect::<Result<_, _>>().map_err(unreadable)?,
            Err(error) if error.not_found() => HashMap::new(),
            Err(error) => return Err(unreadable(error)),
        };
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            let Ok(value) = value.into_string() else {
                // Skipping a setting would replace the operator's choice by a default.
                if let Some(variable) = SETTINGS.iter().find(|setting| **setting == name) {
                    return Err(ConfigError::new(variable, "expected text in UTF-8"));
                }
                variables.remove(&name);
                continue;
            };
            // An empty variable must not hide the one of `.env`.
            if !value.trim().is_empty() {
                variables.insert(name, value);
            }
        }
        Ok(variables.into_iter().collect())
    }

    pub(super) fn get(&self, name: &'static str) -> Option<&str> {
        debug_assert!(SETTINGS.contains(&name) || PLATFORM.contains(&name), "{name} is not documented");
        self.0.get(name).map(String::as_str)
    }

    /// Returns a provider's key. No setting of the server is one, whatever the provider's id.
    pub(super) fn key(&self, name: &str) -> Option<&str> {
        self.0.get(name).filter(|_| !SETTINGS.contains(&name)).map(String::as_str)
    }

    /// Parses a value whose type says what it expected, without repeating the value.
    pub(super) fn parse<T: FromStr<Err: fmt::Display>>(
        &self,
        variable: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        let value = self.get(variable).map(str::parse).transpose();
        value.map_err(|error: T::Err| ConfigError::new(variable, error.to_string()))
    }

    /// Parses a value of any type.
    pub(super) fn parse_as<T: FromStr>(
        &self,
        variable: &'static str,
        expected: &str,
    ) -> Result<Option<T>, ConfigError> {
        self.parse_if(variable, expected, |_| true)
    }

    /// Parses a value of any type that must also be `valid`.
    pub(super) fn parse_if<T: FromStr>(
        &self,
        variable: &'static str,
        expected: &str,
        valid: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.get(variable) else { return Ok(None) };
        let value = text.parse().ok().filter(valid);
        value.map(Some).ok_or_else(|| ConfigError::new(variable, format!("expected {expected}")))
    }
}

/// Describes the error without the line, which may hold a secret.
fn unreadable(error: dotenvy::Error) -> ConfigError {
    let problem = match error {
        dotenvy::Error::Io(error) => &format!("cannot be read: {error}"),
        _ => "a line cannot be parsed: expected NAME=value, with 'single quotes' around spaces and $",
    };
    ConfigError::new(".env", problem)
}

/// An invalid setting. The message never repeats the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct ConfigError {
    /// The name of the variable.
    pub variable: &'static str,
    /// What is wrong, and how to fix it.
    pub problem: String,
}

impl ConfigError {
    pub(super) fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self { variable, problem: problem.into() }
    }
}
