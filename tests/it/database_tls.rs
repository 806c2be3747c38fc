//! The password of a remote database goes only to the verified server.

use std::pin::pin;
use std::time::Duration;

use chatchonk::store::DatabaseFault;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::pooler::{Authority, Pooler, REMOTE, Refusal};
use crate::support::postgres::database;
use crate::support::process::{command, folder, run, text};
use crate::support::server::TestServer;

/// `AuthenticationCleartextPassword`.
const CLEAR_TEXT: &[u8] = b"R\0\0\0\x08\0\0\0\x03";

/// Returns the output of `check` with these variables, at any exit code.
async fn check(variables: &[(&str, &str)]) -> String {
    let folder = folder();
    let mut command = command(folder.path());
    command.arg("check").envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
    let (out, err) = text(&output);
    format!("{out}{err}")
}

/// The URL with a password that no other message contains.
fn with_password(url: &str) -> String {
    let mut url = reqwest::Url::parse(url).unwrap();
    url.set_username("reader").unwrap();
    url.set_password(Some("hunter2")).unwrap();
    url.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_man_in_the_middle_gets_no_password() {
    let (options, ours) = (database().await.options(), Authority::named("ours"));
    let theirs = Authority::named("theirs");
    for (thief, root) in [
        (Pooler::with_tls(&options, &theirs, REMOTE).await, Some(&ours)),
        (Pooler::with_tls(&options, &ours, "elsewhere.example").await, Some(&ours)),
        (Pooler::expired(&options, &ours, REMOTE).await, Some(&ours)),
        (Pooler::to(&options).await, Some(&ours)),
        // Verified against the system's root certificates.
        (Pooler::with_tls(&options, &ours, REMOTE).await, None),
        (Pooler::to(&options).await, None),
    ] {
        thief.request(CLEAR_TEXT);
        for query in ["", "sslmode=require", "sslmode=prefer"] {
            let url = with_password(&thief.remote_url(query));
            let root = root.map(Authority::pem);
            let mut variables = vec![("DATABASE_URL", &*url), ("RENDER", "true")];
            variables.extend(root.as_deref().map(|root| ("PGSSLROOTCERT", root)));
            let server = TestServer::with(&variables).await;
            server.until("/api/health/ready", |ready| ready.status == 200).await;
            let health = server.get("/api/health").await;
            let database = &health.json()["database"];
            let shown = (health.status, &database["tls"], &database["reason"]);
            assert_eq!(shown, (503, &json!("verified"), &json!("TLS with the database failed")));
            let remedy = database["remedy"].as_str().unwrap();
            assert!(remedy.contains("PGSSLROOTCERT") && remedy.contains("DATABASE_TLS=unverified"));
            server.stop().await;
        }
        assert_eq!(thief.received(), b"", "the client answered a request for the password");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_server_gets_no_clear_text_password() {
    let (options, ours) = (database().await.options(), Authority::named("ours"));
    let encrypted = Pooler::with_tls(&options, &ours, "elsewhere.example").await;
    let plain = Pooler::to(&options).await;
    // The request alone, after a parameter and a notice, and after a message of success.
    let late = [b"S\0\0\0\x08a\0b\0", &b"N\0\0\0\x08SLOG"[..], CLEAR_TEXT].concat();
    let after_welcome = [b"R\0\0\0\x08\0\0\0\0", CLEAR_TEXT].concat();
    for request in [CLEAR_TEXT, &late, &after_welcome] {
        for (thief, query) in [(&encrypted, ""), (&plain, "sslmode=disable"), (&plain, "sslmode=prefer")] {
            thief.request(request);
            let url = with_password(&thief.remote_url(query));
            let variables = [("DATABASE_URL", &*url), ("DATABASE_TLS", "unverified")];
            let server = TestServer::with(&variables).await;
            server.until("/api/health/ready", |ready| ready.status == 200).await;
            let health = server.get("/api/health").await;
            let database = &health.json()["database"];
            let shown = (health.status, &database["tls"], &database["reason"]);
            let reason = json!(DatabaseFault::ClearText.reason());
            assert_eq!(shown, (503, &json!("unverified"), &reason), "{query}");
            server.stop().await;
        }
    }
    assert_eq!((encrypted.received(), plain.received()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_server_may_request_a_clear_text_password() {
    let (options, ours) = (database().await.options(), Authority::named("ours"));
    let server = Pooler::with_tls(&options, &ours, REMOTE).await;
    server.request(CLEAR_TEXT);
    let url = with_password(&server.remote_url(""));
    check(&[("DATABASE_URL", &url), ("PGSSLROOTCERT", &ours.pem())]).await;
    assert_eq!(server.received(), b"p\0\0\0\x0chunter2\0");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_check_show_how_the_connection_is_protected() {
    let (database, ours) = (database().await, Authority::named("ours"));
    let (options, root) = (database.options(), ours.pem());
    let trusted = Pooler::with_tls(&options, &ours, REMOTE).await;
    let foreign = Pooler::with_tls(&options, &Authority::named("theirs"), "elsewhere.example").await;
    let plain = Pooler::to(&options).await;
    let (off, root) = (("DATABASE_TLS", "unverified"), ("PGSSLROOTCERT", &*root));
    for (url, variable, shown) in [
        (trusted.remote_url(""), root, "verified"),
        (trusted.remote_url("sslmode=require"), root, "verified"),
        (trusted.url("disable").replace("localhost", REMOTE), root, "verified"),
        (foreign.remote_url(""), off, "unverified"),
        (foreign.remote_url("sslmode=prefer"), off, "unverified"),
        (plain.remote_url("sslmode=prefer"), off, "unverified"),
        (plain.remote_url("sslmode=disable"), off, "unverified"),
        (plain.url("disable"), off, "local"),
        (database.url(), ("DATABASE_TLS", "verified"), "local"),
    ] {
        let variables = [("DATABASE_URL", &*url), variable];
        let server = TestServer::with(&variables).await;
        let health = server.until_healthy().await;
        assert_eq!(health.json()["database"]["tls"], shown, "{url}");
        server.stop().await;
        let printed = check(&variables).await;
        assert!(printed.contains("✓ database: ") && printed.contains(&format!("TLS {shown}\n")), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_are_verified_against_the_system_roots() {
    let (options, ours) = (database().await.options(), Authority::named("ours"));
    let pooler = Pooler::with_tls(&options, &ours, REMOTE).await;
    let folder = folder();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, ours.pem()).unwrap();
    let url = pooler.remote_url("");
    let system = [("DATABASE_URL", &*url), ("SSL_CERT_FILE", roots.to_str().unwrap())];
    let printed = check(&system).await;
    assert!(printed.contains("TLS verified\n"), "{printed}");
    // A given root certificate replaces the system's.
    let other = Authority::named("theirs").pem();
    let printed = check(&[system[0], system[1], ("PGSSLROOTCERT", &other)]).await;
    assert!(
        printed.contains("✗ database: TLS with the database failed") && printed.contains("UnknownIssuer")
    );
    let printed = check(&system[..1]).await;
    assert!(printed.contains("✗ database: TLS with the database failed"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_of_other_programs_do_not_affect_the_connection() {
    let (options, ours) = (database().await.options(), Authority::named("ours"));
    let (thief, server) =
        (Pooler::to(&options).await, Pooler::with_tls(&options, &Authority::named("theirs"), REMOTE).await);
    thief.request(CLEAR_TEXT);
    server.request(CLEAR_TEXT);
    let home = folder();
    let passwords = home.path().join("passwords");
    std::fs::write(&passwords, "*:*:*:*:hunter2").unwrap();
    std::fs::set_permissions(&passwords, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let thief_url = reqwest::Url::parse(&thief.url("disable")).unwrap();
    let port = thief_url.port().unwrap().to_string();
    let others = [
        ("PGSSLMODE", "disable"),
        ("PGHOST", "localhost"),
        ("PGHOSTADDR", "127.0.0.1"),
        ("PGPORT", &port),
        ("PGPASSWORD", "hunter2"),
        ("PGPASSFILE", passwords.to_str().unwrap()),
    ];
    let url = with_password(&server.remote_url(""));
    let printed = check(&[&others[..], &[("DATABASE_URL", &url)]].concat()).await;
    assert!(printed.contains("✗ database: TLS with the database failed"), "{printed}");
    // A password that the URL lacks is not sent either.
    let mut url = reqwest::Url::parse(&thief.url("disable")).unwrap();
    url.set_password(None).unwrap();
    check(&[&others[..], &[("DATABASE_URL", url.as_str())]].concat()).await;
    assert_eq!((server.received(), thief.received()), (vec![], b"p\0\0\0\x05\0".to_vec()));
    // Without a user in the URL, the process's user is used.
    url.set_username("").unwrap();
    let user = ("PGUSER", "thief");
    let printed = check(&[&others[..], &[user, ("DATABASE_URL", url.as_str())]].concat()).await;
    assert!(!thief.greeting().contains("thief"), "{printed}");
    // The driver would add these to every connection.
    let options = ("PGOPTIONS", "-c search_path=theirs");
    let refusal = check(&[options, ("DATABASE_URL", &thief.url("disable"))]).await;
    assert!(refusal.contains("DATABASE_URL: PGOPTIONS"), "{refusal}");
    let refusal = check(&[&others[..], &[("DATABASE_URL", "postgres:///postgres")]].concat()).await;
    assert!(refusal.contains("DATABASE_URL: expected postgres://"), "{refusal}");
    drop(ours);
}

/// Returns everything that a client sends to a server that gives this answer to the request for TLS.
async fn robbed(mut client: TcpStream, answer: Vec<u8>) -> Vec<u8> {
    let mut received = vec![0; 8];
    client.read_exact(&mut received).await.unwrap();
    client.write_all(&answer).await.unwrap();
    // A client that closes may do so with a reset.
    let _ = client.read_to_end(&mut received).await;
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_tls_request_gets_no_password() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let encrypted = |kind: &[u8]| [b"S", kind].concat();
    let error = b"E\0\0\0\x22SFATAL\0C08P01\0Munsupported\0\0";
    for (answer, modes) in [
        // A refusal, an error, and a refusal with clear text after it.
        (b"N".to_vec(), &["", "?sslmode=require", "?sslmode=prefer"][..]),
        ([b"N", CLEAR_TEXT].concat(), &["", "?sslmode=prefer"]),
        (error.to_vec(), &["", "?sslmode=prefer"]),
        (encrypted(CLEAR_TEXT), &["", "?sslmode=prefer"]),
        (encrypted(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"), &[""]),
        (b"G".to_vec(), &[""]),
        (b"R\0\0\0\x0c\0\0\0\x05salt".to_vec(), &[""]),
    ] {
        for mode in modes {
            let url = format!("postgres://reader:hunter2@{REMOTE}:{port}/x{mode}");
            let variables = [("DATABASE_URL", &*url)];
            let (mut printed, mut clients) = (pin!(check(&variables)), JoinSet::new());
            let printed = loop {
                tokio::select! {
                    printed = &mut printed => break printed,
                    client = listener.accept() => clients.spawn(robbed(client.unwrap().0, answer.clone())),
                };
            };
            let received = clients.join_all().await.concat();
            assert!(printed.contains("✗ database: "), "{answer:?}: {printed}");
            assert!(!received.is_empty());
            let received = String::from_utf8_lossy(&received).into_owned();
            assert!(!received.contains("reader") && !received.contains("hunter2"), "{answer:?}: {received}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_server_that_demands_tls_gets_a_remedy() {
    let pooler = Pooler::to(&database().await.options()).await;
    for (code, message) in [
        ("28000", "no pg_hba.conf entry for host \"127.0.0.1\", user \"u\", database \"d\", no encryption"),
        ("08P01", "SSL required"),
    ] {
        pooler.refuse(Refusal { code, message, delay: Duration::ZERO });
        let printed = check(&[("DATABASE_URL", &pooler.url("prefer"))]).await;
        assert!(printed.contains("✗ database: TLS") && printed.contains("sslmode=require"), "{printed}");
    }
}
