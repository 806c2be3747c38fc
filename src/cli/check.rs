//! `check`: checks the configuration, or a running server.

use std::process::ExitCode;

use serde_json::Value;

use crate::app::{self, Line, Mark};
use crate::config::{Config, DatabaseChoice};
use crate::store::Store;

use super::output::report;
use super::running::RunningServer;

/// The remedy where health names none.
const LOOK: &str = "look into the server's log";

pub(super) async fn check(config: &Config) -> anyhow::Result<ExitCode> {
    let store = match &config.database {
        DatabaseChoice::Url(settings) => Some(Store::new(settings.as_ref().clone())),
        DatabaseChoice::Embedded { .. } => None,
    };
    report(&app::check(config, store.as_ref()).await)
}

pub(super) async fn check_running(address: &str) -> anyhow::Result<ExitCode> {
    let server = RunningServer::at(address)?;
    let (health, readiness) = tokio::join!(server.health(), server.readiness());
    report(&lines(&health?.json, &readiness?))
}

/// Builds the lines of a server's health. Leaves out what another release does not report.
fn lines(health: &Value, readiness: &str) -> Vec<Line> {
    let mut lines = vec![server(health), ready(readiness)];
    lines.extend(database(&health["database"]));
    lines.extend(catalogue(&health["catalogue"]));
    let cache = &health["cache"];
    lines.extend(kv(cache));
    lines.extend(budget(&cache["detail"]["kv"]["budget"]));
    lines.extend(listener(&cache["detail"]["listener"]));
    lines
}

fn server(health: &Value) -> Line {
    let words = ["version", "environment", "status"].map(|key| health[key].as_str().unwrap_or("unknown"));
    let [version, environment, status] = words;
    let commit = health["commit"].as_str().map(|commit| format!(" ({commit})")).unwrap_or_default();
    let minutes = health["uptime_seconds"].as_u64().unwrap_or_default() / 60;
    let finding = format!(
        "chatchonk {version}{commit}, {environment}, up for {} h {} min: {status}",
        minutes / 60,
        minutes % 60
    );
    match status {
        "healthy" => Line::new(Mark::Good, "server", finding),
        _ => Line::fault("server", finding, "see the other lines"),
    }
}

fn ready(word: &str) -> Line {
    match word {
        "ready" => Line::new(Mark::Good, "readiness", word),
        "starting" => Line::fault("readiness", word, "try again in 15 s; a start decides by then"),
        "draining" => Line::fault("readiness", word, "it is stopping; check the one that takes its place"),
        _ => Line::fault("readiness", word, LOOK),
    }
}

/// Builds the line of a part of health that is at fault.
fn fault_of(subject: &'static str, part: &Value, otherwise: &str) -> Line {
    let words = ["reason", "remedy"].map(|key| part[key].as_str());
    Line::fault(subject, words[0].unwrap_or(otherwise), words[1].unwrap_or(LOOK))
}

fn database(database: &Value) -> Option<Line> {
    let status = database["status"].as_str()?;
    if status != "up" || database["reason"].is_string() {
        return Some(fault_of("database", database, status));
    }
    let kind = database["kind"].as_str().unwrap_or(status);
    let latency = database["latency_ms"].as_f64().map(|ms| format!(", answers in {ms} ms"));
    Some(Line::new(Mark::Good, "database", format!("{kind}{}", latency.unwrap_or_default())))
}

fn catalogue(catalogue: &Value) -> Option<Line> {
    let source = catalogue["source"].as_str()?;
    let [models, providers, skipped, ignored, revision] =
        ["models", "providers", "skipped", "details_ignored", "revision"]
            .map(|key| catalogue[key].as_u64().unwrap_or_default());
    let finding = format!("{models} models of {providers} providers, from {source}, revision {revision}");
    // A missing count is not zero.
    Some(if catalogue["models"] == 0 || catalogue["providers"] == 0 {
        let remedy = "see the line on the database, and the columns `enabled` and `status`";
        Line::fault("catalogue", finding, remedy)
    } else if catalogue["stale"] == true {
        let remedy = "see the line on the database; the newest catalogue held is served meanwhile";
        Line::fault("catalogue", format!("{finding}, stale"), remedy)
    } else if skipped > 0 || ignored > 0 {
        let remedy = "`chatchonk check` with the server's DATABASE_URL names them";
        let left_out = [(skipped, "rows left out"), (ignored, "details ignored")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("; {count} {what}"));
        Line::fault("catalogue", format!("{finding}{}", left_out.collect::<String>()), remedy)
    } else {
        Line::new(Mark::Good, "catalogue", finding)
    })
}

fn kv(cache: &Value) -> Option<Line> {
    const SUBJECT: &str = "cloudflare kv";
    let status = cache["cloudflare_kv"].as_str()?;
    let kv = &cache["detail"]["kv"];
    Some(match status {
        "enabled" => Line::new(Mark::Good, SUBJECT, status),
        "not_configured" if kv["reason"].is_null() => {
            Line::new(Mark::Absent, SUBJECT, "KV not configured, memory only")
        }
        _ => fault_of(SUBJECT, kv, status),
    })
}

fn budget(budget: &Value) -> Option<Line> {
    let of_kind = |(kind, who): (&str, &str)| {
        let (used, limit) = (budget[kind]["used"].as_u64()?, budget[kind]["limit"].as_u64()?);
        Some(format!("{used} of {limit} {kind}{who}"))
    };
    let kinds = [("reads", " by this server"), ("writes", ""), ("deletes", "")];
    let kinds: Vec<_> = kinds.into_iter().filter_map(of_kind).collect();
    let resets_at = budget["writes"]["resets_at"].as_str().map(|time| format!("; it resets at {time}"));
    let finding = format!("today {} used{}", kinds.join(", "), resets_at.unwrap_or_default());
    (!kinds.is_empty()).then(|| Line::new(Mark::Good, "budget", finding))
}

/// Without announcements the server polls the versions, so changes only show a little later.
fn listener(listener: &Value) -> Option<Line> {
    let (mark, finding) = if listener["listening"].as_bool()? {
        (Mark::Good, "hears the database's announcements")
    } else {
        (Mark::Absent, "hears no announcements; changes show within 15 s")
    };
    Some(Line::new(mark, "listener", finding))
}
