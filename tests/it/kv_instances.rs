//! Two processes on one database and one KV.

use std::time::Duration;

use chatchonk::clock::Clock;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::kv::KEY;
use crate::support::kv::fake::FakeKv;
use crate::support::postgres::{TestDatabase, database};
use crate::support::process::{Serving, command, folder, get};
use crate::support::server::eventually;

const MODEL: &str = "/api/models/openai/gpt-4o";
const OUTCOMES: [&str; 5] = ["memory", "kv", "stale", "origin", "error"];

struct Instance {
    server: Serving,
    address: String,
    /// Requests for a list or an item.
    requests: u64,
    _folder: TempDir,
}

impl Instance {
    fn start(database: &TestDatabase, kv: &FakeKv) -> Self {
        let folder = folder();
        let mut command = command(folder.path());
        let mut server = Serving::start(command.env("DATABASE_URL", database.url()).envs(kv.variables()));
        let address = server.address();
        Self { server, address, requests: 0, _folder: folder }
    }

    async fn ask(&mut self, path: &str) -> (u16, Value) {
        self.requests += 1;
        get(&self.address, path).await
    }

    /// Waits until the model has this name, and returns how long that took.
    async fn sees(&mut self, name: &str) -> Duration {
        let clock = Clock::system();
        let begun = clock.now();
        eventually(async || self.ask(MODEL).await.1["name"] == name).await;
        clock.now() - begun
    }

    /// Returns the counters of health once they include every request.
    async fn counts(&self) -> Value {
        let mut cache = Value::Null;
        eventually(async || {
            cache = get(&self.address, "/api/health").await.1["cache"].take();
            cache["detail"]["families"]["catalogue"]["reads"] == self.requests
        })
        .await;
        let counts = &cache["detail"]["families"]["catalogue"];
        let sum =
            |outcomes: &[&str]| outcomes.iter().map(|name| counts[*name].as_u64().unwrap()).sum::<u64>();
        assert_eq!(sum(&OUTCOMES), self.requests, "{cache}");
        assert_eq!(sum(&OUTCOMES[..3]), cache["cache_hits"], "{cache}");
        assert_eq!(sum(&OUTCOMES[3..]), cache["cache_misses"], "{cache}");
        counts.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_kv_and_see_edits_within_a_second() {
    let (database, kv) = (database().await, FakeKv::start(Clock::system()).unwrap());
    let pool = database.pool().await;
    let mut first = Instance::start(&database, &kv);
    let (_, loaded) = first.ask("/api/models?limit=5").await;
    assert_eq!(loaded["source"], "postgres");
    eventually(async || kv.value(KEY).is_some()).await;

    let mut second = Instance::start(&database, &kv);
    let (_, found) = second.ask("/api/models?limit=5").await;
    assert_eq!(found["source"], "kv");
    assert_eq!((&found["revision"], &found["data"]), (&loaded["revision"], &loaded["data"]));

    for instance in [&first, &second] {
        let listens = async || {
            let (_, health) = get(&instance.address, "/api/health").await;
            health["cache"]["detail"]["listener"]["listening"] == true
        };
        eventually(listens).await;
    }
    for name in ["Once", "Twice", "Thrice"] {
        sqlx::query("update chatchonk.models set name = $1 where id = 'openai/gpt-4o'")
            .bind(name)
            .execute(&pool)
            .await
            .unwrap();
        let (by_first, by_second) = tokio::join!(first.sees(name), second.sees(name));
        assert!(by_first.max(by_second) < Duration::from_secs(1), "{by_first:?}, {by_second:?}");
    }

    for instance in [&mut first, &mut second] {
        for (path, status) in [("/api/providers", 200), ("/v1/models", 200), ("/api/models/openai/none", 404)]
        {
            assert_eq!(instance.ask(path).await.0, status, "{path}");
        }
        let counts = instance.counts().await;
        assert_eq!((&counts["stale"], &counts["error"]), (&0.into(), &0.into()), "{counts}");
        instance.server.signal(Signal::SIGTERM);
    }
    for instance in [first, second] {
        assert_eq!(instance.server.end().0.code(), Some(0));
    }
    kv.assert_conforming();
}
