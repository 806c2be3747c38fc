//! The part of `check` that tries Cloudflare KV for real: token, account, namespace, and a round trip.

use std::time::Duration;

use crate::clock::Clock;
use crate::kv_client::{
    KvClient, KvConnection, KvError, KvErrorClass, KvKey, KvMisconfiguration, TokenStatus,
};

use super::line::{Line, Mark};

const SUBJECT: &str = "cloudflare kv";
/// The shortest life that KV takes; the value is deleted at once anyhow.
const TIME_TO_LIVE: Duration = Duration::from_mins(1);

/// Tries KV, step by step, until one fails. Writes, reads and deletes one key of its own.
pub(super) async fn check_kv(connection: &KvConnection, environment: &str, clock: &Clock) -> Vec<Line> {
    let client = match KvClient::new(connection, clock.clone()) {
        Ok(client) => client,
        Err(error) => return vec![fault(&error)],
    };
    let mut lines = vec![token(&client).await];
    let begun = clock.now();
    match client.probe().await {
        Ok(namespace) => {
            let finding = format!("namespace `{}` found in {}", namespace.title, since(clock, begun));
            lines.push(Line::new(Mark::Good, SUBJECT, finding));
        }
        Err(error) => {
            lines.push(fault(&error));
            if error.class == KvErrorClass::Configuration(KvMisconfiguration::Namespace) {
                lines.extend(others(&client).await);
            }
            return lines;
        }
    }
    match format!("chatchonk:{environment}:check.1:{}", uuid::Uuid::now_v7()).parse() {
        Ok(key) => lines.push(round_trip(&client, &key, clock).await),
        Err(_) => lines.push(Line::new(Mark::Fault, SUBJECT, "ENVIRONMENT makes keys that KV would refuse")),
    }
    lines
}

async fn token(client: &KvClient) -> Line {
    match client.verify_token().await {
        Ok(status @ TokenStatus::Active) => Line::new(Mark::Good, SUBJECT, status.to_string()),
        Ok(status @ TokenStatus::Skipped) => Line::new(Mark::Absent, SUBJECT, status.to_string()),
        Ok(status) => {
            Line::fault(SUBJECT, status.to_string(), "make a new token and set CLOUDFLARE_API_TOKEN to it")
        }
        Err(error) => fault(&error),
    }
}

/// The namespaces there are, for whoever set a wrong id.
async fn others(client: &KvClient) -> Option<Line> {
    let namespaces = client.namespaces().await.ok()?;
    let named: Vec<_> = namespaces.iter().map(|n| format!("{} ({})", n.id, n.title)).collect();
    let finding = match named.len() {
        0 => "the account has no namespace yet; make one in the dashboard".to_owned(),
        _ => format!("the account has {}", named.join(", ")),
    };
    Some(Line::new(Mark::Absent, SUBJECT, finding))
}

async fn round_trip(client: &KvClient, key: &KvKey, clock: &Clock) -> Line {
    let value = b"chatchonk check".to_vec();
    let begun = clock.now();
    if let Err(error) = client.put(key, value.clone(), TIME_TO_LIVE).await {
        return fault(&error);
    }
    let written = since(clock, begun);
    let begun = clock.now();
    let read = client.get(key).await;
    let read_in = since(clock, begun);
    let begun = clock.now();
    let deleted = client.delete(key).await;
    let deleted_in = since(clock, begun);
    let read = match read {
        Ok(Some(found)) if found == value => format!("read in {read_in}"),
        // KV may take a minute and more to show a change: no fault, and nothing here relies on it.
        Ok(_) => format!("not shown yet after {read_in}, which KV allows"),
        Err(error) => return fault(&error),
    };
    match deleted {
        Ok(()) => {
            Line::new(Mark::Good, SUBJECT, format!("written in {written}, {read}, deleted in {deleted_in}"))
        }
        Err(error) => fault(&error),
    }
}

fn fault(error: &KvError) -> Line {
    Line::kv_fault(SUBJECT, error)
}

fn since(clock: &Clock, begun: std::time::Instant) -> String {
    format!("{:.0} ms", clock.now().saturating_duration_since(begun).as_secs_f64() * 1e3)
}
