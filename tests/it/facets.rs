//! Facets and hints, compared with a recount.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::postgres::database;
use crate::support::recount::{Constraint, query_string, units};
use crate::support::server::TestServer;

/// Closed enumerations list every value, with 0 where no model has it.
const CLOSED: [(&str, &[&str]); 7] = [
    ("capability", &["tools", "vision", "reasoning", "structured_output", "prompt_caching"]),
    ("input_modality", MODALITIES),
    ("output_modality", MODALITIES),
    ("kind", &["chat", "embedding", "rerank", "image", "audio", "moderation", "other"]),
    ("status", &["active", "preview", "deprecated", "retired"]),
    ("open_weights", &["true", "false", "unknown"]),
    ("price_band", &["free", "under_1", "1_to_5", "5_to_20", "over_20", "unknown"]),
];
const MODALITIES: &[&str] = &["text", "image", "audio", "video", "pdf", "embedding", "rerank"];

fn band(model: &Value) -> &'static str {
    const USD: u128 = 100_000_000;
    match units(&model["pricing"]["input"]) {
        _ if model["is_free"] == true => "free",
        None => "unknown",
        Some(0) => "free",
        Some(price) if price < USD => "under_1",
        Some(price) if price < 5 * USD => "1_to_5",
        Some(price) if price < 20 * USD => "5_to_20",
        Some(_) => "over_20",
    }
}

fn values(model: &Value, facet: &str) -> Vec<String> {
    let many = |field: &str| {
        model[field].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    match facet {
        "capability" => many("capabilities"),
        "input_modality" => many("input_modalities"),
        "output_modality" => many("output_modalities"),
        "task" => many("tasks"),
        "open_weights" => {
            vec![model["open_weights"].as_bool().map_or("unknown".to_owned(), |open| open.to_string())]
        }
        "price_band" => vec![band(model).to_owned()],
        field => vec![model[field].as_str().unwrap().to_owned()],
    }
}

fn counted(models: &[Value]) -> Value {
    let mut facets: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
    for (facet, names) in CLOSED {
        facets.insert(facet, names.iter().map(|name| ((*name).to_owned(), 0)).collect());
    }
    for facet in ["provider", "task"].into_iter().chain(CLOSED.map(|(facet, _)| facet)) {
        let counts = facets.entry(facet).or_default();
        for value in models.iter().flat_map(|model| values(model, facet)) {
            *counts.entry(value).or_default() += 1;
        }
    }
    json!(facets)
}

#[tokio::test(flavor = "multi_thread")]
async fn facets_count_all_matches_on_every_page() {
    let server = TestServer::seeded(&database().await).await;
    for query in [
        "",
        "status=active,preview,deprecated,retired",
        "provider=openai,cohere",
        "capability=tools&kind=chat&open_weights=true",
        "q=gpt",
        "free=true",
        "kind=image",
        "max_input_price=1&task=planning",
    ] {
        let whole = server.get(&format!("/api/models?{query}")).await.json();
        assert_eq!(whole.get("facets"), None, "{query}");
        let wanted = counted(whole["data"].as_array().unwrap());
        for part in ["", "&limit=2", "&fields=id&sort=-price"] {
            let list = server.get(&format!("/api/models?{query}&facets=true{part}")).await.json();
            assert_eq!(list["facets"], wanted, "{query}{part}");
        }
    }
    assert_eq!(server.get("/api/models?facets=false").await.json().get("facets"), None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_count_what_each_constraint_excludes() {
    let server = TestServer::seeded(&database().await).await;
    let empty: [&[Constraint<'_>]; 10] = [
        // Without the status filter, its retired model is left out again.
        &[("status", &["preview"]), ("ids", &["deepseek/deepseek-chat"])],
        &[("provider", &["cohere"]), ("free", &["true"])],
        &[("kind", &["image"])],
        &[("kind", &["rerank"]), ("max_input_price", &["1"]), ("capability", &["tools"])],
        &[("kind", &["rerank"]), ("capability", &["tools"])],
        &[("capability", &["tools"]), ("task", &["embedding"]), ("sort", &["-price"]), ("limit", &["5"])],
        &[("q", &["zzzzzzzzzz"]), ("provider", &["openai"])],
        &[("q", &["gpt"]), ("provider", &["anthropic"]), ("healthy_only", &["true"])],
        &[("status", &["retired"]), ("provider", &["openai"]), ("min_context", &["1"])],
        &[("enabled", &["false"]), ("open_weights", &["true"]), ("ids", &["openai/gpt-6-astra"])],
    ];
    for constraints in empty {
        let query = query_string(constraints);
        let list = server.get(&format!("/api/models?{query}")).await.json();
        assert_eq!((&list["total"], &list["data"]), (&json!(0), &json!([])), "{query}");
        let mut wanted = BTreeMap::new();
        for (dropped, _) in constraints {
            let rest: Vec<_> = constraints.iter().filter(|(name, _)| name != dropped).copied().collect();
            let total = &server.get(&format!("/api/models?{}", query_string(&rest))).await.json()["total"];
            if *total != 0 {
                wanted.insert(*dropped, total.as_u64().unwrap());
            }
        }
        let hints = list["hints"].as_array().unwrap();
        let given: BTreeMap<_, _> =
            hints.iter().map(|h| (h["drop"].as_str().unwrap(), h["matches"].as_u64().unwrap())).collect();
        assert_eq!((given, hints.len()), (wanted.clone(), wanted.len()), "{query}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_hints_only_where_nothing_matches() {
    let server = TestServer::seeded(&database().await).await;
    assert_eq!(server.get("/api/models?kind=rerank").await.json().get("hints"), None);
    let hopeless = server.get("/api/models?q=zzzzzzzz&kind=image").await;
    assert_eq!((hopeless.status, &hopeless.json()["hints"]), (200, &json!([])));
    // The path gives the provider, so removing it is not a useful hint.
    let of_cohere = server.get("/api/providers/cohere/models?free=true").await.json();
    assert_eq!(of_cohere["hints"], json!([{ "drop": "free", "matches": 7 }]));
    server.stop().await;
}
