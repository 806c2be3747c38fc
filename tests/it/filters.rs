//! Every filter of `/api/models`, compared with a recount of the whole list.

use serde_json::Value;

use crate::support::postgres::{TestDatabase, database};
use crate::support::recount::{Constraint, query_string, recount, sorted};
use crate::support::server::TestServer;

const EVERY_STATUS: &str = "status=active,preview,deprecated,retired";

/// Each parameter with values that match none, some and all of the models.
const SINGLE: &[Constraint<'static>] = &[
    ("provider", &["openai"]),
    ("provider", &["meta", "xai", "huggingface"]),
    ("capability", &["tools"]),
    ("capability", &["vision"]),
    ("capability", &["reasoning", "structured_output"]),
    ("capability", &["tools", "vision", "reasoning", "structured_output", "prompt_caching"]),
    ("input_modality", &["text"]),
    ("input_modality", &["image", "pdf"]),
    ("input_modality", &["video", "audio"]),
    ("output_modality", &["text"]),
    ("output_modality", &["embedding"]),
    ("output_modality", &["text", "embedding"]),
    ("task", &["chat"]),
    ("task", &["embedding"]),
    ("task", &["planning", "media_analysis"]),
    ("task", &["rerank", "chat"]),
    ("kind", &["chat"]),
    ("kind", &["rerank", "embedding"]),
    ("kind", &["image"]),
    ("status", &["retired"]),
    ("status", &["deprecated", "preview"]),
    ("status", &["active", "preview", "deprecated", "retired"]),
    ("ids", &["openai/gpt-6-astra"]),
    ("ids", &["cohere/rerank-v3.5", "openrouter/openai/gpt-oss-120b:free", "openai/nothing-of-that-name"]),
    ("ids", &["deepseek/deepseek-chat"]),
    ("min_context", &["0"]),
    ("min_context", &["131072"]),
    ("min_context", &["1000000"]),
    ("min_context", &["4294967295"]),
    ("max_input_price", &["0"]),
    ("max_input_price", &["0.1"]),
    ("max_input_price", &["1.250"]),
    ("max_input_price", &["10000000"]),
    ("max_output_price", &["0.00"]),
    ("max_output_price", &["0.5"]),
    ("max_output_price", &["15"]),
    ("free", &["true"]),
    ("free", &["false"]),
    ("open_weights", &["true"]),
    ("open_weights", &["false"]),
    ("enabled", &["true"]),
    ("enabled", &["false"]),
    ("healthy_only", &["true"]),
    ("healthy_only", &["false"]),
];

/// Returns every model, including hidden and retired ones.
async fn everything(server: &TestServer) -> Vec<Value> {
    let mut models = Vec::new();
    for enabled in ["true", "false"] {
        let list = server.get(&format!("/api/models?{EVERY_STATUS}&enabled={enabled}")).await.json();
        models.extend_from_slice(list["data"].as_array().unwrap());
    }
    models
}

async fn compare(server: &TestServer, models: &[Value], constraints: &[Constraint<'_>]) -> usize {
    let query = query_string(constraints);
    let answer = server.get(&format!("/api/models?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", String::from_utf8_lossy(&answer.body));
    let found = sorted(answer.ids());
    assert_eq!(found, recount(models, constraints), "{query}");
    assert_eq!(answer.json()["total"], found.len(), "{query}");
    found.len()
}

/// Hides a model and a whole provider, and waits until the server shows it.
async fn hide(server: &TestServer, database: &TestDatabase) {
    let statement = "update chatchonk.models set enabled = false where id = 'openai/gpt-6-astra'; \
                     update chatchonk.providers set enabled = false where id = 'meta'";
    sqlx::raw_sql(statement).execute(&database.pool().await).await.unwrap();
    server.until("/api/models?enabled=false", |answer| answer.json()["total"] == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_finds_what_a_recount_finds() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    hide(&server, &database).await;
    let models = everything(&server).await;
    assert_eq!(models.len(), 120);
    for constraint in SINGLE {
        compare(&server, &models, &[*constraint]).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_together_find_what_a_recount_finds() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    hide(&server, &database).await;
    let models = everything(&server).await;
    let (mut some, mut none) = (0, 0);
    // The first constraint of each parameter with that of each other one, and a third that varies.
    for (at, first) in SINGLE.iter().enumerate().step_by(2) {
        for (step, second) in SINGLE.iter().enumerate().skip(at % 3).step_by(3) {
            let third = &SINGLE[(at * 7 + step * 11) % SINGLE.len()];
            if first.0 == second.0 || third.0 == first.0 || third.0 == second.0 {
                continue;
            }
            for constraints in [&[*first, *second][..], &[*first, *second, *third]] {
                let found = compare(&server, &models, constraints).await;
                *(if found == 0 { &mut none } else { &mut some }) += 1;
            }
        }
    }
    assert!(some > 100 && none > 20, "weak combinations: {some} with matches, {none} without");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_may_be_repeated_comma_separated_or_bracketed() {
    let server = TestServer::seeded(&database().await).await;
    for (name, one, other) in [
        ("provider", "openai", "meta"),
        ("capability", "tools", "vision"),
        ("input_modality", "text", "image"),
        ("output_modality", "text", "image"),
        ("task", "chat", "planning"),
        ("kind", "chat", "rerank"),
        ("status", "retired", "preview"),
        ("ids", "openai/gpt-6-astra", "cohere/rerank-v3.5"),
    ] {
        let repeated = server.get(&format!("/api/models?{name}={one}&{name}={other}")).await;
        assert_ne!(repeated.ids(), server.get(&format!("/api/models?{name}={one}")).await.ids(), "{name}");
        for query in [
            format!("{name}={one},{other}"),
            format!("{name}={one}%2C{other}"),
            format!("{name}[]={one}&{name}[]={other}"),
            format!("{name}%5B%5D={one}&{name}={other}"),
            format!("{name}=,{one},,%20{other}%20,&{name}=&{name}[]"),
            format!("{name}={other}&{name}={one},{other}"),
        ] {
            assert_eq!(server.get(&format!("/api/models?{query}")).await.ids(), repeated.ids(), "{query}");
        }
    }
    let empty = "provider=&q=&limit=&cursor=&sort=&free=&min_context=&max_input_price=&fields=&facets=&ids=,";
    assert_eq!(server.get(&format!("/api/models?{empty}")).await.json()["total"], 118);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_details_is_listed_and_fails_all_filters() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    let statement = "insert into chatchonk.models (id, provider, provider_model_id, name, kind) \
                     values ('openai/blank', 'openai', 'blank', 'Blank', 'other')";
    sqlx::raw_sql(statement).execute(&database.pool().await).await.unwrap();
    server.until("/api/models", |answer| answer.json()["total"] == 119).await;
    let blank = server.get("/api/models?ids=openai/blank").await.json();
    for field in ["context_length", "pricing", "is_free", "open_weights", "release_date"] {
        assert_eq!(blank["data"][0][field], Value::Null, "{field}");
    }
    for filter in [
        "min_context=0",
        "max_input_price=10000000",
        "max_output_price=10000000",
        "free=true",
        "free=false",
        "open_weights=true",
        "open_weights=false",
        "capability=tools",
        "input_modality=text",
        "output_modality=text",
        "task=chat",
    ] {
        let answer = server.get(&format!("/api/models?ids=openai/blank&{filter}")).await;
        assert_eq!(answer.json()["total"], 0, "{filter}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_total_is_the_same_on_every_page() {
    let server = TestServer::seeded(&database().await).await;
    for query in ["", "capability=tools&kind=chat", "q=gpt", "provider=openai&sort=-price"] {
        let whole = server.get(&format!("/api/models?{query}")).await.json();
        let page = server.get(&format!("/api/models?{query}&limit=3&fields=id")).await.json();
        assert_eq!((&page["total"], page["data"].as_array().unwrap().len()), (&whole["total"], 3), "{query}");
        let cursor = page["next_cursor"].as_str().unwrap();
        let next = server.get(&format!("/api/models?{query}&limit=1000&cursor={cursor}")).await.json();
        assert_eq!(next["total"], whole["total"], "{query}");
        assert_eq!(next["data"].as_array().unwrap(), &whole["data"].as_array().unwrap()[3..], "{query}");
    }
    server.stop().await;
}
