//! Bad input gets the right 4xx, which says what to do and repeats little of the input.

use crate::support::postgres::database;
use crate::support::server::TestServer;

/// Values that a parameter refuses.
const REFUSED: &[(&str, &[&str])] = &[
    ("limit", &["0", "-1", "1001", "abc", "1.5", "1e2", "99999999999999999999999", "0x10", "%00", "NaN"]),
    ("min_context", &["-1", "abc", "1.5", "4294967296", "NaN", "inf", "99999999999999999999999"]),
    (
        "max_input_price",
        &["-1", "-0", "NaN", "inf", "1e3", "abc", ".5", "5.", "1%2C5", "10000001", "0.000000001"],
    ),
    (
        "max_output_price",
        &["-0.1", "NaN", "Infinity", "%2B1", "1_000", "1%2000", "99999999999999999999999999"],
    ),
    ("free", &["1", "yes", "TRUE", "null"]),
    ("open_weights", &["0", "unknown"]),
    ("enabled", &["False", "all"]),
    ("healthy_only", &["2"]),
    ("facets", &["provider"]),
    ("ids", &["gpt", "/x", "openai/", "openai/a b", "openai/%00", "..", "é", "openai%252Fgpt"]),
    ("provider", &["..", "%00", "openai/gpt-6-astra", "é", "OpenAI"]),
    ("task", &["..", "%00", "chat/x", "Chat"]),
    ("sort", &["--name", "name,price", "id", "relevance", "Name"]),
    ("kind", &["Chat", "chat%00"]),
    ("q", &["%00", "gpt%00"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_value_is_refused_with_its_parameter() {
    let server = TestServer::seeded(&database().await).await;
    for (parameter, values) in REFUSED {
        for value in *values {
            for route in ["/api/models", "/api/providers/openai/models"] {
                if *parameter == "provider" && route != "/api/models" {
                    continue;
                }
                let query = format!("{route}?{parameter}={value}");
                let problem = server.get(&query).await.refuses("invalid_parameter", parameter);
                assert!(problem["detail"].as_str().unwrap().contains(parameter), "{query}: {problem}");
            }
        }
    }
    assert_eq!(server.get("/api/models").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_parameter_or_value_gets_a_suggestion() {
    let server = TestServer::seeded(&database().await).await;
    for (query, parameter, meant) in [
        ("/api/models?provder=openai", "provder", "provider"),
        ("/api/models?max_imput_price=1", "max_imput_price", "max_input_price"),
        ("/api/models?capabilty[]=tools", "capabilty", "capability"),
        ("/api/models?Limit=1", "Limit", "limit"),
        ("/api/models?limit%20=1", "limit ", "limit"),
        ("/api/providers/openai/models?stauts=active", "stauts", "status"),
    ] {
        let problem = server.get(query).await.refuses("unknown_parameter", parameter);
        assert_eq!(problem["did_you_mean"], meant, "{query}");
        let allowed = problem["allowed"].as_array().unwrap();
        assert!(allowed.contains(&meant.into()) && allowed.len() >= 20, "{query}");
    }
    for (parameter, given, meant) in [
        ("provider", "opnai", "openai"),
        ("capability", "tols", "tools"),
        ("input_modality", "imgae", "image"),
        ("output_modality", "txet", "text"),
        ("task", "sumarization", "summarization"),
        ("kind", "embeding", "embedding"),
        ("status", "retird", "retired"),
        ("sort", "-pirce", "-price"),
        ("fields", "context_lenght", "context_length"),
    ] {
        for list in [given.to_owned(), format!("{meant},{given}")] {
            if parameter == "sort" && list != given {
                continue;
            }
            let answer = server.get(&format!("/api/models?{parameter}={list}")).await;
            let problem = answer.refuses("invalid_parameter", parameter);
            assert_eq!(problem["did_you_mean"], meant, "{parameter}={list}");
            assert!(problem["allowed"].as_array().unwrap().contains(&meant.into()), "{parameter}");
        }
    }
    for query in
        ["/api/providers?limit=1", "/api/providers/openai?x", "/api/models/openai/gpt-6-astra?fields=id"]
    {
        assert_eq!(server.get(query).await.problem(400, "unknown_parameter").get("did_you_mean"), None);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_or_damaged_cursor_is_refused() {
    let server = TestServer::seeded(&database().await).await;
    let page = server.get("/api/models?limit=3&kind=chat&sort=price").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let foreign = [
        format!("cursor={cursor}"),
        format!("kind=chat&sort=-price&cursor={cursor}"),
        format!("kind=chat,embedding&sort=price&cursor={cursor}"),
        format!("kind=chat&sort=price&q=gpt&cursor={cursor}"),
        format!("kind=chat&sort=price&min_context=1&cursor={cursor}"),
    ];
    let mangled: String = cursor.chars().rev().collect();
    let damaged = [
        format!("kind=chat&sort=price&cursor={}", &cursor[1..]),
        format!("kind=chat&sort=price&cursor={}", &cursor[..cursor.len() - 1]),
        format!("kind=chat&sort=price&cursor={mangled}"),
        "cursor=abc".to_owned(),
        "cursor=0".to_owned(),
        "cursor=%F0%9F%98%80".to_owned(),
        "cursor=e30".to_owned(),
        "cursor=bnVsbA".to_owned(),
        format!("cursor={}", "A".repeat(5_000)),
    ];
    for query in foreign.iter().chain(&damaged) {
        let problem = server.get(&format!("/api/models?{query}")).await.refuses("invalid_cursor", "cursor");
        assert!(problem["detail"].as_str().unwrap().len() < 200, "{problem}");
    }
    assert_eq!(server.get(&format!("/api/models?sort=price&kind=chat&cursor={cursor}")).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overlong_excessive_and_repeated_values_are_refused() {
    let server = TestServer::seeded(&database().await).await;
    for text in ["x".repeat(5_000), "gpt%20".repeat(830), "%C3%A9".repeat(201), "a".repeat(201)] {
        let problem = server.get(&format!("/api/models?q={text}")).await.refuses("invalid_parameter", "q");
        assert!(problem["detail"].as_str().unwrap().contains("200 characters"), "{problem}");
    }
    for text in ["%C3%A9".repeat(200), "a".repeat(200), "+".repeat(5_000), "%F0%9F%98%80".to_owned()] {
        assert_eq!(server.get(&format!("/api/models?q={text}")).await.status, 200);
    }
    for (once, other) in [
        ("limit=1", "limit=2"),
        ("q=gpt", "q=gpt"),
        ("free=true", "free[]=true"),
        ("sort=name", "sort=price"),
        ("cursor=a", "cursor=b"),
        ("min_context=1", "min_context=1"),
        ("max_input_price=1", "max_input_price%5B%5D=2"),
        ("facets=true", "facets=false"),
    ] {
        let parameter = once.split('=').next().unwrap();
        let answer = server.get(&format!("/api/models?{once}&{other}")).await;
        answer.refuses("invalid_parameter", parameter);
        assert_ne!(
            server.get(&format!("/api/models?{once}&{parameter}=")).await.json()["detail"],
            "is given more than once"
        );
    }
    for query in ["kind=chat&".repeat(600), "a&".repeat(600), "=&".repeat(600)] {
        server.get(&format!("/api/models?{query}")).await.problem(400, "bad_request");
    }
    assert_eq!(server.get(&format!("/api/models?{}", "kind=chat&".repeat(500))).await.json()["total"], 108);
    let long = format!("/api/models?{}=1", "p".repeat(4_000));
    let problem = server.get(&long).await.problem(400, "unknown_parameter");
    assert!(problem.to_string().len() < 1_500, "an error repeats too much: {problem}");
    server.stop().await;
}
