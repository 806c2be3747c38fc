//! Faults of KV under load: lists are not affected, health and log report the fault, and KV is left alone.

use std::time::Duration;

use serde_json::Value;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

use chatchonk::clock::Clock;
use nix::sys::signal::Signal;

use crate::support::kv::fake::{FakeKv, Fault, TOKEN};
use crate::support::load::{Answered, Load};
use crate::support::postgres::database;
use crate::support::process::{Serving, command, folder, get};
use crate::support::server::eventually;

const LISTS: &[&str] = &[
    "/api/models?limit=5",
    "/api/models?capability=tools&limit=5",
    "/api/models?provider=openai&sort=-price&limit=5",
    "/api/providers",
];
/// The pause of every caller. More load would measure the machine, which runs the servers and callers of all faults.
const PAUSE: Duration = Duration::from_millis(100);
const EDITS: u32 = 4;
const BETWEEN_EDITS: Duration = Duration::from_millis(1_500);
/// The extra time that a list may take at the 95th percentile because of a fault.
const MARGIN: Duration = Duration::from_millis(150);
const LONGEST: Duration = Duration::from_secs(1);
const MOST_CALLS: usize = 40;

/// A server in its own process, with its own database and KV.
struct Instance {
    fault: Option<&'static str>,
    kv: FakeKv,
    pool: PgPool,
    server: Serving,
    address: String,
    _folder: TempDir,
}

impl Instance {
    /// The fault exists from the start: the catalogue is read from KV and waits to be written to it.
    async fn start(fault: Option<(Fault, &'static str)>) -> Self {
        let (database, kv, folder) = (database().await, FakeKv::start(Clock::system()).unwrap(), folder());
        let (fault, reason) = fault.unzip();
        if let Some(fault) = fault {
            kv.fail_always(None, fault);
        }
        let mut command = command(folder.path());
        command.env("DATABASE_URL", database.url()).env("WORKERS", "1").envs(kv.variables());
        let mut server = Serving::start(&mut command);
        let address = server.address();
        Self { fault: reason, kv, pool: database.pool().await, server, address, _folder: folder }
    }

    /// Reads lists in a steady stream and edits the catalogue repeatedly, so there is something to write. The instances
    /// edit at different moments, since loads cost the most.
    async fn endure(self, offset: Duration) -> (Self, Vec<Answered>) {
        let load = Load::of(LISTS, self.address.parse().unwrap(), PAUSE);
        let mut edits = tokio::time::interval_at(Instant::now() + offset, BETWEEN_EDITS);
        for edit in 0..EDITS {
            edits.tick().await;
            sqlx::query("update chatchonk.models set name = 'Edit ' || $1::text where id = 'openai/gpt-4o'")
                .bind(edit.to_string())
                .execute(&self.pool)
                .await
                .unwrap();
        }
        edits.tick().await;
        (self, load.finish().await)
    }

    /// Asserts that health reports the fault, and that the server did as well as possible without KV.
    async fn assert_reported(&self) {
        let (status, health) = get(&self.address, "/api/health").await;
        let cache = &health["cache"];
        let Some(reason) = self.fault else {
            assert_eq!((&health["status"], &cache["cloudflare_kv"]), (&"healthy".into(), &"enabled".into()));
            return;
        };
        assert_eq!((status, health["status"].as_str()), (200, Some("degraded")), "{reason}");
        assert_eq!(cache["cloudflare_kv"], "unavailable", "{reason}");
        assert!(cache["detail"]["kv"]["reason"].as_str().unwrap().contains(reason), "{cache}");
        assert!(!cache["detail"]["kv"]["remedy"].as_str().unwrap().is_empty(), "{cache}");
        assert!(!health.to_string().contains(TOKEN));
        let calls = self.kv.requests().len();
        assert!((1..=MOST_CALLS).contains(&calls), "{reason}: {calls} calls");
    }

    /// Stops the server and counts its log lines.
    fn end(self) {
        let (status, lines) = self.server.end();
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        let count = |level: &str| {
            let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
            // Where PostgreSQL runs in a container, its TLS is logged too.
            let is_of_tls = |event: &Value| {
                event["message"].as_str().is_some_and(|message| message.starts_with("TLS with"))
            };
            events.filter(|event| event["level"] == level && !is_of_tls(event)).count()
        };
        assert_eq!(count("ERROR"), 0, "{lines:#?}");
        match self.fault {
            Some(fault) => {
                assert!((1..=12).contains(&count("WARN")), "{fault}: {} warnings", count("WARN"));
                assert!(lines.iter().any(|line| line.contains(fault)), "{fault}: {lines:#?}");
            }
            None => assert_eq!(count("WARN"), 0, "{lines:#?}"),
        }
        assert!(!lines.iter().any(|line| line.contains(TOKEN)));
    }
}

/// Returns the 95th percentile and the maximum. After an edit every caller waits for a load, which is one answer in
/// fourteen: the percentile shows a fault that slows loads, but not a single load that meets a burst of other work.
fn slowest(answers: &[Answered]) -> (Duration, Duration) {
    let mut times: Vec<_> = answers.iter().map(|answer| answer.took).collect();
    times.sort_unstable();
    (times[times.len() * 95 / 100], times[times.len() - 1])
}

#[tokio::test(flavor = "multi_thread")]
async fn kv_faults_do_not_affect_lists_and_are_reported() {
    let faults = [
        // Two, since the instance without a fault can have bad luck too.
        None,
        None,
        Some((Fault::forbidden(), "403 Forbidden")),
        Some((Fault::no_namespace(), "Namespace not found")),
        Some((Fault::Hang, "too slowly")),
        Some((Fault::Page(502), "Cloudflare reports a fault")),
        // The shortest possible wait causes the most calls.
        Some((Fault::throttled(Some(1)), "429")),
        Some((Fault::Reset, "cannot be reached")),
    ];
    let mut instances = Vec::new();
    for fault in faults {
        instances.push(Instance::start(fault).await);
    }
    for instance in &instances {
        assert_eq!(get(&instance.address, LISTS[0]).await.0, 200);
    }
    // All run at once, including the one without a fault, so other load slows them alike.
    let loads: JoinSet<_> = instances
        .drain(..)
        .zip(0..)
        .map(|(instance, place)| instance.endure(BETWEEN_EDITS * place / 8))
        .collect();
    let mut times = Vec::new();
    for (instance, answers) in loads.join_all().await {
        let of = instance.fault.unwrap_or("no fault");
        assert!(answers.len() > 40, "{of}: only {} answers", answers.len());
        for answer in &answers {
            assert!(answer.status == 200 && answer.list.as_ref().is_some_and(|(_, from)| from == "postgres"));
        }
        times.push((of, slowest(&answers)));
        instances.push(instance);
    }
    let of_no_fault = times.iter().filter(|(of, _)| *of == "no fault").map(|(_, times)| *times);
    let (percentile, longest) = of_no_fault.reduce(|a, b| (a.0.max(b.0), a.1.max(b.1))).unwrap();
    // A busy machine spreads all times, so twice the time without a fault proves nothing.
    for (of, of_fault) in &times {
        assert!(of_fault.0 <= percentile * 2 + MARGIN, "{of}: {times:#?}");
        assert!(of_fault.1 <= LONGEST.max(longest * 2), "{of}: {times:#?}");
    }
    for instance in &instances {
        instance.assert_reported().await;
        let edited = async || {
            let (_, model) = get(&instance.address, "/api/models/openai/gpt-4o").await;
            model["name"] == format!("Edit {}", EDITS - 1)
        };
        eventually(edited).await;
        instance.server.signal(Signal::SIGTERM);
    }
    instances.into_iter().for_each(Instance::end);
}
