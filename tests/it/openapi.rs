//! The document of the API and the server agree.

mod pages;
mod recorded;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::postgres::database;
use crate::support::process::{run_elsewhere, text};
use crate::support::server::{Answer, TestServer};

const COMMITTED: &str = include_str!("../../docs/openapi.json");

fn document() -> Value {
    serde_json::from_str(&chatchonk::http::document_text().unwrap()).unwrap()
}

/// Returns every operation: its path and its description in the document.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &Value)> {
    document["paths"].as_object().unwrap().iter().map(|(path, item)| {
        assert_eq!(item.as_object().unwrap().len(), 1, "{path}: only GET is documented");
        (path.as_str(), &item["get"])
    })
}

/// Resolves a reference; other values are returned as they are.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => value,
    }
}

fn query_parameters(operation: &Value) -> impl Iterator<Item = &Value> {
    operation["parameters"].as_array().into_iter().flatten().filter(|parameter| parameter["in"] == "query")
}

/// Returns an address of the path on a server with the seed.
fn address(path: &str) -> String {
    let id = if path.contains("providers") { "openai" } else { "openai%2Fgpt-5.5" };
    path.replace("{id}", id).replace("{file}", "style.css")
}

/// The token for `/metrics`.
const TOKEN: &str = "correct-horse-battery";

/// A server with the seed and every documented route.
async fn with_all_routes() -> TestServer {
    let url = database().await.url();
    let server = TestServer::with(&[("DATABASE_URL", &url), ("METRICS_TOKEN", TOKEN)]).await;
    server.until("/api/models?limit=1", |answer| answer.json()["source"] == "postgres").await;
    server
}

async fn ask(server: &TestServer, path: &str) -> Answer {
    let authorization = format!("Bearer {TOKEN}");
    server.send(reqwest::Method::GET, path, &[("authorization", &authorization)]).await
}

#[test]
fn the_committed_document_matches_the_code() {
    let current = chatchonk::http::document_text().unwrap();
    assert!(COMMITTED == current, "docs/openapi.json is out of date: run `./dev spec`");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_and_the_server_output_it() {
    let output = run_elsewhere(&["openapi"]).await;
    assert_eq!(text(&output), (COMMITTED.to_owned(), String::new()));
    let server = TestServer::seeded(&database().await).await;
    let answer = server.get("/api/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(String::from_utf8(answer.body.clone()).unwrap(), COMMITTED);
    let tag = answer.header("etag");
    let again = server.send(reqwest::Method::GET, "/api/openapi.json", &[("if-none-match", tag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let coded = server.send(reqwest::Method::GET, "/api/openapi.json", &[("accept-encoding", "br")]).await;
    assert_eq!(coded.header("content-encoding"), "br");
    assert!(coded.body.len() < answer.body.len() / 5 && coded.header("etag") != tag);
    server.stop().await;
}

#[test]
fn references_resolve_and_every_component_is_used() {
    let (document, text) = (document(), COMMITTED);
    assert_eq!(document["openapi"], "3.1.0");
    let mut used = BTreeSet::new();
    for (at, start) in text.match_indices("\"#/components/") {
        let reference = text[at + 1..].split('"').next().unwrap();
        assert!(document.pointer(&reference[1..]).is_some(), "{start}: {reference} leads nowhere");
        used.insert(reference);
    }
    // Components are referenced by name.
    let needed = operations(&document)
        .flat_map(|(_, operation)| operation["security"].as_array().into_iter().flatten());
    let schemes: Vec<_> = needed.flat_map(|needed| needed.as_object().unwrap().keys()).collect();
    let schemes: Vec<_> =
        schemes.into_iter().map(|name| format!("#/components/securitySchemes/{name}")).collect();
    used.extend(schemes.iter().map(String::as_str));
    for (kind, parts) in document["components"].as_object().unwrap() {
        for name in parts.as_object().unwrap().keys() {
            assert!(
                used.contains(format!("#/components/{kind}/{name}").as_str()),
                "{kind}/{name} is of no use"
            );
        }
    }
}

#[test]
fn every_field_parameter_and_answer_is_described() {
    let document = document();
    let described = |value: &Value| {
        resolved(&document, value)["description"]
            .as_str()
            .or(value["description"].as_str())
            .is_some_and(|d| !d.is_empty())
    };
    for (path, operation) in operations(&document) {
        assert!(operation["summary"].is_string() && operation["operationId"].is_string(), "{path}");
        for part in operation["parameters"].as_array().into_iter().flatten() {
            assert!(described(part), "{path}: {part}");
        }
        for response in operation["responses"].as_object().unwrap().values() {
            assert!(described(response), "{path}: {response}");
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            let parts = schema["oneOf"].as_array().into_iter().flatten();
            let plain = ["id", "object", "data"].contains(&field.as_str());
            assert!(plain || described(schema) || parts.into_iter().any(described), "{name}.{field}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_answer_with_their_documented_type_and_headers() {
    let server = with_all_routes().await;
    let document = document();
    for (path, operation) in operations(&document) {
        let answer = ask(&server, &address(path)).await;
        assert_eq!(answer.status, 200, "{path}");
        let response = &operation["responses"]["200"];
        let kind = answer.header("content-type").split(';').next().unwrap();
        assert!(response["content"].get(kind).is_some(), "{path}: {kind}");
        for header in response["headers"].as_object().unwrap().keys() {
            assert!(!answer.header(header).is_empty(), "{path}: {header}");
        }
        for header in ["etag", "cache-status"] {
            let documented = response["headers"].get(header).is_some();
            assert_eq!(documented, !answer.header(header).is_empty(), "{path}: {header}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_parameters_are_those_the_server_knows() {
    let server = with_all_routes().await;
    let document = document();
    for (path, operation) in operations(&document) {
        let answer = ask(&server, &format!("{}?no_such_parameter=1", address(path))).await;
        let names = query_parameters(operation).map(|parameter| &parameter["name"]).collect_json();
        if ["Models", "Providers"].map(Value::from).contains(&operation["tags"][0]) {
            let problem = answer.refuses("unknown_parameter", "no_such_parameter");
            let allowed = problem.get("allowed").cloned().unwrap_or(json!([]));
            assert_eq!(names, allowed.as_array().unwrap().iter().collect_json(), "{path}");
        } else {
            assert_eq!((answer.status, names.len()), (200, 0), "{path}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_values_are_those_the_server_accepts() {
    let server = TestServer::seeded(&database().await).await;
    let document = document();
    let mut enumerations = 0;
    for parameter in query_parameters(&document["paths"]["/api/models"]["get"]) {
        let name = parameter["name"].as_str().unwrap();
        let schema = &parameter["schema"];
        let schema = resolved(&document, schema.get("items").unwrap_or(schema));
        let values: BTreeSet<String> = match (schema["enum"].as_array(), &schema["type"]) {
            (Some(names), _) => names.iter().collect_json(),
            (None, kind) if kind == "boolean" || kind[0] == "boolean" => {
                ["true", "false"].map(|value| json!(value)).iter().collect_json()
            }
            _ => continue,
        };
        let answer = server.get(&format!("/api/models?{name}=no%20such%20value")).await;
        let problem = answer.refuses("invalid_parameter", name);
        assert_eq!(problem["allowed"].as_array().unwrap().iter().collect_json(), values, "{name}");
        for value in &values {
            assert_eq!(
                server.get(&format!("/api/models?{name}={value}")).await.status,
                200,
                "{name}={value}"
            );
        }
        enumerations += 1;
    }
    assert_eq!(enumerations, 12);
    server.stop().await;
}

/// Collects JSON strings into a set.
trait CollectJson {
    fn collect_json(self) -> BTreeSet<String>;
}

impl<'a, T: Iterator<Item = &'a Value>> CollectJson for T {
    fn collect_json(self) -> BTreeSet<String> {
        self.map(|value| value.as_str().unwrap().to_owned()).collect()
    }
}
