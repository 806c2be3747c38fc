//! The sort orders of `/api/models`.

use std::cmp::Ordering;

use serde_json::Value;

use crate::support::postgres::database;
use crate::support::recount::units;
use crate::support::server::TestServer;

/// Returns the sort keys as text that compares like the values; `None` is unknown.
fn keys(model: &Value, sort: &str) -> Vec<Option<String>> {
    let text = |field: &str| model[field].as_str().map(str::to_owned);
    let number = |value: Option<u128>| value.map(|value| format!("{value:040}"));
    match sort {
        "name" => vec![text("name")],
        "provider" => vec![text("provider"), text("name")],
        "release" => vec![text("release_date")],
        "context" => vec![number(model["context_length"].as_u64().map(u128::from))],
        "price" => {
            vec![number(units(&model["pricing"]["input"])), number(units(&model["pricing"]["output"]))]
        }
        _ => panic!("unknown sort {sort}"),
    }
}

fn compare(a: &Value, b: &Value, sort: &str, descending: bool) -> Ordering {
    for (a, b) in keys(a, sort).iter().zip(&keys(b, sort)) {
        let ordering = match (a, b) {
            (Some(a), Some(b)) if descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
            (None, None) => Ordering::Equal,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    a["id"].as_str().cmp(&b["id"].as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sort_puts_unknown_last_and_breaks_ties_by_id() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    // Ties in every key, unknown values in every key that allows them, and a half-known price.
    let statement = "insert into chatchonk.models (id, provider, provider_model_id, name, kind, price_input) \
                     select 'openai/twin-' || n, 'openai', 'twin', 'Twin', 'chat', case when n < 3 then 2 end \
                     from generate_series(1, 4) as n";
    sqlx::raw_sql(statement).execute(&database.pool().await).await.unwrap();
    let unsorted = server.until("/api/models", |answer| answer.json()["total"] == 122).await.json();
    let models = unsorted["data"].as_array().unwrap();
    for sort in ["name", "price", "context", "release", "provider"] {
        for descending in [false, true] {
            let mut wanted = models.clone();
            wanted.sort_by(|a, b| compare(a, b, sort, descending));
            let wanted: Vec<_> = wanted.iter().map(|model| model["id"].as_str().unwrap()).collect();
            let sign = if descending { "-" } else { "" };
            let sorted = server.get(&format!("/api/models?sort={sign}{sort}")).await;
            assert_eq!(sorted.ids(), wanted, "{sign}{sort}");
            let twins: Vec<_> = sorted.ids().into_iter().filter(|id| id.contains("/twin-")).collect();
            assert!(twins.is_sorted(), "{sign}{sort}: {twins:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_sorted_by_provider_and_name_by_default() {
    let server = TestServer::seeded(&database().await).await;
    let unsorted = server.get("/api/models").await.ids();
    assert_eq!(unsorted, server.get("/api/models?sort=provider").await.ids());
    assert_ne!(unsorted, server.get("/api/models?sort=name").await.ids());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_tolerates_typos_and_ranks_the_nearest_first() {
    let server = TestServer::seeded(&database().await).await;
    for (q, first) in [
        ("gpt-6-astra", "openai/gpt-6-astra"),
        ("GPT-6%20Astra", "openai/gpt-6-astra"),
        ("gpt+6+astra", "openai/gpt-6-astra"),
        ("gpt-6-asrta", "openai/gpt-6-astra"),
        ("rernak-v3.5", "cohere/rerank-v3.5"),
        ("openrouter/openai/gpt-oss-120b:free", "openrouter/openai/gpt-oss-120b:free"),
    ] {
        let found = server.get(&format!("/api/models?q={q}")).await.ids();
        assert_eq!(found.first().map(String::as_str), Some(first), "{q}: {found:?}");
        assert!(found.len() < 60, "{q} finds nearly everything");
    }
    let by_price = server.get("/api/models?q=gpt&sort=price").await.ids();
    let mut ranked = server.get("/api/models?q=gpt").await.ids();
    assert_ne!(by_price, ranked);
    ranked.sort();
    let mut same = by_price.clone();
    same.sort();
    assert_eq!(same, ranked);
    assert_eq!(server.get("/api/models?q=%2F%3A%2D").await.json()["total"], 0);
    server.stop().await;
}
