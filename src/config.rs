//! Settings: turns a map of variables into checked structs, which never print secrets.

mod environment;
mod observability;

pub use environment::{ConfigError, Environment, SETTINGS};

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use crate::embedded;
use crate::http::{HttpSettings, MetricsSettings};
use crate::kv_client::{KvBaseUrl, KvConnection, KvSettings};
use crate::kv_tier::KvLimits;
use crate::provider_health::{ProbeSettings, ProviderBaseUrls, ProviderKeys};
use crate::store::{DatabaseSettings, DatabaseTls, Roots, Verification};
use crate::telemetry::{TelemetrySettings, TracesSettings};

/// The variables that Cloudflare KV needs.
pub const KV_VARIABLES: [&str; 3] =
    ["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_KV_NAMESPACE_ID"];

/// All settings of the server, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on.
    pub address: SocketAddr,
    /// HTTP.
    pub http: HttpSettings,
    /// The database to use.
    pub database: DatabaseChoice,
    /// Whether the server migrates and seeds the database at its start.
    pub migrate_on_start: bool,
    /// Cloudflare KV.
    pub kv: KvSettings,
    /// Daily limits of the Cloudflare account's plan.
    pub kv_limits: KvLimits,
    /// The probes of providers.
    pub probes: ProbeSettings,
    /// The log.
    pub telemetry: TelemetrySettings,
    /// Metrics.
    pub metrics: MetricsSettings,
    /// Traces; `None` if none are sent.
    pub traces: Option<TracesSettings>,
}

/// Which database to use.
#[derive(Debug, Clone)]
pub enum DatabaseChoice {
    /// The database of `DATABASE_URL`.
    Url(Box<DatabaseSettings>),
    /// A private database on this machine.
    Embedded {
        /// The folder of the cluster.
        data_dir: PathBuf,
        /// The search path for PostgreSQL's programs.
        path: Option<OsString>,
        /// The size of the connection pool.
        max_connections: u32,
    },
}

impl Config {
    /// Checks the variables. `data_dir` (from the command line) wins over `DATA_DIR`.
    ///
    /// # Errors
    /// [`ConfigError`] for the first invalid variable.
    pub fn from_environment(environment: &Environment, data_dir: Option<&Path>) -> Result<Self, ConfigError> {
        let render = environment.get("RENDER") == Some("true");
        let default_host = if render { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let host = environment.parse_as::<IpAddr>("HOST", "an IP address such as 127.0.0.1 or 0.0.0.0")?;
        let host = host.unwrap_or(default_host.into());
        let port = environment.parse_as("PORT", "a port number from 0 to 65535")?.unwrap_or(8080);
        let http = http(environment, render)?;
        Ok(Self {
            address: SocketAddr::new(host, port),
            metrics: observability::metrics(environment, host)?,
            traces: observability::traces(environment, &http.environment)?,
            http,
            database: database(environment, render, data_dir)?,
            migrate_on_start: environment.parse_as("MIGRATE_ON_START", "true or false")?.unwrap_or(true),
            kv: kv(environment)?,
            kv_limits: kv_limits(environment)?,
            probes: probes(environment)?,
            telemetry: observability::telemetry(environment)?,
        })
    }
}

fn http(environment: &Environment, render: bool) -> Result<HttpSettings, ConfigError> {
    let workers = environment
        .parse_if::<usize>("WORKERS", "a number of threads from 1 to 512", |n| (1..=512).contains(n))?;
    // Render grants fractions of a CPU, such as "0.5".
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the filter")]
    let granted = environment
        .get("RENDER_CPU_COUNT")
        .and_then(|cpus| cpus.parse::<f64>().ok())
        .filter(|cpus| (0.0..=512.0).contains(cpus))
        .map(|cpus| cpus.ceil().max(1.0) as usize);
    let available = || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let rate_limit = match environment.get("RATE_LIMIT") {
        Some("off") => None,
        _ => environment
            .parse_as("RATE_LIMIT", "`off` or requests per minute and client, such as 600")?
            .or(render.then_some(NonZeroU32::MIN.saturating_add(599))),
    };
    let is_name = |name: &String| {
        name.len() <= 32
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
    };
    let expected = "1 to 32 characters out of a-z 0-9 - _";
    let environment_name = match environment.parse_if("ENVIRONMENT", expected, is_name)? {
        Some(name) => name,
        None if environment.get("IS_PULL_REQUEST") == Some("true") => "preview".to_owned(),
        None if render => "production".to_owned(),
        None => "development".to_owned(),
    };
    Ok(HttpSettings {
        workers: workers.or(granted).unwrap_or_else(available),
        allowed_origins: allowed_origins(environment, &environment_name)?,
        rate_limit,
        behind_render: render,
        environment: environment_name,
    })
}

fn allowed_origins(environment: &Environment, name: &str) -> Result<Vec<String>, ConfigError> {
    let default = if name == "development" { "http://localhost:3000" } else { "" };
    let list = environment.get("ALLOWED_ORIGINS").unwrap_or(default);
    let origins = list.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    let origins: Vec<_> = origins.map(str::to_owned).collect();
    if origins.iter().all(|origin| is_origin(origin)) {
        return Ok(origins);
    }
    let problem = "expected exact origins such as https://app.example.com, comma-separated, in lower case, without a path \
                   or a star";
    Err(ConfigError::new("ALLOWED_ORIGINS", problem))
}

/// Whether a browser could send the text: scheme, host and port in lower case, and nothing else.
fn is_origin(text: &str) -> bool {
    let Some(authority) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
        }
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_host && port.is_none_or(is_port)
}

fn database(
    environment: &Environment,
    render: bool,
    data_dir: Option<&Path>,
) -> Result<DatabaseChoice, ConfigError> {
    let max_connections = environment
        .parse_if("DATABASE_MAX_CONNECTIONS", "a number of connections from 1 to 100", |n| {
            (1..=100).contains(n)
        })?
        .unwrap_or(if render { 2 } else { 5 });
    let tls = environment.parse_if::<DatabaseTls>("DATABASE_TLS", "verified or unverified", |tls| {
        matches!(tls, DatabaseTls::Verified | DatabaseTls::Unverified)
    })?;
    let Some(url) = environment.get("DATABASE_URL") else {
        if render {
            let problem =
                "missing, and Render's disk does not last: copy it from Supabase → Connect → Session pooler";
            return Err(ConfigError::new("DATABASE_URL", problem));
        }
        let is_root = nix::unistd::geteuid().is_root();
        let path_of = |name| environment.get(name).map(Path::new);
        let data_dir = data_dir
            .or(path_of("DATA_DIR"))
            .map(Path::to_owned)
            .or_else(|| embedded::default_data_dir(is_root, path_of("XDG_DATA_HOME"), path_of("HOME")))
            .ok_or_else(|| {
                let problem = "missing, and this user has no home: name a folder for the embedded database";
                ConfigError::new("DATA_DIR", problem)
            })?;
        return Ok(DatabaseChoice::Embedded {
            data_dir,
            path: environment.get("PATH").map(OsString::from),
            max_connections,
        });
    };
    let root_certificate = environment.get("PGSSLROOTCERT");
    if let Some(Roots::File(path)) = root_certificate.map(Roots::given)
        && std::fs::File::open(path).is_err()
    {
        let problem = "cannot be read; give the path of the certificate or the PEM text itself";
        return Err(ConfigError::new("PGSSLROOTCERT", problem));
    }
    let verification = match (tls, root_certificate) {
        (Some(DatabaseTls::Unverified), _) => Verification::Off,
        (_, Some(certificate)) => Verification::Against(certificate),
        (_, None) => Verification::ByDefault,
    };
    DatabaseSettings::from_url(url, verification, max_connections)
        .map(|settings| DatabaseChoice::Url(Box::new(settings)))
        .map_err(|error| ConfigError::new("DATABASE_URL", error.to_string()))
}

fn kv(environment: &Environment) -> Result<KvSettings, ConfigError> {
    let base_url = environment.parse("CLOUDFLARE_KV_BASE_URL")?;
    let token = environment.parse(KV_VARIABLES[0])?;
    let account_id = environment.parse(KV_VARIABLES[1])?;
    let namespace_id = environment.parse(KV_VARIABLES[2])?;
    let (Some(token), Some(account_id), Some(namespace_id)) = (token, account_id, namespace_id) else {
        let missing: Vec<_> =
            KV_VARIABLES.into_iter().filter(|name| environment.get(name).is_none()).collect();
        let none = missing.len() == KV_VARIABLES.len();
        return Ok(KvSettings::NotConfigured { missing: if none { Vec::new() } else { missing } });
    };
    let base_url = base_url.unwrap_or_else(|| KvBaseUrl::of_account(&account_id));
    Ok(KvSettings::Configured(KvConnection { token, account_id, namespace_id, base_url }))
}

fn kv_limits(environment: &Environment) -> Result<KvLimits, ConfigError> {
    let limit = |variable| {
        environment.parse_if(variable, "a number of operations per day, at least 10", |n| *n >= 10_u64)
    };
    let free = KvLimits::FREE_PLAN;
    Ok(KvLimits {
        reads: limit("CLOUDFLARE_KV_DAILY_READS")?.unwrap_or(free.reads),
        writes: limit("CLOUDFLARE_KV_DAILY_WRITES")?.unwrap_or(free.writes),
        deletes: limit("CLOUDFLARE_KV_DAILY_DELETES")?.unwrap_or(free.deletes),
    })
}

fn probes(environment: &Environment) -> Result<ProbeSettings, ConfigError> {
    let base_urls: ProviderBaseUrls = environment.parse("PROVIDER_BASE_URLS")?.unwrap_or_default();
    Ok(ProbeSettings {
        enabled: environment.parse_as("PROBE_PROVIDERS", "true or false")?.unwrap_or(true),
        keys: ProviderKeys::read(&base_urls, |name| environment.key(name)),
        base_urls,
    })
}
