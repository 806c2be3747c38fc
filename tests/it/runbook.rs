//! `docs/operate.md` explains every message of health, log and `check`.

use chatchonk::kv_client::{KvError, KvErrorClass, KvFailure, KvMisconfiguration};
use chatchonk::provider_health::Reason;
use chatchonk::store::DatabaseFault;

use crate::support::files::sources;

/// Returns the page with single spaces, since lines break anywhere.
fn runbook() -> String {
    include_str!("../../docs/operate.md").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_explained<'a>(words: impl IntoIterator<Item = &'a str>) {
    let runbook = runbook();
    let missing: Vec<_> = words.into_iter().filter(|words| !runbook.contains(words)).collect();
    assert!(missing.is_empty(), "docs/operate.md does not explain {missing:#?}");
}

/// Returns the string literals, with continued lines joined.
fn literals(code: &str) -> impl Iterator<Item = String> {
    let joined = code.split("\\\n").map(str::trim_start).collect::<String>();
    joined.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

#[test]
fn every_fault_of_the_database_is_in_the_runbook() {
    assert_explained(DatabaseFault::ALL.iter().map(|fault| fault.reason()));
    assert_explained(["no PostgreSQL is installed here"]);
}

#[test]
fn every_fault_of_kv_is_in_the_runbook() {
    use KvErrorClass::{Configuration, Failure, Permission, Quota, Throttled};
    use KvFailure::{Connect, Malformed, Server, Timeout, TooLarge};
    use KvMisconfiguration::{Account, Namespace, Request};
    let classes = [Permission, Quota, Throttled { retry_after: None }]
        .into_iter()
        .chain([Namespace, Account, Request].map(Configuration))
        .chain([Timeout, Connect, Server, Malformed, TooLarge].map(Failure));
    let reasons = classes.flat_map(|class| {
        [None, Some(401), Some(403)].map(|status| {
            let mut error = KvError::new(class);
            error.status = status;
            error.reason()
        })
    });
    assert_explained(reasons);
    let code = include_str!("../../src/kv_tier/notice.rs").split("#[cfg(test)]").next().unwrap();
    let own = literals(code).filter(|text| !text.starts_with("nothing to do"));
    let own: Vec<_> = own.collect();
    assert!(own.len() > 4, "{own:?}");
    assert_explained(own.iter().map(String::as_str));
}

#[test]
fn every_reason_of_a_provider_is_in_the_runbook() {
    let names: Vec<_> = Reason::ALL.iter().map(|reason| format!("`{reason}`")).collect();
    assert_explained(names.iter().map(String::as_str));
}

#[test]
fn every_warning_of_the_log_is_in_the_runbook() {
    let mut warnings = Vec::new();
    for file in sources() {
        let source = std::fs::read_to_string(&file).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap();
        for call in code.split("tracing::warn!(").skip(1).chain(code.split("tracing::error!(").skip(1)) {
            let call = call.split([';', '}']).next().unwrap_or_default();
            let pieces =
                literals(call).flat_map(|text| text.split(['{', '}']).map(str::to_owned).collect::<Vec<_>>());
            warnings.extend(pieces.max_by_key(String::len).filter(|piece| piece.len() > 10));
        }
    }
    assert!(warnings.len() > 9, "{warnings:#?}");
    assert_explained(warnings.iter().map(|warning| warning.trim()));
}
