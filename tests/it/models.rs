//! Every model of the seed, field by field, as served from PostgreSQL without edits.

use chatchonk::domain::seed::Seed;
use serde_json::{Value, json};

use crate::support::postgres::database;
use crate::support::server::TestServer;

const EVERY_STATUS: &str = "/api/models?status=active,preview,deprecated,retired";

/// Returns whether a value has the documented type.
type Check = fn(&Value) -> bool;

/// The fields of an item.
const FIELDS: [(&str, Check); 27] = [
    ("id", is_text),
    ("provider", is_text),
    ("provider_model_id", is_text),
    ("name", is_text),
    ("family", |v| v.is_null() || is_text(v)),
    ("kind", |v| among(v, &["chat", "embedding", "rerank", "image", "audio", "moderation", "other"])),
    ("status", |v| among(v, &["active", "preview", "deprecated", "retired"])),
    ("enabled", Value::is_boolean),
    ("release_date", is_date_or_null),
    ("knowledge_cutoff", is_date_or_null),
    ("deprecation_date", is_date_or_null),
    ("successor", |v| v.is_null() || is_text(v)),
    ("context_length", is_count_or_null),
    ("max_input_tokens", is_count_or_null),
    ("max_output_tokens", is_count_or_null),
    ("embedding_dimensions", is_count_or_null),
    ("input_modalities", |v| all_among(v, MODALITIES)),
    ("output_modalities", |v| all_among(v, MODALITIES)),
    ("capabilities", |v| {
        all_among(v, &["tools", "vision", "reasoning", "structured_output", "prompt_caching"])
    }),
    ("tasks", |v| v.as_array().is_some_and(|tasks| tasks.iter().all(is_text))),
    ("open_weights", |v| v.is_null() || v.is_boolean()),
    ("pricing", is_pricing_or_null),
    ("is_free", |v| v.is_null() || v.is_boolean()),
    ("price_source", |v| v.is_null() || is_text(v)),
    ("as_of", is_date_or_null),
    ("provider_status", |v| among(v, &["healthy", "degraded", "down", "unknown"])),
    ("updated_at", is_time),
];
const MODALITIES: &[&str] = &["text", "image", "audio", "video", "pdf", "embedding", "rerank"];

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn among(value: &Value, names: &[&str]) -> bool {
    value.as_str().is_some_and(|name| names.contains(&name))
}

fn all_among(value: &Value, names: &[&str]) -> bool {
    value.as_array().is_some_and(|values| values.iter().all(|value| among(value, names)))
}

fn is_count_or_null(value: &Value) -> bool {
    value.is_null() || value.as_u64().is_some_and(|count| count > 0)
}

fn is_date_or_null(value: &Value) -> bool {
    let shaped = |text: &str| {
        let lengths: Vec<_> = text.split('-').map(str::len).collect();
        (lengths == [4, 2] || lengths == [4, 2, 2]) && text.bytes().all(|b| b == b'-' || b.is_ascii_digit())
    };
    value.is_null() || value.as_str().is_some_and(shaped)
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.ends_with('Z') && text.contains('T') && text.starts_with("20"))
}

/// Returns whether it is a decimal string without sign, exponent or needless zeros, or null.
fn is_price_or_null(value: &Value) -> bool {
    let plain = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "1"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits(whole)
            && digits(fraction)
            && !fraction.ends_with('0')
            && (whole == "0" || !whole.starts_with('0'))
    };
    value.is_null() || value.as_str().is_some_and(plain)
}

fn has_exactly(value: &Value, keys: &[&str]) -> bool {
    value
        .as_object()
        .is_some_and(|map| map.len() == keys.len() && keys.iter().all(|key| map.contains_key(*key)))
}

fn is_pricing_or_null(value: &Value) -> bool {
    const AMOUNTS: [&str; 5] = ["input", "output", "cache_read", "cache_write", "per_query"];
    const TIER: [&str; 4] = ["above_prompt_tokens", "input", "output", "cache_read"];
    if value.is_null() {
        return true;
    }
    let keys = [AMOUNTS.as_slice(), &["currency", "unit", "tiers", "off_peak"]].concat();
    let per_query = !value["per_query"].is_null();
    has_exactly(value, &keys)
        && value["currency"] == "USD"
        && value["unit"] == "per_1m_tokens"
        && AMOUNTS.iter().all(|amount| is_price_or_null(&value[amount]))
        && !(per_query && AMOUNTS[..4].iter().any(|amount| !value[amount].is_null()))
        && value["tiers"].as_array().is_some_and(|tiers| {
            tiers.iter().all(|tier| {
                has_exactly(tier, &TIER)
                    && tier["above_prompt_tokens"].is_u64()
                    && TIER[1..].iter().all(|amount| is_price_or_null(&tier[amount]))
            })
        })
        && (value["off_peak"].is_null() || value["off_peak"].is_object())
}

/// The seed's model as the API shows it: the stored form with the API's own fields and without hidden ones.
fn as_shown(model: &chatchonk::domain::model::Model) -> Value {
    let mut shown = serde_json::to_value(model).unwrap();
    let map = shown.as_object_mut().unwrap();
    map.remove("created_at");
    map.remove("updated_at");
    map.insert("provider_status".to_owned(), json!("unknown"));
    if let Some(pricing) = map["pricing"].as_object_mut() {
        pricing.insert("currency".to_owned(), json!("USD"));
        pricing.insert("unit".to_owned(), json!("per_1m_tokens"));
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn every_seed_model_survives_postgres_unchanged() {
    let server = TestServer::seeded(&database().await).await;
    let seed = Seed::builtin().unwrap();
    let list = server.get(EVERY_STATUS).await.json();
    assert_eq!(list["total"], 120);
    let shown = list["data"].as_array().unwrap();
    assert_eq!(shown.len(), seed.models.len());
    for model in &seed.models {
        let mut item = shown.iter().find(|item| item["id"] == model.id.as_str()).unwrap().clone();
        item.as_object_mut().unwrap().remove("updated_at");
        assert_eq!(item, as_shown(model), "{}", model.id);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_item_has_every_documented_field_and_type() {
    let server = TestServer::seeded(&database().await).await;
    let list = server.get(EVERY_STATUS).await.json();
    for item in list["data"].as_array().unwrap() {
        for (field, is_valid) in FIELDS {
            let value = item.get(field).unwrap_or_else(|| panic!("{} lacks {field}", item["id"]));
            assert!(is_valid(value), "{}: {field} = {value}", item["id"]);
        }
        assert_eq!(item.as_object().unwrap().len(), FIELDS.len(), "{}", item["id"]);
        let id = item["id"].as_str().unwrap();
        assert!(id.starts_with(&format!("{}/", item["provider"].as_str().unwrap())), "{id}");
        assert_eq!(server.get(&format!("/api/models/{id}")).await.json(), *item);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_its_envelope_and_no_retired_models() {
    let server = TestServer::seeded(&database().await).await;
    for (path, total) in
        [("/api/models", 118), (EVERY_STATUS, 120), ("/api/providers", 12), ("/api/tasks", 11)]
    {
        let list = server.get(path).await.json();
        assert!(
            has_exactly(&list, &["object", "data", "total", "revision", "source", "next_cursor"]),
            "{path}: {list}"
        );
        assert_eq!((&list["object"], &list["source"]), (&json!("list"), &json!("postgres")), "{path}");
        assert_eq!(
            (&list["total"], list["data"].as_array().unwrap().len()),
            (&json!(total), total),
            "{path}"
        );
        assert!(list["revision"].as_u64().is_some_and(|revision| revision > 1_700_000_000_000), "{path}");
        assert_eq!(list["next_cursor"], Value::Null, "{path}");
    }
    let listed = server.get("/api/models").await;
    assert!(listed.json()["data"].as_array().unwrap().iter().all(|model| model["status"] != "retired"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_value_is_null_and_never_zero_or_false() {
    let server = TestServer::seeded(&database().await).await;
    let unpriced = server.get("/api/models/meta/llama-3.3-70b-instruct").await.json();
    assert_eq!((&unpriced["pricing"], &unpriced["is_free"]), (&Value::Null, &Value::Null));
    let rerank = server.get("/api/models/cohere/rerank-v3.5").await.json();
    assert_eq!(rerank["pricing"]["per_query"], "0.002");
    for amount in ["input", "output", "cache_read", "cache_write"] {
        assert_eq!(rerank["pricing"][amount], Value::Null, "{amount}");
    }
    let list = server.get("/api/models").await.json();
    for field in ["family", "release_date", "open_weights", "successor", "max_output_tokens"] {
        assert!(list["data"].as_array().unwrap().iter().any(|model| model[field].is_null()), "{field}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_selects_a_subset_and_refuses_unknown_names() {
    let server = TestServer::seeded(&database().await).await;
    for (given, shown) in [
        ("fields=id", vec!["id"]),
        ("fields=id,pricing&fields[]=name", vec!["id", "pricing", "name"]),
        ("fields=updated_at&fields=updated_at", vec!["updated_at"]),
    ] {
        let list = server.get(&format!("/api/models?{given}")).await.json();
        let items = list["data"].as_array().unwrap();
        assert!(items.iter().all(|item| has_exactly(item, &shown)), "{given}: {}", items[0]);
        assert_eq!(list["total"], 118);
    }
    for (field, _) in FIELDS {
        let list = server.get(&format!("/api/models?fields={field}&limit=1")).await.json();
        assert!(has_exactly(&list["data"][0], &[field]), "{field}");
    }
    let problem = server.get("/api/models?fields=id,pricng").await.refuses("invalid_parameter", "fields");
    assert_eq!(problem["did_you_mean"], "pricing");
    let allowed: Vec<_> =
        problem["allowed"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert_eq!(allowed, FIELDS.map(|(field, _)| field));
    server.stop().await;
}
