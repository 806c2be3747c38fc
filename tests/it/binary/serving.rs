//! `chatchonk serve`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use chatchonk::clock::Clock;
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::support::postgres::database;
use crate::support::process::{Serving, command, folder, from_shell, get, postgres};
use crate::support::server::eventually;
use crate::support::upstream::{Behaviour, Upstream};

/// A database that refuses every connection.
const NO_DATABASE: &str = "postgres://none@127.0.0.1:1/none";
const ALL: &str = "/api/models?status=active,preview,deprecated,retired";

async fn serves_the_embedded_catalogue(server: &mut Serving) -> String {
    let address = server.address();
    let (status, list) = get(&address, ALL).await;
    assert_eq!((status, &list["total"], &list["source"]), (200, &json!(120), &json!("postgres")));
    let (status, health) = get(&address, "/api/health").await;
    assert_eq!((status, &health["database"]["kind"]), (200, &json!("embedded")));
    address
}

/// Tests a shutdown in order, by SIGTERM or by Ctrl-C in a terminal.
async fn ends_in_order(end: impl FnOnce(&Serving)) {
    let folder = folder();
    // The tests may run under nohup, whose setting their children inherit.
    let own = command(folder.path());
    let mut server = Serving::start(&mut from_shell("exec env --default-signal=HUP \"$0\" \"$@\"", &own));
    let address = serves_the_embedded_catalogue(&mut server).await;
    assert!(postgres(folder.path()).is_some());
    let clock = Clock::system();
    let stopped = clock.now();
    end(&server);
    let (status, lines) = server.end();
    assert!(clock.now() - stopped < Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert_eq!(postgres(folder.path()), None, "no PostgreSQL is left behind");
    assert!(reqwest::get(format!("http://{address}/api/health/live")).await.is_err());
    let faults: Vec<_> =
        lines.iter().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn an_unconfigured_server_serves_the_seed_until_sigterm() {
    ends_in_order(|server| server.signal(Signal::SIGTERM)).await;
}

#[tokio::test]
async fn ctrl_c_stops_the_server_and_its_postgres_in_order() {
    ends_in_order(|server| server.signal_group(Signal::SIGINT)).await;
}

#[tokio::test]
async fn a_closed_terminal_stops_the_server_in_order() {
    ends_in_order(|server| server.signal(Signal::SIGHUP)).await;
}

#[tokio::test]
async fn a_server_started_with_nohup_outlives_the_terminal() {
    let folder = folder();
    let own = command(folder.path());
    let mut server = Serving::start(from_shell("trap '' HUP", &own).env("DATABASE_URL", NO_DATABASE));
    let address = server.address();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 1, 1, "SIGHUP is still ignored");
    server.signal(Signal::SIGHUP);
    assert_eq!(get(&address, ALL).await.0, 200);
    assert_eq!(get(&address, "/api/health/ready").await.0, 200);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().0.code(), Some(0));
}

#[tokio::test]
async fn the_descriptor_limit_is_raised_to_the_hard_one() {
    let folder = folder();
    let own = command(folder.path());
    let mut server = Serving::start(from_shell("ulimit -Sn 256", &own).env("DATABASE_URL", NO_DATABASE));
    server.address();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let [soft, hard] = files.split_whitespace().take(2).collect::<Vec<_>>()[..] else { panic!("{files}") };
    assert!(soft == hard && soft != "256", "{files}");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().0.code(), Some(0));
}

#[tokio::test]
async fn a_start_without_its_database_names_no_other_fault() {
    let folder = folder();
    let mut server = Serving::start(command(folder.path()).env("DATABASE_URL", NO_DATABASE));
    server.line_with("cloudflare kv: ");
    server.signal(Signal::SIGTERM);
    let (_, lines) = server.end();
    assert!(lines.iter().any(|line| line.contains("database: the database cannot be reached")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("migrations: ")), "{lines:#?}");
}

/// The server is stopped, so all of them wait in the listener's queue.
#[tokio::test]
async fn three_hundred_clients_at_once_need_no_retransmission() {
    let folder = folder();
    let mut server = Serving::start(command(folder.path()).env("DATABASE_URL", NO_DATABASE));
    let address: SocketAddr = server.address().parse().unwrap();
    let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let crowd = limit.trim().parse::<usize>().unwrap().min(300);
    server.signal(Signal::SIGSTOP);
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(20)).unwrap();
    let clients: Vec<_> = (0..crowd).map(connect).collect();
    server.signal(Signal::SIGCONT);
    for mut client in clients {
        client.write_all(b"GET /api/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().0.code(), Some(0));
}

#[tokio::test]
async fn a_successful_request_is_logged_at_debug_only() {
    for (filter, leaves) in [("info", false), ("chatchonk=debug", true)] {
        let folder = folder();
        let mut server = Serving::start(command(folder.path()).env("RUST_LOG", filter));
        let address = serves_the_embedded_catalogue(&mut server).await;
        let item = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap()
            .get(format!("http://{address}/api/models/openai/gpt-4o"));
        let answer = item.header("x-request-id", "mine-1").send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-request-id"]),
            (200, &"mine-1".parse().unwrap())
        );
        server.signal(Signal::SIGTERM);
        let (_, lines) = server.end();
        let of_requests: Vec<_> = lines.iter().filter(|line| line.contains("answered")).collect();
        assert_eq!(!of_requests.is_empty(), leaves, "{lines:#?}");
        let whole = |line: &&&String| line.contains("/api/models/{id}") && line.contains("mine-1");
        assert_eq!(of_requests.iter().filter(whole).count(), usize::from(leaves), "{of_requests:#?}");
    }
}

#[tokio::test]
async fn a_start_after_a_kill_takes_over_the_orphaned_postgres() {
    let folder = folder();
    let mut killed = Serving::start(&mut command(folder.path()));
    serves_the_embedded_catalogue(&mut killed).await;
    drop(killed);
    let orphan = postgres(folder.path()).expect("its PostgreSQL outlives it");

    let mut heir = Serving::start(&mut command(folder.path()));
    serves_the_embedded_catalogue(&mut heir).await;
    assert_ne!(postgres(folder.path()).unwrap(), orphan);
    heir.signal(Signal::SIGTERM);
    assert_eq!(heir.end().0.code(), Some(0));
    assert_eq!(postgres(folder.path()), None);
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_gets_the_remedy() {
    let folder = folder();
    let mut first = Serving::start(&mut command(folder.path()));
    let address = serves_the_embedded_catalogue(&mut first).await;

    let (status, lines) = Serving::start(&mut command(folder.path())).end();
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    let refusal = lines.last().unwrap();
    let path = folder.path().canonicalize().unwrap();
    for part in ["chatchonk: ", path.to_str().unwrap(), "stop it", "DATA_DIR"] {
        assert!(refusal.contains(part), "{part} is missing: {refusal}");
    }
    assert_eq!(get(&address, "/api/health").await.0, 200, "the first server still works");
    first.signal(Signal::SIGTERM);
    assert_eq!(first.end().0.code(), Some(0));
}

#[tokio::test]
async fn an_unusable_folder_is_reported_while_lists_are_builtin() {
    let folder = folder();
    let occupied = folder.path().join("a file");
    std::fs::write(&occupied, "").unwrap();
    let mut server = Serving::start(command(folder.path()).env("DATA_DIR", &occupied));
    let address = server.address();
    let (status, list) = get(&address, ALL).await;
    assert_eq!((status, &list["source"]), (200, &json!("builtin")));
    let (status, health) = get(&address, "/api/health").await;
    assert_eq!((status, &health["status"]), (200, &json!("degraded")));
    assert_eq!(health["database"]["reason"], "the private PostgreSQL does not start");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().0.code(), Some(0));
}

#[tokio::test]
async fn sigterm_during_a_start_leaves_the_next_start_working() {
    let folder = folder();
    let mut server = Serving::start(&mut command(folder.path()));
    server.address();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().0.code(), Some(0));

    let mut server = Serving::start(&mut command(folder.path()));
    serves_the_embedded_catalogue(&mut server).await;
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().0.code(), Some(0));
    assert_eq!(postgres(folder.path()), None);
}

#[test]
fn a_port_in_use_is_one_line_with_the_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = folder();
    let (status, lines) = Serving::start(command(folder.path()).env("PORT", &port)).end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains(&format!("cannot listen on 127.0.0.1:{port}")), "{lines:#?}");
    assert!(lines[0].contains("set PORT"), "{lines:#?}");
}

#[tokio::test]
async fn log_lines_are_json_objects_and_hold_no_secret() {
    let folder = folder();
    let database = database().await;
    let refused = ["openai", "openrouter", "huggingface"].map(|id| format!("{id}=http://127.0.0.1:1"));
    let mut server = Serving::start(
        command(folder.path())
            .env("DATABASE_URL", database.url())
            .env("CLOUDFLARE_API_TOKEN", "a-secret-token")
            .env("OPENAI_API_KEY", "a-secret-key")
            .env("PROBE_PROVIDERS", "true")
            .env("PROVIDER_BASE_URLS", refused.join(",")),
    );
    let address = server.address();
    server.line_with("provider openai is down");
    assert_eq!(get(&address, ALL).await.0, 200);
    server.signal(Signal::SIGTERM);
    let (status, lines) = server.end();
    assert_eq!(status.code(), Some(0));
    assert!(lines.len() > 3);
    for line in &lines {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "message", "target"] {
            assert!(event[field].as_str().is_some_and(|text| !text.is_empty()), "{field} is missing: {line}");
        }
        assert!(!line.contains("secret") && !line.contains('\u{1b}'), "{line}");
    }
    assert!(lines.iter().any(|line| line.contains("KV not configured: CLOUDFLARE_ACCOUNT_ID")), "{lines:#?}");
}

/// This includes the libraries that carry the keys, which have their own log lines.
#[tokio::test(flavor = "multi_thread")]
async fn provider_keys_are_never_logged_even_at_trace() {
    let (folder, upstream) = (folder(), Upstream::start(Clock::system()).await);
    // The parts of a request that an answer repeats are not logged either.
    upstream.set("openai", Behaviour::Says(401, r#"{"error":"Incorrect API key provided: hunter2-openai"}"#));
    upstream.set("anthropic", Behaviour::Says(400, r#"{"error":"hunter2-anthropic"}"#));
    let mut server = Serving::start(
        command(folder.path())
            .env("RUST_LOG", "trace")
            .env("DATABASE_URL", "postgres://absent@127.0.0.1:1/none")
            .env("OPENAI_API_KEY", "hunter2-openai")
            .env("ANTHROPIC_API_KEY", "hunter2-anthropic")
            .env("GEMINI_API_KEY", "hunter2-google")
            .env("PROBE_PROVIDERS", "true")
            .env("PROVIDER_BASE_URLS", upstream.base_urls()),
    );
    let address = server.address();
    eventually(async || {
        let (_, health) = get(&address, "/api/automodel/health").await;
        let status =
            |id| health["providers"].as_array()?.iter().find(|row| row["id"] == id)?["status"].as_str();
        status("openai") == Some("down") && status("google") == Some("healthy")
    })
    .await;
    server.signal(Signal::SIGTERM);
    let (status, lines) = server.end();
    assert_eq!(status.code(), Some(0));
    assert!(lines.iter().any(|line| line.contains("TRACE") && line.contains("hyper")), "libraries log too");
    for (id, header) in
        [("openai", "authorization"), ("anthropic", "x-api-key"), ("google", "x-goog-api-key")]
    {
        let received = upstream.received();
        let received = received.iter().find(|received| received.provider == id).unwrap();
        assert!(received.headers[header].contains(&format!("hunter2-{id}")), "{id} is probed with its key");
    }
    for line in lines {
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[tokio::test]
async fn a_dead_private_postgres_restarts_while_lists_go_on() {
    let folder = folder();
    let mut server = Serving::start(&mut command(folder.path()));
    let address = serves_the_embedded_catalogue(&mut server).await;
    let dead = postgres(folder.path()).unwrap();
    kill(dead, Signal::SIGKILL).unwrap();

    // Its log shows both; each is followed by a read of a list.
    for line in ["the database cannot be reached", "the database answers again"] {
        server.line_with(line);
        let (status, list) = get(&address, "/api/models").await;
        assert_eq!(
            (status, list["total"].as_u64(), list["source"].as_str()),
            (200, Some(118), Some("postgres"))
        );
    }
    assert_ne!(postgres(folder.path()).unwrap(), dead);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().0.code(), Some(0));
}
