//! `.env.example` lists every setting, and the defaults in it are right.

use std::path::Path;

use chatchonk::config::{Config, DatabaseChoice, Environment, SETTINGS};
use chatchonk::domain::seed::Seed;

const FILE: &str = include_str!("../../.env.example");

/// Settings whose default depends on the environment. The file shows an example instead.
const EXAMPLES: [&str; 9] = [
    "WORKERS",
    "DATABASE_URL",
    "PGSSLROOTCERT",
    "DATA_DIR",
    "CLOUDFLARE_KV_BASE_URL",
    "LOG_FORMAT",
    "METRICS_PORT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "PROVIDER_BASE_URLS",
];

/// The commented-out settings, in the order of the file.
fn entries() -> Vec<(&'static str, &'static str)> {
    let is_name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let entry =
        |line: &'static str| line.strip_prefix("# ")?.split_once('=').filter(|(name, _)| is_name(name));
    FILE.lines().filter_map(entry).collect()
}

fn config(variables: impl IntoIterator<Item = (&'static str, &'static str)>) -> Config {
    let environment: Environment = variables.into_iter().collect();
    Config::from_environment(&environment, Some(Path::new("/data"))).unwrap()
}

#[test]
fn it_lists_every_setting_then_every_provider_key() {
    let seed = Seed::builtin().unwrap();
    let keys = seed.providers.iter().flat_map(|provider| provider.env.iter().map(String::as_str));
    let known: Vec<_> = SETTINGS.iter().copied().chain(keys).collect();
    let named: Vec<_> = entries().into_iter().map(|(name, _)| name).collect();
    assert_eq!(named, known);
}

#[test]
fn a_copy_sets_nothing() {
    let set: Vec<_> = FILE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(set, [""; 0], "a copy must change nothing until it is edited");
}

#[test]
fn each_example_is_accepted_alone_and_with_all_others() {
    // The file that this example names does not exist here.
    let literal = || entries().into_iter().filter(|(name, _)| *name != "PGSSLROOTCERT");
    for (name, value) in literal() {
        config([(name, value)]);
    }
    let DatabaseChoice::Url(_) = config(literal()).database else { panic!("the example names a database") };
}

#[test]
fn its_defaults_are_those_of_the_code() {
    let given = config(entries().into_iter().filter(|(name, _)| !EXAMPLES.contains(name)));
    let absent = config([]);
    assert_eq!(given.address, absent.address);
    assert_eq!(format!("{:?}", given.http), format!("{:?}", absent.http));
    assert_eq!(format!("{:?}", given.database), format!("{:?}", absent.database));
    assert_eq!((given.migrate_on_start, given.kv), (absent.migrate_on_start, absent.kv));
    assert_eq!(given.kv_limits, absent.kv_limits);
    assert_eq!(given.telemetry.filter, absent.telemetry.filter);
    assert_eq!(given.probes.enabled, absent.probes.enabled);
    let traces = |variables: &[_]| {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        format!("{:?}", config(variables.iter().copied().chain([endpoint])).traces)
    };
    let of_traces: Vec<_> = entries().into_iter().filter(|(name, _)| name.starts_with("OTEL_")).collect();
    assert_eq!(traces(&of_traces), traces(&[]));
}

#[test]
fn the_render_blueprint_takes_kv_variables_from_their_group() {
    let blueprint = include_str!("../../render.yaml");
    assert!(blueprint.contains("- fromGroup: chatchonk-secrets\n"));
    // A second entry would silently override the group.
    assert!(!blueprint.contains("key: CLOUDFLARE_"));
}
