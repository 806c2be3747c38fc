//! Settings: allowed values of every variable, the defaults of platforms, and messages without secrets.

use std::path::Path;

use chatchonk::config::{Config, ConfigError, DatabaseChoice, Environment, SETTINGS};
use chatchonk::kv_client::KvSettings;

/// Part of every bad value. No message may repeat it.
const SECRET: &str = "hunter2";
const URL: (&str, &str) = ("DATABASE_URL", "postgres://u:p@localhost:5432/x");

fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    // The test user has a home; only root can do without one.
    let with_home = variables.iter().copied().chain([("HOME", "/home/someone")]);
    Config::from_environment(&with_home.collect::<Environment>(), None)
}

fn max_connections(config: &Config) -> u32 {
    match &config.database {
        DatabaseChoice::Url(settings) => settings.max_connections,
        DatabaseChoice::Embedded { max_connections, .. } => *max_connections,
    }
}

#[test]
fn secret_headers_for_a_collector_need_https_or_loopback() {
    let with = |variable, endpoint| {
        read(&[URL, ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), (variable, "api-key=hunter2")])
    };
    for variable in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
        for endpoint in ["http://collector:4318", "http://10.1.2.3", "http://[fd00::1]:4318"] {
            let error = with(variable, endpoint).unwrap_err();
            assert_eq!(error.variable, "OTEL_EXPORTER_OTLP_ENDPOINT");
            let text = error.to_string();
            assert!(text.contains(variable) && text.contains("use https"), "{text}");
            assert!(!text.contains(SECRET), "{text}");
            assert!(read(&[URL, ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), (variable, ",")]).is_ok());
        }
        for endpoint in ["https://collector:4318", "http://localhost:4318", "http://[::1]:4318"] {
            assert!(with(variable, endpoint).unwrap().traces.is_some(), "{endpoint}");
        }
    }
}

#[test]
fn a_bad_value_stops_the_start_and_names_the_variable() {
    for (variable, expected, values) in [
        ("PORT", "0 to 65535", &["hunter2", "65536", "-1", "80.5", "0x50"][..]),
        ("HOST", "an IP address", &["hunter2", "localhost", "1.2.3", "0.0.0.0:80"]),
        (
            "ENVIRONMENT",
            "a-z 0-9 - _",
            &["hunter2:x", "Hunter2", "hunter2/..", "hunter2 hunter2 hunter2 hunter2"],
        ),
        ("WORKERS", "1 to 512", &["hunter2", "0", "513", "-1", "1.5"]),
        ("DATABASE_MAX_CONNECTIONS", "1 to 100", &["hunter2", "0", "101", "-1"]),
        ("DATABASE_TLS", "verified or unverified", &["hunter2", "local", "off", "Unverified"]),
        ("MIGRATE_ON_START", "true or false", &["hunter2", "1", "yes", "TRUE"]),
        ("CLOUDFLARE_KV_BASE_URL", "https://", &["hunter2", "ftp://hunter2"]),
        ("RATE_LIMIT", "`off` or requests per minute", &["hunter2", "0", "-1", "OFF", "600/min"]),
        ("LOG_FORMAT", "pretty or json", &["hunter2", "JSON"]),
        ("PROBE_PROVIDERS", "true or false", &["hunter2", "on", "1"]),
        (
            "PROVIDER_BASE_URLS",
            "pairs such as openai=https://",
            &["hunter2", "openai=hunter2", "openai=http://hunter2.com", "hunter2/=https://a"],
        ),
        ("RUST_LOG", "levels", &["x=hunter2", "info,hunter2=loud", "hunter2=7"]),
        (
            "ALLOWED_ORIGINS",
            "exact origins",
            &[
                "hunter2",
                "*",
                "https://*.hunter2.com",
                "https://hunter2.com/",
                "https://hunter2.com/path",
                "https://",
                "https://u:hunter2@x.com",
                "https://ok.com,hunter2",
                "https://hunter2.com:port",
                "https://hunter2.com:99999",
                "https://HUNTER2.com",
                "https://hünter2.com",
                "https://hunter2.com\"",
                "null",
            ],
        ),
        (
            "DATABASE_URL",
            "postgres://user:password@host:5432/database",
            &[
                "hunter2",
                "mysql://u:hunter2@h/x",
                "postgres://u:hunter2@h:port/x",
                "postgres://u:hunter2@[h/x",
            ],
        ),
    ] {
        for value in values {
            let error = read(&[(variable, value)]).expect_err(&format!("{variable}={value} was taken"));
            let message = error.to_string();
            assert_eq!(error.variable, variable, "{message}");
            assert!(message.starts_with(&format!("{variable}: expected ")), "{message}");
            assert!(message.contains(expected), "{message}");
            assert!(!message.to_lowercase().contains(SECRET), "{message}");
            assert!(!message.contains('\n') && !message.contains("expected expected"), "{message}");
        }
    }
}

#[test]
fn no_settings_give_the_development_defaults() {
    let config = read(&[("HOME", "/home/user")]).unwrap();
    assert_eq!(config.address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.environment, "development");
    assert_eq!(config.http.allowed_origins, ["http://localhost:3000"]);
    assert_eq!((config.http.rate_limit, config.migrate_on_start), (None, true));
    assert!(config.http.workers >= 1);
    assert_eq!(max_connections(&config), 5);
    assert!(matches!(&config.kv, KvSettings::NotConfigured { missing } if missing.is_empty()));
    assert_eq!(config.telemetry.filter, "info");
    assert!(matches!(config.database, DatabaseChoice::Embedded { .. }));
}

#[test]
fn empty_variables_are_absent_and_values_are_trimmed() {
    for empty in ["", "  ", "\t\n"] {
        let mut variables: Vec<_> = SETTINGS.iter().map(|name| (*name, empty)).collect();
        variables.push(("RENDER", empty));
        variables.push(("HOME", "/home/user"));
        let (config, plain) = (read(&variables).unwrap(), read(&[("HOME", "/home/user")]).unwrap());
        assert_eq!(format!("{config:?}"), format!("{plain:?}"));
    }
    let config = read(&[
        URL,
        ("PORT", " 9000 "),
        ("HOST", "\t::1\n"),
        ("WORKERS", " 3"),
        ("RATE_LIMIT", " off "),
        ("ENVIRONMENT", " staging-2 "),
        ("MIGRATE_ON_START", "false\n"),
        ("ALLOWED_ORIGINS", " https://a.example , http://[::1]:3000,, https://b-c.example:8443 "),
    ])
    .unwrap();
    assert_eq!(config.address.to_string(), "[::1]:9000");
    assert_eq!((config.http.workers, config.http.rate_limit, config.migrate_on_start), (3, None, false));
    assert_eq!(config.http.environment, "staging-2");
    let origins = ["https://a.example", "http://[::1]:3000", "https://b-c.example:8443"];
    assert_eq!(config.http.allowed_origins, origins);
}

#[test]
fn render_changes_the_defaults_and_settings_win_over_it() {
    let render = ("RENDER", "true");
    let config = read(&[render, URL, ("RENDER_CPU_COUNT", "0.5")]).unwrap();
    assert_eq!(config.address.to_string(), "0.0.0.0:8080");
    assert_eq!(config.http.environment, "production");
    assert!(config.http.allowed_origins.is_empty());
    assert_eq!((config.http.workers, max_connections(&config)), (1, 2));
    assert_eq!(config.http.rate_limit.map(std::num::NonZeroU32::get), Some(600));
    let pull_request = read(&[render, URL, ("IS_PULL_REQUEST", "true")]).unwrap();
    assert_eq!(pull_request.http.environment, "preview");
    for (cpus, workers) in [("1", 1), ("1.5", 2), ("4", 4)] {
        assert_eq!(read(&[render, URL, ("RENDER_CPU_COUNT", cpus)]).unwrap().http.workers, workers);
    }
    let chosen = read(&[
        render,
        URL,
        ("RENDER_CPU_COUNT", "4"),
        ("WORKERS", "2"),
        ("HOST", "127.0.0.1"),
        ("PORT", "10000"),
        ("ENVIRONMENT", "staging"),
        ("DATABASE_MAX_CONNECTIONS", "7"),
        ("RATE_LIMIT", "off"),
    ])
    .unwrap();
    assert_eq!(chosen.address.to_string(), "127.0.0.1:10000");
    assert_eq!((chosen.http.workers, max_connections(&chosen)), (2, 7));
    assert_eq!((chosen.http.environment.as_str(), chosen.http.rate_limit), ("staging", None));
}

#[test]
fn render_needs_a_database_and_says_where_to_get_it() {
    for variables in
        [&[("RENDER", "true")][..], &[("RENDER", "true"), ("DATABASE_URL", " "), ("DATA_DIR", "/x")]]
    {
        let error = read(variables).unwrap_err();
        assert_eq!(error.variable, "DATABASE_URL");
        assert!(error.to_string().contains("Supabase → Connect → Session pooler"), "{error}");
    }
}

#[test]
fn the_transaction_pooler_is_refused_and_port_5432_named() {
    let url = "postgres://postgres.ref:hunter2@aws-0-us-west-1.pooler.supabase.com:6543/postgres";
    for platform in ["true", "false"] {
        let error = read(&[("RENDER", platform), ("DATABASE_URL", url)]).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.variable, "DATABASE_URL");
        // The message asks for the right port and does not suggest the wrong one.
        assert!(message.starts_with("DATABASE_URL: expected port 5432"), "{message}");
        assert!(message.contains("6543") && message.contains("Session pooler"), "{message}");
        assert!(!message.contains(SECRET), "{message}");
    }
    assert!(read(&[("DATABASE_URL", &url.replace("6543", "5432"))]).is_ok());
}

#[test]
fn partial_kv_variables_are_reported_as_not_configured() {
    let all = ["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_KV_NAMESPACE_ID"];
    for set in 0..8 {
        let is_set = |at: &usize| set & (1 << at) != 0;
        let mut variables = vec![URL];
        let values = [SECRET, "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];
        variables.extend((0..3).filter(is_set).map(|at| (all[at], values[at])));
        let config = read(&variables).unwrap();
        let absent: Vec<_> = (0..3).filter(|at| !is_set(at)).map(|at| all[at]).collect();
        if let KvSettings::NotConfigured { missing } = &config.kv {
            let reported = if absent.len() == 3 { vec![] } else { absent.clone() };
            assert_eq!(*missing, reported);
            let reason = config.kv.remark().map(|(reason, _)| reason);
            let verb = if absent.len() == 1 { "is" } else { "are" };
            let remark = format!("KV not configured: {} {verb} missing", absent.join(", "));
            assert_eq!(reason, (absent.len() < 3).then_some(remark));
        }
        assert_eq!(matches!(config.kv, KvSettings::NotConfigured { .. }), !absent.is_empty());
        assert!(!format!("{config:?}").contains(SECRET));
    }
}

#[test]
fn no_debug_output_repeats_a_secret() {
    let variables = [
        ("DATABASE_URL", "postgres://u:hunter2@localhost/x"),
        ("OPENAI_API_KEY", "hunter2"),
        ("CLOUDFLARE_API_TOKEN", "hunter2"),
    ];
    let environment: Environment = variables.into_iter().collect();
    let config = Config::from_environment(&environment, None).unwrap();
    assert!(!format!("{environment:?} {config:?} {config:#?}").contains(SECRET));
}

#[test]
fn the_data_folder_argument_wins_over_variable_and_home() {
    let folder = |variables: &[(&str, &str)], argument: Option<&str>| {
        let environment = variables.iter().copied().collect::<Environment>();
        match Config::from_environment(&environment, argument.map(Path::new)).unwrap().database {
            DatabaseChoice::Embedded { data_dir, .. } => data_dir.to_str().unwrap().to_owned(),
            DatabaseChoice::Url(_) => panic!("no URL was set"),
        }
    };
    let variables = [("DATA_DIR", "/from/variable"), ("HOME", "/home/user")];
    assert_eq!(folder(&variables, Some("/from/argument")), "/from/argument");
    assert_eq!(folder(&variables, None), "/from/variable");
}
