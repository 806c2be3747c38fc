//! Each operation, as sent over the wire.

use std::time::Duration;

use chatchonk::kv_client::{KvErrorClass, KvFailure, KvNamespace, TokenStatus};
use serde_json::{Value, json};

use crate::support::kv::fake::{ACCOUNT, Call, NAMESPACE, Request, TITLE, TOKEN, Token};
use crate::support::kv::{Kv, LONG, key, pair};

fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
}

fn path(rest: &str) -> String {
    format!("/client/v4/accounts/{ACCOUNT}/storage/kv/namespaces{rest}")
}

fn last(kv: &Kv) -> Request {
    kv.fake.assert_conforming();
    kv.fake.requests().pop().unwrap()
}

#[tokio::test]
async fn values_of_any_bytes_are_written_read_and_deleted() {
    let kv = Kv::start();
    for (name, value) in
        [("text", "é✓".as_bytes()), ("bytes", &[0, 0xff, 0x80, b'\r', b'\n']), ("empty", &[])]
    {
        let key = key(name);
        assert_eq!(kv.client.get(&key).await, Ok(None));
        assert_eq!(kv.client.put(&key, value.to_vec(), LONG).await, Ok(()));
        assert_eq!(last(&kv).body, value);
        assert_eq!(kv.client.get(&key).await, Ok(Some(value.to_vec())));
        assert_eq!(kv.client.delete(&key).await, Ok(()));
        assert_eq!(kv.client.delete(&key).await, Ok(()), "deleting a missing key is not an error");
        assert_eq!(kv.client.get(&key).await, Ok(None));
    }
    kv.fake.assert_conforming();
}

#[tokio::test]
async fn a_put_has_its_value_and_lifetime() {
    let kv = Kv::start();
    kv.client.put(&key("k"), b"v".to_vec(), Duration::from_millis(90_500)).await.unwrap();
    let request = last(&kv);
    let target = path(&format!("/{NAMESPACE}/values/k?expiration_ttl=91"));
    assert_eq!((request.method.as_str(), request.target), ("PUT", target));
    assert_eq!(header(&request_of(&kv), "authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(header(&request_of(&kv), "content-type"), Some("application/octet-stream"));
    assert!(header(&request_of(&kv), "user-agent").unwrap().starts_with("chatchonk/"));

    kv.hand.advance(Duration::from_secs(90));
    assert_eq!(kv.client.get(&key("k")).await, Ok(Some(b"v".to_vec())));
    kv.hand.advance(Duration::from_secs(1));
    assert_eq!(kv.client.get(&key("k")).await, Ok(None));
    kv.client.put(&key("short"), b"v".to_vec(), Duration::ZERO).await.unwrap();
    assert!(last(&kv).target.ends_with("?expiration_ttl=60"), "Cloudflare refuses a shorter lifetime");
}

fn request_of(kv: &Kv) -> Request {
    kv.fake.requests().into_iter().find(|request| request.call == Call::Put).unwrap()
}

#[tokio::test]
async fn a_key_is_encoded_once_as_one_segment() {
    let kv = Kv::start();
    let name = "chatchonk:production:catalogue.1:a_b-c..d";
    kv.fake.plant(name, b"v");
    assert_eq!(kv.client.get(&key(name)).await, Ok(Some(b"v".to_vec())));
    let segment = "chatchonk%3Aproduction%3Acatalogue.1%3Aa_b-c..d";
    assert_eq!(last(&kv).target, path(&format!("/{NAMESPACE}/values/{segment}")));
    let longest = ":".repeat(512);
    assert_eq!(kv.client.put(&key(&longest), Vec::new(), LONG).await, Ok(()));
    assert_eq!(kv.fake.value(&longest), Some(Vec::new()));
    kv.fake.assert_conforming();
}

#[tokio::test]
async fn many_pairs_are_sent_in_one_call_as_base64() {
    let kv = Kv::start();
    let pairs = [pair("a:1", "é".as_bytes()), pair("b:2", &[0xff, 0])];
    assert_eq!(kv.client.put_many(&pairs).await, Ok(Vec::new()));
    let request = last(&kv);
    assert_eq!((request.method.as_str(), &request.target), ("PUT", &path(&format!("/{NAMESPACE}/bulk"))));
    assert_eq!(header(&request, "content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let seconds = LONG.as_secs();
    let expected = json!([
        {"key": "a:1", "value": "é", "base64": false, "expiration_ttl": seconds},
        {"key": "b:2", "value": "/wA=", "base64": true, "expiration_ttl": seconds},
    ]);
    assert_eq!(body, expected);
    for pair in &pairs {
        assert_eq!(kv.client.get(&pair.key).await, Ok(Some(pair.value.clone())));
    }
    assert_eq!(kv.fake.used_today().writes, 2, "each pair is a write");
}

#[tokio::test]
async fn rejected_keys_are_returned() {
    let kv = Kv::start();
    kv.client.put(&key("b"), b"1".to_vec(), LONG).await.unwrap();
    let pairs = [pair("a", b"2"), pair("b", b"2"), pair("c", b"2")];
    assert_eq!(kv.client.put_many(&pairs).await, Ok(vec![key("b")]), "written within the last second");
    assert_eq!(kv.fake.value("b"), Some(b"1".to_vec()));
    kv.hand.advance(Duration::from_secs(1));
    assert_eq!(kv.client.put_many(&pairs[1..2]).await, Ok(Vec::new()));
    assert_eq!(kv.fake.value("b"), Some(b"2".to_vec()));
    kv.fake.assert_conforming();
}

#[tokio::test]
async fn many_keys_are_deleted_in_one_call() {
    let kv = Kv::start();
    kv.fake.plant("a", b"1");
    kv.fake.plant("b", b"1");
    assert_eq!(kv.client.delete_many(&[key("a"), key("b"), key("absent")]).await, Ok(Vec::new()));
    let request = last(&kv);
    assert_eq!(
        (request.method.as_str(), &request.target),
        ("POST", &path(&format!("/{NAMESPACE}/bulk/delete")))
    );
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), json!(["a", "b", "absent"]));
    assert_eq!((kv.fake.value("a"), kv.fake.value("b")), (None, None));
}

#[tokio::test]
async fn requests_that_kv_cannot_accept_are_not_sent() {
    let kv = Kv::start();
    assert_eq!(kv.client.put_many(&[]).await, Ok(Vec::new()));
    assert_eq!(kv.client.delete_many(&[]).await, Ok(Vec::new()));
    let too_large = KvErrorClass::Failure(KvFailure::TooLarge);
    let value = vec![b'0'; (25 << 20) + 1];
    let refused = kv.client.put(&key("k"), value.clone(), LONG).await.unwrap_err();
    assert_eq!((refused.class, refused.status), (too_large, None));
    assert_eq!(kv.client.put_many(&[pair("k", &value)]).await.unwrap_err().class, too_large);
    // The value exceeds the limit once it is encoded as base64.
    assert_eq!(kv.client.put_many(&[pair("k", &vec![0xff; 20 << 20])]).await.unwrap_err().class, too_large);
    let keys = vec![key("k"); 10_001];
    assert_eq!(kv.client.delete_many(&keys).await.unwrap_err().class, too_large);
    assert!(kv.fake.requests().is_empty());
}

#[tokio::test]
async fn the_namespace_and_its_siblings_are_queried() {
    let kv = Kv::start();
    let expected = KvNamespace { id: NAMESPACE.to_owned(), title: TITLE.to_owned() };
    assert_eq!(kv.client.probe().await, Ok(expected.clone()));
    assert_eq!(last(&kv).target, path(&format!("/{NAMESPACE}")));
    assert_eq!(kv.client.namespaces().await, Ok(vec![expected]));
    assert_eq!(last(&kv).target, path("?per_page=100&order=title"));
    assert_eq!(kv.fake.used_today().reads, 0);
}

#[tokio::test]
async fn user_tokens_and_account_tokens_are_verified() {
    let kv = Kv::start();
    for (token, expected, calls) in [
        (Token::OfUser, Ok(TokenStatus::Active), [1, 0]),
        (Token::OfAccount, Ok(TokenStatus::Active), [2, 1]),
        (Token::Disabled, Ok(TokenStatus::Disabled), [3, 1]),
        (Token::Expired, Ok(TokenStatus::Expired), [4, 1]),
        (Token::Unknown, Err(KvErrorClass::Permission), [5, 2]),
    ] {
        kv.fake.quirks(|quirks| quirks.token = token);
        let verdict = kv.client.verify_token().await.map_err(|error| error.class);
        assert_eq!(verdict, expected, "{token:?}");
        assert_eq!([kv.fake.calls(Call::VerifyOfUser), kv.fake.calls(Call::VerifyOfAccount)], calls);
    }
    kv.fake.assert_conforming();
}

#[tokio::test]
async fn a_token_is_not_verified_behind_another_base_url() {
    let kv = Kv::start();
    let elsewhere = format!("{}/behind/a/proxy", kv.fake.base_url());
    let verdict = kv.client_with(&[("CLOUDFLARE_KV_BASE_URL", &elsewhere)]).verify_token().await;
    assert_eq!(verdict, Ok(TokenStatus::Skipped));
    assert!(TokenStatus::Skipped.to_string().contains("CLOUDFLARE_KV_BASE_URL"));
    assert!(kv.fake.requests().is_empty());
}
