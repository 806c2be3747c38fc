//! `/v1/models` in OpenAI's shape.

use chatchonk::domain::seed::Seed;
use serde_json::{Value, json};

use crate::support::postgres::database;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn v1_lists_models_in_the_shape_of_openai() {
    let server = TestServer::seeded(&database().await).await;
    let list = server.get("/v1/models").await;
    let body = list.json();
    assert_eq!(body["object"], "list");
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["data", "object"]);
    assert_eq!(list.ids(), server.get("/api/models").await.ids());
    for item in body["data"].as_array().unwrap() {
        let map = item.as_object().unwrap();
        assert_eq!(map.keys().collect::<Vec<_>>(), ["created", "id", "object", "owned_by"], "{item}");
        assert_eq!(item["object"], "model");
        assert!(item["created"].as_i64().is_some_and(|seconds| seconds > 1_500_000_000), "{item}");
        let id = item["id"].as_str().unwrap();
        assert!(id.starts_with(&format!("{}/", item["owned_by"].as_str().unwrap())), "{item}");
        assert_eq!(server.get(&format!("/v1/models/{id}")).await.json(), *item);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn created_is_the_release_date_or_the_rows_creation() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    let created = sqlx::query_as::<_, (String, i64)>(
        "select id, coalesce(extract(epoch from (release_date || case length(release_date) when 7 then '-01' \
         else '' end)::timestamp at time zone 'utc'), floor(extract(epoch from created_at)))::int8 \
         from chatchonk.models",
    );
    let rows = created.fetch_all(&database.pool().await).await.unwrap();
    assert_eq!(rows.len(), Seed::builtin().unwrap().models.len());
    for (id, seconds) in rows {
        let item = server.get(&format!("/v1/models/{id}")).await.json();
        assert_eq!(item["created"], json!(seconds), "{id}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn v1_ignores_parameters_it_does_not_know() {
    let server = TestServer::seeded(&database().await).await;
    let list = server.get("/v1/models").await.json();
    let item = server.get("/v1/models/openai/gpt-6-astra").await.json();
    for query in ["limit=3&order=asc&after=x", "provider=unknown", "q=%ff", "limit=abc", "a&b=&=c&&"] {
        assert_eq!(server.get(&format!("/v1/models?{query}")).await.json(), list, "{query}");
        let path = format!("/v1/models/openai/gpt-6-astra?{query}");
        assert_eq!(server.get(&path).await.json(), item, "{query}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_v1_errors_carry_openais_error_object() {
    let server = TestServer::seeded(&database().await).await;
    let long = format!("/v1/models?{}", "x".repeat(9_000));
    for (method, path, status, code) in [
        ("GET", "/v1/models/openai/nothing", 404, "model_not_found"),
        ("GET", "/v1/models/openai/gpt-6-astar", 404, "model_not_found"),
        ("GET", "/v1/chat/completions", 404, "route_not_found"),
        ("GET", "/v1", 404, "route_not_found"),
        ("GET", "/v1/", 404, "route_not_found"),
        ("GET", "/v1?x=1", 404, "route_not_found"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", &long, 414, "uri_too_long"),
        ("GET", "/v1/models/%ff", 400, "invalid_path"),
    ] {
        let problem = server.send_raw(method, path, "").await.problem(status, code);
        let error = problem["error"].as_object().unwrap_or_else(|| panic!("{path}: {problem}"));
        assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "message", "param", "type"], "{path}");
        assert_eq!((&error["code"], &error["message"]), (&problem["code"], &problem["detail"]), "{path}");
        assert_eq!(
            (&error["type"], &error["param"]),
            (&json!("invalid_request_error"), &Value::Null),
            "{path}"
        );
    }
    for path in ["/api/models/nothing", "/api/models?limit=0", "/v10/models", "/v2"] {
        assert_eq!(server.get(path).await.json().get("error"), None, "{path}");
    }
    server.stop().await;
}
