//! The health routes: their fields and types, and the inputs that they ignore.

use serde_json::{Value, json};

use crate::support::postgres::database;
use crate::support::server::TestServer;

const ROUTES: [&str; 5] = [
    "/api/health",
    "/api/health/live",
    "/api/health/ready",
    "/api/automodel/health",
    "/api/modelswapper/health",
];

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.ends_with('Z') && text.contains('T'))
}

#[tokio::test(flavor = "multi_thread")]
async fn health_has_the_documented_fields_and_types() {
    let server = TestServer::seeded(&database().await).await;
    let answer = server.until("/api/health", |answer| answer.json()["status"] == "healthy").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.header("cache-control"), "no-store");
    let health = answer.json();
    assert_eq!(
        keys(&health),
        [
            "cache",
            "catalogue",
            "commit",
            "database",
            "environment",
            "service",
            "status",
            "timestamp",
            "uptime_seconds",
            "version"
        ]
    );
    assert_eq!(health["service"], "chatchonk-api");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(health["environment"], "development");
    assert!(
        health["commit"].is_string() && health["uptime_seconds"].is_u64() && is_time(&health["timestamp"])
    );
    let database = &health["database"];
    assert_eq!((&database["status"], &database["kind"]), (&json!("up"), &json!("postgres")));
    assert!(database["latency_ms"].is_number() && is_time(&database["checked_at"]));
    let catalogue = &health["catalogue"];
    assert_eq!((&catalogue["source"], &catalogue["stale"]), (&json!("postgres"), &json!(false)));
    let counts = ["models", "providers", "skipped"].map(|key| catalogue[key].as_u64().unwrap());
    assert_eq!(counts, [118, 12, 0]);
    assert_eq!(catalogue["revision"], server.get("/api/models").await.json()["revision"]);
    assert!(is_time(&catalogue["loaded_at"]) && is_time(&catalogue["validated_at"]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_five_cache_keys_keep_order_and_types() {
    let server = TestServer::seeded(&database().await).await;
    let text = String::from_utf8(server.get("/api/health").await.body).unwrap();
    let at =
        |key: &str| text.find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key} is not in {text}"));
    let order =
        ["cache", "cloudflare_kv", "fallback_cache", "cache_hits", "cache_misses", "hit_ratio", "detail"];
    assert!(order.map(at).is_sorted(), "{text}");
    let before = server.get("/api/health").await.json()["cache"].clone();
    assert!(
        ["enabled", "not_configured", "unavailable"].contains(&before["cloudflare_kv"].as_str().unwrap())
    );
    assert_eq!(
        (&before["cloudflare_kv"], &before["fallback_cache"]),
        (&json!("not_configured"), &json!("available"))
    );
    let (hits, misses) = (before["cache_hits"].as_u64().unwrap(), before["cache_misses"].as_u64().unwrap());
    for _ in 0..20 {
        assert_eq!(server.get("/api/models?limit=1").await.status, 200);
    }
    let after = server.current_health().await["cache"].clone();
    let (new_hits, new_misses) =
        (after["cache_hits"].as_u64().unwrap(), after["cache_misses"].as_u64().unwrap());
    assert_eq!(new_hits + new_misses, hits + misses + 20);
    assert!(new_hits > hits);
    let ratio = after["hit_ratio"].as_str().unwrap();
    let percent: f64 = ratio.strip_suffix('%').unwrap().parse().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let exact = 100.0 * new_hits as f64 / (new_hits + new_misses) as f64;
    assert!(
        (percent - exact).abs() <= 0.1 && ratio.split_once('.').unwrap().1.len() == 2,
        "{ratio} for {exact}"
    );
    assert!(keys(&after["detail"]["kv"]).starts_with(&["reason", "remedy", "state"]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_and_ready_answer_in_one_word() {
    let server = TestServer::seeded(&database().await).await;
    for (path, word) in [("/api/health/live", "live"), ("/api/health/ready", "ready")] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!(word)));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_routes_ignore_query_strings() {
    let server = TestServer::seeded(&database().await).await;
    for route in ROUTES {
        for query in ["?x=1", "?limit=0&cursor=%ff", "?", "?%00", &format!("?{}", "a=1&".repeat(600))] {
            let answer = server.send_raw("GET", format!("{route}{query}"), "").await;
            assert_eq!(answer.status, 200, "{route}{query}");
            assert_eq!(keys(&answer.json()), keys(&server.get(route).await.json()), "{route}{query}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn automodel_health_reports_every_provider() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    let pool = database.pool().await;
    sqlx::raw_sql("update chatchonk.providers set enabled = false where id = 'meta'")
        .execute(&pool)
        .await
        .unwrap();
    server.until("/api/models", |answer| answer.json()["total"] == 116).await;
    let health = server.get("/api/automodel/health").await.json();
    assert_eq!(
        keys(&health),
        [
            "active_providers",
            "available_models",
            "hint",
            "providers",
            "status",
            "tasks",
            "timestamp",
            "total_models",
            "total_providers"
        ]
    );
    assert_eq!((&health["status"], is_time(&health["timestamp"])), (&json!("healthy"), true));
    let counts = ["active_providers", "total_providers", "available_models", "total_models"]
        .map(|key| health[key].as_u64().unwrap());
    assert_eq!(counts, [11, 12, 116, 116]);
    for provider in health["providers"].as_array().unwrap() {
        assert_eq!(
            keys(provider),
            [
                "configured",
                "enabled",
                "id",
                "last_checked",
                "latency_ms",
                "models",
                "name",
                "reason",
                "since",
                "status"
            ]
        );
        assert_eq!(keys(&provider["latency_ms"]), ["p50", "p95"]);
        assert_eq!((&provider["status"], &provider["configured"]), (&json!("unknown"), &json!(false)));
        assert_eq!(provider["enabled"], provider["id"] != "meta");
        let path = format!("/api/models?limit=1&provider={}", provider["id"].as_str().unwrap());
        assert_eq!(provider["models"], server.get(&path).await.json()["total"], "{path}");
    }
    for task in server.get("/api/tasks").await.json()["data"].as_array().unwrap() {
        let tasks = health["tasks"].as_array().unwrap();
        let reported = tasks.iter().find(|reported| reported["id"] == task["id"]).unwrap();
        assert_eq!(reported["models"], task["models"], "{task}");
    }
    let mut alias = server.get("/api/modelswapper/health").await.json();
    alias["timestamp"] = health["timestamp"].clone();
    assert_eq!(alias, health);
    server.stop().await;
}
