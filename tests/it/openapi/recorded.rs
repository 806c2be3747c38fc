//! The examples in the document are answers of the server and match their own schemas.

use std::path::Path;

use chatchonk::http::Code;
use serde_json::{Value, json};

use super::{document, resolved};
use crate::support::postgres::database;
use crate::support::server::TestServer;

/// The file of recorded examples.
const FILE: &str = "src/http/docs/openapi/examples.json";
/// If set to any value, the test records the file again.
const RECORD: &str = "RECORD_EXAMPLES";
/// Examples: a name, the operation and the request. The name of an error is its code.
const SHOWN: &[(&str, &str, &str)] = &[
    ("a page", "list_models", "/api/models?provider=anthropic&max_input_price=3&sort=price&limit=1"),
    ("a search", "list_models", "/api/models?q=claud+sonet&fields=id,name&limit=2"),
    ("facets", "list_models", "/api/models?kind=embedding&facets=true&fields=id&limit=1"),
    ("no match", "list_models", "/api/models?provider=openai&max_input_price=0.01"),
    ("a model", "get_model", "/api/models/anthropic/claude-haiku-4-5"),
    ("a free model", "get_model", "/api/models/openrouter%2Fopenai%2Fgpt-oss-120b:free"),
    (
        "a long prompt",
        "get_model_cost",
        "/api/models/anthropic/claude-haiku-5-5/cost?input_tokens=120000&output_tokens=1000",
    ),
    ("providers", "list_providers", "/api/providers"),
    ("a provider", "get_provider", "/api/providers/mistral"),
    ("its models", "list_provider_models", "/api/providers/mistral/models?kind=embedding&fields=id,pricing"),
    ("tasks", "list_tasks", "/api/tasks"),
    ("a model", "get_openai_model", "/v1/models/anthropic/claude-haiku-4-5"),
    ("the last hour", "get_status", "/api/status"),
    ("healthy", "get_health", "/api/health"),
    ("live", "get_health_live", "/api/health/live"),
    ("ready", "get_health_ready", "/api/health/ready"),
    ("not probed", "get_automodel_health", "/api/automodel/health"),
    ("invalid_parameter", "list_models", "/api/models?capability=tols"),
    ("unknown_parameter", "get_model_cost", "/api/models/openai/gpt-5.5/cost?input_token=1"),
    ("invalid_cursor", "list_models", "/api/models?cursor=abc"),
    ("invalid_path", "get_openai_model", "/v1/models/%ff"),
    ("bad_request", "list_models", "/api/models?q=%ff"),
    ("route_not_found", "list_models", "/api/model"),
    ("model_not_found", "get_model", "/api/models/openai/gpt-5.55"),
    ("provider_not_found", "get_provider", "/api/providers/opnai"),
    ("price_unknown", "get_model_cost", "/api/models/meta/llama-3.3-70b-instruct/cost?input_tokens=1000"),
];
/// Examples that need more than a request to an address.
const PROVOKED: [Provoked; 5] = [
    Provoked { method: "POST", ..Provoked::of("method_not_allowed") },
    Provoked { request: too_long, is_printed: false, ..Provoked::of("uri_too_long") },
    Provoked {
        headers: "Content-Length: 10000000\r\n",
        when: Some("with the header `content-length: 10000000`"),
        ..Provoked::of("payload_too_large")
    },
    Provoked {
        operation: "get_metrics",
        request: || "/metrics".to_owned(),
        settings: &[("METRICS_TOKEN", "correct-horse-battery")],
        when: Some("without the token, where `METRICS_TOKEN` is set"),
        ..Provoked::of("unauthorized")
    },
    Provoked {
        settings: &[("RATE_LIMIT", "1")],
        times: 2,
        when: Some("for the second time within a minute, where `RATE_LIMIT` is 1"),
        ..Provoked::of("rate_limited")
    },
];

struct Provoked {
    name: &'static str,
    operation: &'static str,
    method: &'static str,
    request: fn() -> String,
    is_printed: bool,
    headers: &'static str,
    settings: &'static [(&'static str, &'static str)],
    /// The number of requests; the last answer is the example.
    times: usize,
    /// A condition that readers must know.
    when: Option<&'static str>,
}

impl Provoked {
    const fn of(name: &'static str) -> Self {
        Self {
            name,
            operation: "list_models",
            method: "GET",
            request: || "/api/models".to_owned(),
            is_printed: true,
            headers: "",
            settings: &[],
            times: 1,
            when: None,
        }
    }

    async fn record(&self) -> Value {
        let builtin = [("DATABASE_URL", "postgres://absent@127.0.0.1:1/none")];
        let settings: Vec<_> = builtin.iter().chain(self.settings).copied().collect();
        let server = TestServer::with(&settings).await;
        let request = (self.request)();
        let mut answer = server.send_raw(self.method, &request, self.headers).await;
        for _ in 1..self.times {
            answer = server.send_raw(self.method, &request, self.headers).await;
        }
        server.stop().await;
        let mut recorded = json!({
            "name": self.name, "operation": self.operation, "status": answer.status, "body": answer.json(),
        });
        let printed = [
            ("method", Some(self.method.to_owned()).filter(|method| method != "GET")),
            ("request", Some(request).filter(|_| self.is_printed)),
            ("when", self.when.map(str::to_owned)),
        ];
        for (member, value) in printed {
            if let Some(value) = value {
                recorded[member] = value.into();
            }
        }
        recorded
    }
}

fn too_long() -> String {
    format!("/api/models?ids={}", "a".repeat(10_000))
}

/// Members that differ between answers, with the value that replaces them in a comparison.
const VOLATILE: [&str; 18] = [
    "request_id",
    "revision",
    "next_cursor",
    "updated_at",
    "timestamp",
    "commit",
    "version",
    "uptime_seconds",
    "latency_ms",
    "checked_at",
    "loaded_at",
    "validated_at",
    "since",
    "samples",
    "changes",
    "cache_hits",
    "hit_ratio",
    "detail",
];

async fn record() -> Value {
    let server = TestServer::seeded(&database().await).await;
    server.until("/api/health", |answer| answer.json()["status"] == "healthy").await;
    let mut recorded = Vec::new();
    for (name, operation, request) in SHOWN {
        // Sent unchanged; a client would normalise it.
        let answer = server.send_raw("GET", request, "").await;
        recorded.push(json!({
            "name": name, "operation": operation, "request": request, "status": answer.status, "body": answer.json(),
        }));
    }
    server.stop().await;
    for provoked in &PROVOKED {
        recorded.push(provoked.record().await);
    }
    recorded.into()
}

/// Replaces members that differ between answers.
fn settle(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if VOLATILE.contains(&name.as_str()) && !member.is_null() {
                    *member = "…".into();
                } else {
                    settle(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_are_what_the_server_answers() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let mut recorded = record().await;
    #[expect(clippy::disallowed_methods, reason = "the tests have no config.rs to ask")]
    if std::env::var_os(RECORD).is_some() {
        std::fs::write(&file, serde_json::to_string_pretty(&recorded).unwrap() + "\n").unwrap();
    }
    let mut kept: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    settle(&mut recorded);
    settle(&mut kept);
    let (recorded, kept) = (recorded.as_array().unwrap(), kept.as_array().unwrap());
    let remedy =
        format!("run `{RECORD}=1 cargo test --test it examples_are`, then refresh docs/openapi.json");
    assert_eq!(recorded.len(), kept.len(), "{remedy}");
    for (now, then) in recorded.iter().zip(kept) {
        assert_eq!(now, then, "{remedy}");
    }
}

#[test]
fn every_provoked_error_has_an_example_of_its_code() {
    let shown = SHOWN.iter().map(|(name, ..)| *name).filter(|name| Code::NAMES.contains(name));
    let provoked = shown.chain(PROVOKED.iter().map(|provoked| provoked.name));
    // These need an unfinished start, a wait of 20 s, and an internal error.
    let others = ["catalogue_unavailable", "timed_out", "internal_error"];
    let mut codes: Vec<_> = provoked.chain(others).collect();
    let mut all = Code::NAMES.to_vec();
    codes.sort_unstable();
    all.sort_unstable();
    assert_eq!(codes, all);
}

/// A validator that also refuses members that the schema does not name.
fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut components = document["components"].clone();
    for (name, part) in components["schemas"].as_object_mut().unwrap() {
        // These are parts of other schemas.
        if name != "Prices" && (part.get("properties").is_some() || part.get("allOf").is_some()) {
            part["unevaluatedProperties"] = false.into();
        }
    }
    let whole = json!({ "allOf": [schema], "components": components });
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .build(&whole)
        .unwrap()
}

#[test]
fn every_example_matches_its_schema() {
    let document = document();
    let mut examined = 0;
    let operations = document["paths"].as_object().unwrap().values();
    let own = operations.flat_map(|item| item["get"]["responses"].as_object().unwrap().values());
    let shared = document["components"]["responses"].as_object().unwrap().values();
    for response in own.chain(shared).map(|response| resolved(&document, response)) {
        for content in response["content"].as_object().into_iter().flatten().map(|(_, content)| content) {
            let Some(examples) = content["examples"].as_object() else { continue };
            let validator = validator(&document, &content["schema"]);
            for (name, example) in examples {
                let faults: Vec<_> =
                    validator.iter_errors(&example["value"]).map(|e| e.to_string()).collect();
                assert_eq!(faults, [""; 0], "{name}: {}", example["value"]);
                examined += 1;
            }
        }
    }
    assert!(examined >= SHOWN.len(), "only {examined} of {} examples are in the document", SHOWN.len());
}

#[test]
fn the_validator_refuses_unknown_missing_and_mistyped_members() {
    let document = document();
    let validator = validator(&document, &json!({ "$ref": "#/components/schemas/Task" }));
    let task = json!({ "id": "chat", "name": "Chat", "description": "Talks", "models": 1 });
    assert!(validator.is_valid(&task));
    for (member, value) in
        [("extra", json!(1)), ("models", json!("1")), ("models", json!(-1)), ("id", json!("a b"))]
    {
        let mut wrong = task.clone();
        wrong[member] = value;
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
    let mut missing = task;
    missing.as_object_mut().unwrap().remove("name");
    assert!(!validator.is_valid(&missing));
}
