//! The lines of `check` on Cloudflare KV: token, account, namespace, and a round trip.

use std::time::Duration;

use crate::clock::Clock;
use crate::kv_client::{
    KvClient, KvConnection, KvError, KvErrorClass, KvKey, KvMisconfiguration, TokenStatus,
};
use crate::kv_tier::key_of;

use super::line::{Line, Mark};

const SUBJECT: &str = "cloudflare kv";
/// The shortest time to live that KV accepts, in case the deletion fails.
const TIME_TO_LIVE: Duration = Duration::from_mins(1);

/// Tests KV step by step until one fails. Writes, reads and deletes its own key.
pub(super) async fn check_kv(connection: &KvConnection, environment: &str, clock: &Clock) -> Vec<Line> {
    let client = match KvClient::new(connection, clock.clone()) {
        Ok(client) => client,
        Err(error) => return vec![fault(&error)],
    };
    let mut lines = vec![token(&client).await];
    let (probed, took) = timed(clock, client.probe()).await;
    match probed {
        Ok(namespace) => {
            let finding = format!("namespace `{}` found in {took}", namespace.title);
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
    match key_of(environment, "check", 1, &uuid::Uuid::now_v7().to_string()) {
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
            Line::fault(SUBJECT, status.to_string(), "create a new token and set CLOUDFLARE_API_TOKEN to it")
        }
        Err(error) => fault(&error),
    }
}

/// Lists the namespaces of the account, for an operator who set a wrong id.
async fn others(client: &KvClient) -> Option<Line> {
    let namespaces = client.namespaces().await.ok()?;
    let named: Vec<_> = namespaces.iter().map(|n| format!("{} ({})", n.id, n.title)).collect();
    let finding = match named.len() {
        0 => "the account has no namespace yet; create one in the dashboard".to_owned(),
        _ => format!("the account has {}", named.join(", ")),
    };
    Some(Line::new(Mark::Absent, SUBJECT, finding))
}

async fn round_trip(client: &KvClient, key: &KvKey, clock: &Clock) -> Line {
    let value = b"chatchonk check".to_vec();
    let (written, written_in) = timed(clock, client.put(key, value.clone(), TIME_TO_LIVE)).await;
    if let Err(error) = written {
        return fault(&error);
    }
    let (read, read_in) = timed(clock, client.get(key)).await;
    let (deleted, deleted_in) = timed(clock, client.delete(key)).await;
    let read = match read {
        Ok(Some(found)) if found == value => format!("read in {read_in}"),
        // KV may take more than a minute to show a change.
        Ok(_) => format!("not shown yet after {read_in}, which KV allows"),
        Err(error) => return fault(&error),
    };
    match deleted {
        Ok(()) => Line::new(
            Mark::Good,
            SUBJECT,
            format!("written in {written_in}, {read}, deleted in {deleted_in}"),
        ),
        Err(error) => fault(&error),
    }
}

fn fault(error: &KvError) -> Line {
    Line::kv_fault(SUBJECT, error)
}

/// Returns the result of a call, and how long the call took.
async fn timed<T>(clock: &Clock, call: impl Future<Output = T>) -> (T, String) {
    let begun = clock.now();
    let result = call.await;
    let took = clock.now().saturating_duration_since(begun);
    (result, format!("{:.0} ms", took.as_secs_f64() * 1e3))
}
