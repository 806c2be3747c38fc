//! Examples: answers recorded by a test (`tests/it/openapi/recorded.rs`).

use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{OpenApi, RefOr, Response};

const RECORDED: &str = include_str!("examples.json");

/// A request and its answer.
#[derive(Debug, Deserialize)]
pub struct Example {
    /// What it shows, in a few words; for errors the code.
    pub name: String,
    /// The operation that answered or refused.
    pub operation: String,
    #[serde(default = "get")]
    pub method: String,
    /// Path and query, unless they are too long to print.
    pub request: Option<String>,
    /// Circumstances, such as headers, unless the address alone gives the same answer.
    pub when: Option<String>,
    pub status: u16,
    pub body: Value,
}

fn get() -> String {
    "GET".to_owned()
}

impl Example {
    /// Returns the request as a line, unless it is too long to print.
    pub fn line(&self) -> Option<String> {
        let request = self.request.as_ref()?;
        Some(format!("{} {request}", self.method))
    }

    /// Returns the address, if it alone gives this answer.
    pub fn link(&self) -> Option<&str> {
        self.request.as_deref().filter(|_| self.method == "GET" && self.when.is_none())
    }
}

/// Returns all examples, in the order of the operations.
pub fn examples() -> Vec<Example> {
    // A test reads the file.
    serde_json::from_str(RECORDED).unwrap_or_default()
}

/// Adds each to its response; errors to that of all operations with this status.
pub fn add(document: &mut OpenApi) {
    for example in examples() {
        let response = if example.status < 400 {
            let operations = document.paths.paths.values_mut().filter_map(|item| item.get.as_mut());
            operations
                .filter(|operation| operation.operation_id.as_deref() == Some(&example.operation))
                .find_map(|operation| operation.responses.responses.get_mut(&example.status.to_string()))
        } else {
            let responses = document.components.iter_mut().flat_map(|all| all.responses.values_mut());
            responses.into_iter().find(|response| has_code(response, &example.name))
        };
        if let Some(RefOr::T(response)) = response
            && let Some(RefOr::T(content)) = response.content.values_mut().next()
        {
            let parts = [example.line(), example.when].into_iter().flatten();
            let summary = parts.collect::<Vec<_>>().join(" ");
            let shown = ExampleBuilder::new().summary(summary).value(Some(example.body));
            content.examples.insert(example.name, shown.build().into());
        }
    }
}

/// Whether the response's description names the error code.
fn has_code(response: &RefOr<Response>, code: &str) -> bool {
    matches!(response, RefOr::T(response) if response.description.contains(&format!("`{code}`")))
}
