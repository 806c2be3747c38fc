//! The common parts of every error answer.

use serde_json::Value;

use super::server::Answer;

/// All members that a problem document can have.
const MEMBERS: [&str; 10] = [
    "type",
    "title",
    "status",
    "detail",
    "code",
    "request_id",
    "parameter",
    "allowed",
    "did_you_mean",
    "error",
];

impl Answer {
    /// Asserts that this is a whole problem document with this status and code, and returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{body}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
        assert_eq!(self.header("cache-control"), "no-store");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{body}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/api/docs/errors#{code}"));
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        for member in ["title", "detail", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {body}");
        }
        for member in ["parameter", "did_you_mean"] {
            assert!(problem.get(member).is_none_or(Value::is_string), "{member}: {body}");
        }
        if let Some(allowed) = problem.get("allowed") {
            let names = allowed.as_array().unwrap();
            assert!(!names.is_empty() && names.iter().all(Value::is_string), "{body}");
        }
        let unknown = problem.as_object().unwrap().keys().find(|key| !MEMBERS.contains(&key.as_str()));
        assert_eq!(unknown, None, "{body}");
        problem
    }

    /// Like `problem`, for a refused parameter.
    #[track_caller]
    pub(crate) fn refuses(&self, code: &str, parameter: &str) -> Value {
        let problem = self.problem(400, code);
        assert_eq!(problem["parameter"], parameter, "{problem}");
        problem
    }
}
