use proptest::prelude::*;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::KvErrorClass::{Configuration, Failure, Permission, Quota, Throttled};
use super::KvFailure::{Malformed, Server, Timeout, TooLarge};
use super::KvMisconfiguration::{Account, Namespace, Request};
use super::*;

fn answer(status: u16, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.collect(),
        body: body.into(),
        broken: None,
    }
}

fn envelope(success: bool, codes: &[(u64, &str)]) -> Vec<u8> {
    let errors: Vec<_> =
        codes.iter().map(|(code, message)| json!({"code": code, "message": message})).collect();
    let messages = [json!({"code": 10000, "message": "This API Token is valid and active"})];
    json!({"success": success, "errors": errors, "messages": messages, "result": null}).to_string().into()
}

fn class(status: u16, codes: &[(u64, &str)]) -> KvErrorClass {
    answer(status, &[], envelope(false, codes)).into_result().unwrap_err().class
}

#[test]
fn every_answer_of_the_table_has_its_class() {
    let throttled = Throttled { retry_after: None };
    for (status, code, message, expected) in [
        (404, 10_013, "get: 'namespace not found'", Configuration(Namespace)),
        (400, 10_011, "could not parse UUID", Configuration(Namespace)),
        (404, 7_003, "Could not route to /accounts/x", Configuration(Account)),
        (400, 7_003, "Could not route to /accounts/x", Configuration(Account)),
        (404, 10_404, "No route for that URI", Configuration(Account)),
        (400, 10_034, "Invalid expiration_ttl", Configuration(Request)),
        (405, 10_000, "DELETE method not allowed", Configuration(Request)),
        (404, 12_345, "something new", Configuration(Request)),
        (403, 10_000, "Authentication error", Permission),
        (401, 10_000, "Authentication error", Permission),
        (403, 9_109, "Invalid access token", Permission),
        (400, 6_003, "Invalid request headers", Permission),
        (403, 12_345, "something new", Permission),
        (400, 1_000, "Invalid API Token", Permission),
        (400, 1_000, "upstream timeout", Failure(Server)),
        (403, 10_001, "internal error", Failure(Server)),
        (403, 10_001, "Method not allowed for token", Permission),
        (429, 10_048, "your account has reached the free usage limit", Quota),
        (403, 10_048, "your account has reached the free usage limit", Quota),
        (429, 971, "Please wait", throttled),
        (200, 971, "Please wait", throttled),
        (503, 971, "Please wait", throttled),
        (429, 12_345, "something new", throttled),
        (500, 10_000, "Authentication error", Failure(Server)),
        (524, 12_345, "something new", Failure(Server)),
        (200, 12_345, "something new", Failure(Server)),
        (408, 12_345, "something new", Failure(Timeout)),
    ] {
        assert_eq!(class(status, &[(code, message)]), expected, "{status} {code}");
    }
}

#[test]
fn a_miss_is_404_with_10009_and_nothing_else() {
    let of =
        |status, code| answer(status, &[], envelope(false, &[(code, "get: 'key not found'")])).into_value();
    assert_eq!(of(404, 10_009), Ok(None));
    assert_eq!(of(400, 10_009).unwrap_err().class, Configuration(Request));
    assert_eq!(of(404, 10_013).unwrap_err().class, Configuration(Namespace));
    assert_eq!(answer(404, &[], "").into_value().unwrap_err().class, Failure(Malformed));
}

#[test]
fn the_code_in_messages_is_not_an_error() {
    assert!(answer(200, &[], envelope(true, &[])).into_result().is_ok());
}

#[test]
fn answers_without_an_envelope_go_by_their_status() {
    for (status, expected) in [
        (200, Failure(Malformed)),
        (302, Failure(Malformed)),
        (403, Failure(Malformed)),
        (404, Failure(Malformed)),
        (413, Configuration(Request)),
        (429, Throttled { retry_after: None }),
        (502, Failure(Server)),
    ] {
        for body in ["<html>error</html>", "", "{\"success\":false,\"err"] {
            let class = answer(status, &[], body).into_result().unwrap_err().class;
            assert_eq!(class, expected, "{status} {body}");
        }
    }
}

#[test]
fn an_incomplete_body_counts_only_if_the_status_says_nothing() {
    let broken = |status, failure| Answer { broken: Some(failure), ..answer(status, &[], "{\"succ") };
    assert_eq!(broken(200, Malformed).into_value().unwrap_err().class, Failure(Malformed));
    assert_eq!(broken(200, Timeout).into_value().unwrap_err().class, Failure(Timeout));
    assert_eq!(broken(403, TooLarge).into_value().unwrap_err().class, Failure(TooLarge));
    assert_eq!(broken(429, Malformed).into_value().unwrap_err().class, Throttled { retry_after: None });
}

#[test]
fn a_value_is_what_comes_as_bytes_and_not_a_page_or_a_refusal() {
    let throttle = envelope(false, &[(971, "Please wait")]);
    let bytes = answer(200, &[("content-type", "application/octet-stream")], throttle.clone());
    assert_eq!(bytes.into_value(), Ok(Some(throttle.clone())));
    let refusal = answer(200, &[("content-type", "application/json; charset=utf-8")], throttle);
    assert_eq!(refusal.into_value().unwrap_err().class, Throttled { retry_after: None });
    let page = answer(200, &[("content-type", "text/html")], "<html>");
    assert_eq!(page.into_value().unwrap_err().class, Failure(Malformed));
    assert_eq!(answer(200, &[], "").into_value(), Ok(Some(Vec::new())));
}

#[test]
fn retry_after_and_the_allowance_are_read() {
    let wait = |value| match answer(429, &[("retry-after", value)], "").into_result().unwrap_err().class {
        Throttled { retry_after } => retry_after.map(|wait| wait.as_secs()),
        other => panic!("{other:?}"),
    };
    assert_eq!((wait("17"), wait("99999999999"), wait("soon")), (Some(17), Some(86_400), None));

    let now = Clock::system().now();
    let of = |limit: &'static str| {
        let policy = HeaderValue::from_static("\"burst\";q=1200;w=300");
        let headers = [("ratelimit", HeaderValue::from_static(limit)), ("ratelimit-policy", policy)];
        let headers = headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), value));
        allowance(&headers.collect(), now)
    };
    let full_at = now + Duration::from_secs(30);
    assert_eq!(of("\"default\";r=50;t=30"), Some(KvAllowance { left: 50, quota: Some(1_200), full_at }));
    assert_eq!(of("\"default\"; r=50; t=30, \"x\";r=1;t=1").unwrap().left, 50);
    assert_eq!(of("\"default\";r=-1;t=30"), None);
    assert_eq!(of("50"), None);
}

#[test]
fn lives_are_whole_seconds_and_never_below_the_floor() {
    let of = |milliseconds| seconds(Duration::from_millis(milliseconds));
    assert_eq!((of(0), of(60_000), of(60_001), of(61_000)), (60, 60, 61, 61));
    assert_eq!(seconds(Duration::MAX), u64::MAX);
}

#[test]
fn keys_that_could_leave_their_segment_are_refused() {
    let longest = "k".repeat(512);
    for key in ["chatchonk:production:catalogue.1:all", "...", "a", &longest] {
        assert_eq!(key.parse::<KvKey>().unwrap().as_str(), key);
    }
    let too_long = "k".repeat(513);
    for key in ["", ".", "..", "a/b", "a%2Fb", "a b", "é", "a\n", "a?b", "a#b", &too_long] {
        assert_eq!(key.parse::<KvKey>(), Err(InvalidKvKey), "{key:?}");
    }
}

fn header() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    const NAMES: &[&str] = &["retry-after", "ratelimit", "ratelimit-policy", "content-type", "cf-ray"];
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "\"[a-z]*\";[rtq]=-?[0-9]{0,25};[rtq]=[0-9]{0,25}".prop_map(String::into_bytes),
        "[0-9]{0,25}|application/json|text/html".prop_map(String::into_bytes),
    ];
    (prop::sample::select(NAMES), value).prop_filter_map("no header", |(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_bytes(&value).ok()?))
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![
        prop::sample::select(vec![json!(971), json!(10_009), json!(10_048), json!(10_000), json!(10_013)]),
        any::<i64>().prop_map(|code| json!(code)),
        any::<f64>().prop_map(|code| json!(code)),
        Just(json!("971")),
        Just(json!(null)),
    ];
    let error = (code, ".*").prop_map(|(code, message)| json!({"code": code, "message": message}));
    let enveloped = (any::<bool>(), prop::collection::vec(error, 0..3))
        .prop_map(|(success, errors)| json!({"success": success, "errors": errors}).to_string().into_bytes());
    let cut = (enveloped, any::<prop::sample::Index>(), any::<bool>()).prop_map(|(mut body, at, whole)| {
        if !whole {
            body.truncate(at.index(body.len()));
        }
        body
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), cut]
}

proptest! {
    #[test]
    fn no_answer_whatsoever_panics_or_is_taken_for_what_it_is_not(
        status in 100_u16..1_000,
        headers in prop::collection::vec(header(), 0..5),
        body in body(),
        broken in prop::sample::select(vec![None, Some(Malformed), Some(Timeout), Some(TooLarge)]),
    ) {
        let headers: HeaderMap = headers.into_iter().collect();
        let _ = allowance(&headers, Clock::system().now());
        let status_code = StatusCode::from_u16(status).unwrap();
        let answer = || Answer {
            status: status_code,
            headers: headers.clone(),
            body: body.clone(),
            broken,
        };
        match answer().into_value() {
            Ok(Some(value)) => prop_assert!(status == 200 && broken.is_none() && value == body),
            Ok(None) => prop_assert!(status == 404 && broken.is_none()),
            Err(error) => prop_assert_eq!(error.status, Some(status)),
        }
        if answer().into_result().is_ok() {
            prop_assert!(status_code.is_success() && broken.is_none());
        }
        let _ = answer().into_typed::<Option<WireBatch>>().map_err(|error| error.to_string());
    }
}
