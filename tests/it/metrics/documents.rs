//! The dashboard, the alerts and `docs/metrics.md` name existing metrics only, and the page explains all of them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::with_port;
use crate::support::scrape::Scrape;

const DASHBOARD: &str = include_str!("../../../docs/grafana/dashboard.json");
const ALERTS: &str = include_str!("../../../docs/prometheus/alerts.yml");
const PAGE: &str = include_str!("../../../docs/metrics.md");

/// Returns everything that looks like a name of our metrics or of a process metric.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| word.starts_with("chatchonk_") || word.starts_with("process_")).collect()
}

/// Collects the expressions of the dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| ["expr", "query", "definition"].contains(&name.as_str())) {
                    Some(expression) => found.push(expression.to_owned()),
                    None => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

fn alerts() -> Vec<&'static str> {
    ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_exported_and_explained() {
    let server = with_port().await;
    let scrape = Scrape::of(&server).await;
    server.stop().await;
    let mut of_dashboard = Vec::new();
    expressions(&serde_json::from_str(DASHBOARD).unwrap(), &mut of_dashboard);
    assert!(of_dashboard.len() > 15 && alerts().len() > 5);
    for (document, text) in [("dashboard", of_dashboard.join("\n")), ("alerts", ALERTS.to_owned())] {
        let used = metrics(&text);
        assert!(used.len() > 5, "{document}: {used:?}");
        for name in used {
            assert!(scrape.family_of(name).is_some(), "{document}: no metric {name}");
        }
    }
    let explained: BTreeSet<_> =
        PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let explained: BTreeSet<_> = explained.into_iter().filter(|name| !metrics(name).is_empty()).collect();
    let exported: BTreeSet<_> = scrape
        .families
        .iter()
        .map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.clone() })
        .collect();
    assert_eq!(explained, exported.iter().map(String::as_str).collect());
}

#[test]
fn the_page_has_a_runbook_for_every_alert() {
    for alert in alerts() {
        let row = PAGE.lines().find(|line| line.starts_with(&format!("| `{alert}` |")));
        assert!(
            row.is_some_and(|row| row.split('|').all(|cell| !cell.trim().is_empty() || cell.is_empty())),
            "{alert}"
        );
    }
}
