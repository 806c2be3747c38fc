//! Examples: answers that a server gave, recorded by a test (`tests/it/openapi/recorded.rs`) and never typed.

use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{OpenApi, RefOr, Response};

const RECORDED: &str = include_str!("examples.json");

/// A request and what was answered.
#[derive(Debug, Deserialize)]
pub struct Example {
    /// What it shows, in a few words; of errors the code.
    pub name: String,
    /// The operation that answered; of an error the one that refused.
    pub operation: String,
    #[serde(default = "get")]
    pub method: String,
    /// Path and query; nothing where they are too long to print.
    pub request: Option<String>,
    /// What the request was besides, such as its headers; nothing where following it gives the same answer.
    pub when: Option<String>,
    pub status: u16,
    pub body: Value,
}

fn get() -> String {
    "GET".to_owned()
}

impl Example {
    /// The request in a line; nothing where it is too long to print.
    pub fn line(&self) -> Option<String> {
        let request = self.request.as_ref()?;
        Some(format!("{} {request}", self.method))
    }

    /// The address to follow, where that alone gives this answer.
    pub fn link(&self) -> Option<&str> {
        self.request.as_deref().filter(|_| self.method == "GET" && self.when.is_none())
    }
}

/// All that were recorded, in the order of the operations.
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

/// Whether the response is that of the error code: its description names it.
fn has_code(response: &RefOr<Response>, code: &str) -> bool {
    matches!(response, RefOr::T(response) if response.description.contains(&format!("`{code}`")))
}
