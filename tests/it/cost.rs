//! Costs of a request: `/api/models/{id}/cost`.

use serde_json::{Value, json};

use crate::support::postgres::database;
use crate::support::server::TestServer;

const ASTRA: &str = "/api/models/openai/gpt-6-astra/cost";

fn line(component: &str, charged_as: &str, quantity: u64, unit_price: &str, amount: &str) -> Value {
    json!({ "component": component, "charged_as": charged_as, "quantity": quantity,
            "unit_price": unit_price, "amount": amount })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_is_exact_and_shows_its_calculation() {
    let server = TestServer::seeded(&database().await).await;
    let cost = server.get(&format!("{ASTRA}?input_tokens=100001&cached_tokens=1&output_tokens=7")).await;
    assert_eq!(
        cost.json(),
        json!({
            "currency": "USD",
            "total": "1.000351",
            "tier_above_prompt_tokens": null,
            "breakdown": [
                line("input", "input", 100_000, "10", "1"),
                line("cache_read", "cache_read", 1, "1", "0.000001"),
                line("output", "output", 7, "50", "0.00035"),
            ],
        })
    );
    let nothing = server.get(ASTRA).await.json();
    assert_eq!((&nothing["total"], &nothing["breakdown"]), (&json!("0"), &json!([])));
    let queries = server.get("/api/models/cohere/rerank-v3.5/cost?queries=3").await.json();
    assert_eq!(queries["total"], "0.006");
    assert_eq!(queries["breakdown"], json!([line("per_query", "per_query", 3, "0.002", "0.006")]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_above_its_threshold_prices_the_whole_request() {
    let server = TestServer::seeded(&database().await).await;
    for (input, total, tier) in [
        (272_000_u64, "2.72", Value::Null),
        (272_001, "5.44002", json!(272_000)),
        (1_000_000_000_000, "20000000", json!(272_000)),
    ] {
        let cost = server.get(&format!("{ASTRA}?input_tokens={input}")).await.json();
        assert_eq!((&cost["total"], &cost["tier_above_prompt_tokens"]), (&json!(total), &tier), "{input}");
    }
    let cost = server.get(&format!("{ASTRA}?input_tokens=300000&cached_tokens=300000&output_tokens=1")).await;
    assert_eq!(
        cost.json()["breakdown"],
        json!([
            line("cache_read", "cache_read", 300_000, "2", "0.6"),
            line("output", "output", 1, "75", "0.000075")
        ])
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_price_is_a_422() {
    let server = TestServer::seeded(&database().await).await;
    for (path, missing) in [
        ("/api/models/meta/llama-3.3-70b-instruct/cost?input_tokens=1", ""),
        ("/api/models/meta/llama-3.3-70b-instruct/cost", ""),
        ("/api/models/cohere/rerank-v3.5/cost?input_tokens=5", "input"),
        ("/api/models/cohere/rerank-v3.5/cost?queries=1&output_tokens=5", "output"),
        ("/api/models/openai/gpt-6-astra/cost?queries=1", "per_query"),
    ] {
        let problem = server.get(path).await.problem(422, "price_unknown");
        assert!(problem["detail"].as_str().unwrap().contains(missing), "{problem}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_usage_is_refused_with_its_parameter() {
    let server = TestServer::seeded(&database().await).await;
    for (query, parameter) in [
        ("input_tokens=-1", "input_tokens"),
        ("input_tokens=1.5", "input_tokens"),
        ("output_tokens=abc", "output_tokens"),
        ("output_tokens=NaN", "output_tokens"),
        ("output_tokens=1000000000001", "output_tokens"),
        ("input_tokens=99999999999999999999999999999999", "input_tokens"),
        ("queries=1000001", "queries"),
        ("cached_tokens=1", "cached_tokens"),
        ("input_tokens=10&cached_tokens=11", "cached_tokens"),
        ("input_tokens=1&input_tokens=1", "input_tokens"),
    ] {
        server.get(&format!("{ASTRA}?{query}")).await.refuses("invalid_parameter", parameter);
    }
    let problem =
        server.get(&format!("{ASTRA}?input_token=1")).await.refuses("unknown_parameter", "input_token");
    assert_eq!(problem["did_you_mean"], "input_tokens");
    assert_eq!(problem["allowed"], json!(["input_tokens", "output_tokens", "cached_tokens", "queries"]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_named_cost_is_found_by_its_id() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    let statement = "insert into chatchonk.models (id, provider, provider_model_id, name, kind, price_input) \
                     values ('openai/what/cost', 'openai', 'cost', 'Cost', 'chat', 2), \
                            ('openai/cost', 'openai', 'cost', 'Cost', 'chat', 3)";
    sqlx::raw_sql(statement).execute(&database.pool().await).await.unwrap();
    server.until("/api/models", |answer| answer.json()["total"] == 120).await;
    assert_eq!(server.get("/api/models/openai/cost").await.json()["id"], "openai/cost");
    assert_eq!(server.get("/api/models/openai/what/cost").await.json()["id"], "openai/what/cost");
    for (id, total) in [("openai/cost", "3"), ("openai/what/cost", "2")] {
        let cost = server.get(&format!("/api/models/{id}/cost?input_tokens=1000000")).await.json();
        assert_eq!(cost["total"], total, "{id}");
    }
    server.stop().await;
}
