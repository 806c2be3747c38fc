//! The behaviour of the fake that other tests rely on.

use std::time::Duration;

use crate::support::kv::fake::{ACCOUNT, NAMESPACE, TOKEN, Which};
use crate::support::kv::{Kv, LONG, key};

#[tokio::test]
async fn a_change_may_stay_unseen_for_a_limited_time() {
    let kv = Kv::start();
    kv.fake.quirks(|quirks| quirks.stale_for = Duration::from_mins(1));
    kv.client.put(&key("k"), b"1".to_vec(), LONG).await.unwrap();
    assert_eq!(kv.client.get(&key("k")).await, Ok(None), "a new key too");
    kv.hand.advance(Duration::from_secs(30));
    kv.client.put(&key("k"), b"2".to_vec(), LONG).await.unwrap();
    kv.hand.advance(Duration::from_secs(30));
    assert_eq!(kv.client.get(&key("k")).await, Ok(Some(b"1".to_vec())));
    assert_eq!(kv.fake.value("k"), Some(b"2".to_vec()));
    kv.hand.advance(Duration::from_secs(30));
    assert_eq!(kv.client.get(&key("k")).await, Ok(Some(b"2".to_vec())));
}

#[tokio::test]
async fn random_visibility_is_repeatable_by_seed() {
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let kv = Kv::start();
        kv.fake.plant("k", b"0");
        kv.fake.quirks(|quirks| {
            (quirks.stale_for, quirks.which) = (Duration::from_mins(1), Which::Any { seed });
        });
        kv.client.put(&key("k"), b"1".to_vec(), LONG).await.unwrap();
        kv.hand.advance(Duration::from_secs(1));
        kv.client.delete(&key("k")).await.unwrap();
        let mut shown = Vec::new();
        for _ in 0..40 {
            shown.push(kv.client.get(&key("k")).await.unwrap());
        }
        for state in [Some(b"0".to_vec()), Some(b"1".to_vec()), None] {
            assert!(shown.contains(&state), "{state:?} is never shown");
        }
        runs.push(shown);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn an_absent_key_is_remembered_as_absent() {
    let kv = Kv::start();
    kv.fake.quirks(|quirks| quirks.absent_for = Duration::from_mins(1));
    assert_eq!(kv.client.get(&key("k")).await, Ok(None));
    kv.client.put(&key("k"), b"1".to_vec(), LONG).await.unwrap();
    assert_eq!(kv.client.get(&key("k")).await, Ok(None));
    kv.hand.advance(Duration::from_mins(1));
    assert_eq!(kv.client.get(&key("k")).await, Ok(Some(b"1".to_vec())));
}

#[tokio::test]
async fn undocumented_requests_are_refused() {
    let kv = Kv::start();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let origin = kv.fake.base_url().split("/client/").next().unwrap().to_owned();
    let namespace = format!("{origin}/client/v4/accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}");
    for (method, rest, media, body, status) in [
        ("PUT", "/values/k?expiration_ttl=59", "application/octet-stream", "v", 400),
        ("PUT", "/values/k?ttl=60", "application/octet-stream", "v", 400),
        ("PUT", "/values/k", "application/json", "v", 400),
        ("PUT", "/values/a:b", "application/octet-stream", "v", 400),
        ("PUT", "/values/a/b", "application/octet-stream", "v", 404),
        ("PUT", "/values/", "application/octet-stream", "v", 405),
        ("PUT", "/bulk", "application/json", "{}", 400),
        ("PUT", "/bulk", "application/json", r#"[{"key": "k", "value": 1}]"#, 400),
        ("PUT", "/bulk", "application/json", r#"[{"key": "k", "value": "v", "ttl": 60}]"#, 400),
        ("PUT", "/bulk", "application/json", r#"[{"key": "k", "value": "v", "expiration_ttl": 59}]"#, 400),
        ("PUT", "/bulk", "application/json", r#"[{"key": "k", "value": "?", "base64": true}]"#, 400),
        ("POST", "/bulk/delete", "application/json", "[1]", 400),
        ("DELETE", "/bulk", "application/json", "[]", 405),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = client.request(method, format!("{namespace}{rest}")).bearer_auth(TOKEN);
        let answer = request.header("content-type", media).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{rest} {body}");
    }
    let bare = client.get(&namespace).send().await.unwrap();
    assert!(bare.status() == 400 && bare.text().await.unwrap().contains("9106"));
    assert_eq!(kv.fake.used_today().writes, 0);
}
