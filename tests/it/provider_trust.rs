//! A provider's key goes only to hosts that this build or the operator names, whatever the catalogue contains.

use chatchonk::clock::Clock;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::kv::fake::FakeKv;
use crate::support::kv::{KEY, start_and_fill, start_with};
use crate::support::pooler::Authority;
use crate::support::postgres::database;
use crate::support::process::{Serving, command, folder, get};
use crate::support::server::{TestServer, eventually};
use crate::support::upstream::Upstream;

const HEALTH: &str = "/api/automodel/health";

fn of<'a>(list: &'a Value, id: &str) -> &'a Value {
    list.as_array().into_iter().flatten().find(|row| row["id"] == id).unwrap_or(&Value::Null)
}

/// The server trusts the thief's certificate, so only its own rules protect the key.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_row_diverts_no_key() {
    let (database, authority) = (database().await, Authority::named("Root of the thief"));
    TestServer::seeded(&database).await.stop().await;
    let thief = Upstream::with_tls(Clock::system(), &authority).await;
    let at = |id: &str| format!("https://localhost:{}/{id}", thief.port());
    let pool = database.pool().await;
    for (id, edit) in [
        ("openai", format!("models_list_url = '{}/models'", at("openai"))),
        ("groq", format!("models_list_url = '{}/models', env = '{{MAIL_KEY}}'", at("groq"))),
        ("xai", format!("models_list_url = '{}/models', auth_header = 'x-key'", at("xai"))),
        ("openrouter", format!("models_list_url = '{0}/models', base_url = '{0}'", at("openrouter"))),
        ("huggingface", "models_list_url = 'https://127.0.0.1/v1/models'".to_owned()),
        (
            "google",
            "models_list_url = 'https://generativelanguage.googleapis.com/v1beta/%2e%2e%2fevil'".to_owned(),
        ),
        // The operator has named the hosts of these providers, but their rows have other faults.
        ("mistral", "env = '{MAIL_KEY}'".to_owned()),
        ("cohere", "auth_header = 'cookie'".to_owned()),
        ("anthropic", "extra_headers = '{\"Host\": \"evil.example\"}'".to_owned()),
    ] {
        let edit = format!("update chatchonk.providers set {edit} where id = '{id}'");
        sqlx::query(sqlx::AssertSqlSafe(edit)).execute(&pool).await.unwrap();
    }
    for id in ["thief", "OpenAI", "acme"] {
        let insert = "insert into chatchonk.providers (id, name, base_url, models_list_url, env)
            values ($1, $1, $2, $2 || '/models', '{OPENAI_API_KEY,MAIL_KEY}')";
        sqlx::query(insert).bind(id).bind(at(id)).execute(&pool).await.unwrap();
    }

    let folder = folder();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, authority.pem()).unwrap();
    let named = ["deepseek", "mistral", "cohere", "anthropic", "acme"];
    let base_urls: Vec<_> = named.iter().map(|id| format!("{id}={}", at(id))).collect();
    let mut command = command(folder.path());
    command.env("DATABASE_URL", database.url()).env("SSL_CERT_FILE", root).env("PROBE_PROVIDERS", "true");
    command.env("PROVIDER_BASE_URLS", base_urls.join(","));
    for variable in ["OPENAI", "XAI", "DEEPSEEK", "MISTRAL", "COHERE", "ANTHROPIC", "GEMINI", "ACME", "THIEF"]
    {
        command.env(format!("{variable}_API_KEY"), format!("hunter2-{variable}"));
    }
    command.env("MAIL_KEY", "hunter2-mail");
    let mut server = Serving::start(&mut command);
    let address = server.address();
    let untrusted = ["openai", "groq", "xai", "openrouter", "huggingface", "mistral", "cohere", "anthropic"];
    let untrusted = untrusted.iter().chain(["google", "thief", "OpenAI"].iter());
    eventually(async || {
        let (_, health) = get(&address, HEALTH).await;
        let providers = &health["providers"];
        let is_untrusted = |id| {
            let row = of(providers, id);
            (&row["status"], &row["reason"]) == (&json!("unknown"), &json!("untrusted_address"))
        };
        ["deepseek", "acme"].iter().all(|id| of(providers, id)["status"] == "healthy")
            && untrusted.clone().all(|id| is_untrusted(id))
    })
    .await;

    let mut received = thief.received();
    received.sort_by(|a, b| a.provider.cmp(&b.provider));
    let keys: Vec<_> =
        received.iter().map(|received| (&*received.provider, &*received.headers["authorization"])).collect();
    assert_eq!(keys, [("acme", "hunter2-ACME"), ("deepseek", "Bearer hunter2-DEEPSEEK")]);
    assert_eq!(thief.connections(), 2, "no other connection was opened");
    let (_, providers) = get(&address, "/api/providers").await;
    for (id, configured) in
        [("openai", true), ("acme", true), ("groq", false), ("thief", false), ("OpenAI", false)]
    {
        assert_eq!(of(&providers["data"], id)["configured"], configured, "{id}");
    }

    server.signal(Signal::SIGTERM);
    let (_, lines) = server.end();
    let warnings = |id: &str| {
        let text = format!("not probing provider {id}:");
        lines.iter().filter(|line| line.contains(&text)).cloned().collect::<Vec<_>>()
    };
    for id in untrusted {
        let lines = warnings(id);
        assert_eq!(lines.len(), 1, "{id}: {lines:#?}");
        assert!(!lines[0].contains("hunter2"), "{}", lines[0]);
    }
    assert!(warnings("openai")[0].contains("PROVIDER_BASE_URLS=openai=https://"));
    assert!(warnings("thief")[0].contains("THIEF_API_KEY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_forged_in_kv_do_not_decide_where_a_key_goes() {
    let (database, clock) = (database().await, Clock::system());
    let kv = FakeKv::start(clock.clone()).unwrap();
    let upstream = Upstream::start(clock).await;
    let pool = database.pool().await;
    TestServer::seeded(&database).await.stop().await;
    let insert = "insert into chatchonk.providers (id, name, base_url, models_list_url)
        values ('acme', 'Acme', 'https://acme.example', 'https://acme.example/models')";
    sqlx::query(insert).execute(&pool).await.unwrap();
    start_and_fill(&database, &kv).await.stop().await;

    let mut forged: Value = serde_json::from_slice(&kv.value(KEY).unwrap()).unwrap();
    let providers = forged["value"]["providers"].as_array_mut().unwrap();
    assert!(providers.iter().any(|row| row["id"] == "acme"));
    for provider in providers {
        let list = format!("https://evil.example/{}/evil/models", provider["id"].as_str().unwrap());
        provider["models_list_url"] = json!(list);
    }
    kv.plant(KEY, forged.to_string().as_bytes());
    let base_urls = format!("{},acme=http://127.0.0.1:{}/acme", upstream.base_urls(), upstream.port());
    let server = start_with(
        "postgres://absent@127.0.0.1:1/none",
        &kv,
        &[
            ("PROBE_PROVIDERS", "true"),
            ("OPENAI_API_KEY", "hunter2"),
            ("GROQ_API_KEY", "hunter2"),
            ("ACME_API_KEY", "hunter2"),
            ("PROVIDER_BASE_URLS", base_urls.as_str()),
        ],
    )
    .await;
    eventually(async || {
        let health = server.get(HEALTH).await.json();
        let status = |id| of(&health["providers"], id)["status"] == "healthy";
        status("openai")
            && status("groq")
            && of(&health["providers"], "acme")["reason"] == "untrusted_address"
    })
    .await;
    assert_eq!(server.get("/api/models?limit=1").await.json()["source"], "kv");
    let received = upstream.received();
    assert!(received.iter().all(|received| received.path == "models"), "{received:#?}");
    assert_eq!(upstream.count("acme"), 0);
    server.stop().await;
}
