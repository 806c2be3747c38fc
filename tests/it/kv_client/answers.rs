//! Cloudflare's answers, and the client's interpretation of them.

use std::time::Duration;

use chatchonk::kv_client::KvErrorClass::{Configuration, Permission, Quota, Throttled};
use chatchonk::kv_client::KvMisconfiguration::{Account, Namespace, Request};

use crate::support::kv::fake::{Access, Call, Daily, Fault};
use crate::support::kv::{Kv, LONG, key, pair};

#[tokio::test]
async fn a_wrong_namespace_names_its_variable_and_is_no_miss() {
    let kv = Kv::start();
    let unknown = "f".repeat(32);
    for (id, status, code) in [(unknown.as_str(), 404, 10_013), ("chatchonk", 400, 10_011)] {
        let client = kv.client_with(&[("CLOUDFLARE_KV_NAMESPACE_ID", id)]);
        for error in [client.get(&key("k")).await.unwrap_err(), client.probe().await.unwrap_err()] {
            assert_eq!(error.class, Configuration(Namespace));
            assert_eq!((error.status, error.code), (Some(status), Some(code)));
            assert_eq!(error.reason(), "Namespace not found");
            assert!(error.remedy().contains("CLOUDFLARE_KV_NAMESPACE_ID"));
            let ray = error.ray.as_deref().unwrap();
            let shown = format!("Namespace not found (status {status}, code {code}, ray {ray})");
            assert_eq!(error.to_string(), shown);
        }
        assert_eq!(client.namespaces().await.unwrap().len(), 1, "the message can name the right id");
    }
}

#[tokio::test]
async fn a_wrong_account_differs_from_a_wrong_namespace() {
    let kv = Kv::start();
    let origin = kv.fake.base_url().split("/client/").next().unwrap().to_owned();
    for (rest, code) in [("/client/v4/accounts/unknown", 7_003), ("", 10_404), ("/client/v4/accounts", 7_000)]
    {
        let client = kv.client_with(&[("CLOUDFLARE_KV_BASE_URL", &format!("{origin}{rest}"))]);
        let error = client.get(&key("k")).await.unwrap_err();
        assert_eq!((error.class, error.code), (Configuration(Account), Some(code)), "{rest}");
        assert!(error.remedy().contains("CLOUDFLARE_ACCOUNT_ID"));
    }
}

#[tokio::test]
async fn a_token_without_permission_is_forbidden() {
    let kv = Kv::start();
    let wrong = kv.client_with(&[("CLOUDFLARE_API_TOKEN", "wrong")]);
    let error = wrong.get(&key("k")).await.unwrap_err();
    assert_eq!((error.class, error.status, error.code), (Permission, Some(403), Some(10_000)));
    assert!(error.reason().starts_with("403 Forbidden"));
    assert!(error.remedy().contains("CLOUDFLARE_API_TOKEN"));

    kv.fake.quirks(|quirks| quirks.access = Access::Read);
    assert_eq!(kv.client.get(&key("k")).await, Ok(None));
    assert_eq!(kv.client.put(&key("k"), Vec::new(), LONG).await.unwrap_err().class, Permission);
    assert_eq!(kv.client.delete(&key("k")).await.unwrap_err().class, Permission);
    kv.fake.quirks(|quirks| quirks.access = Access::None);
    assert_eq!(kv.client.probe().await.unwrap_err().class, Permission);
    assert!(kv.client.verify_token().await.is_ok(), "the token is still valid");
}

#[tokio::test]
async fn a_spent_quota_stops_its_own_kind_until_midnight() {
    let kv = Kv::start();
    kv.fake.quirks(|quirks| quirks.daily = Daily { reads: 1, writes: 2, deletes: 1 });
    assert_eq!(kv.client.get(&key("k")).await, Ok(None), "a miss counts as a read");
    let error = kv.client.get(&key("k")).await.unwrap_err();
    assert_eq!((error.class, error.status, error.code), (Quota, Some(429), Some(10_048)));
    assert_eq!(kv.client.put_many(&[pair("a", b"1"), pair("b", b"1")]).await, Ok(Vec::new()));
    assert_eq!(kv.client.put(&key("c"), Vec::new(), LONG).await.unwrap_err().class, Quota);
    assert_eq!(kv.client.delete_many(&[key("a"), key("b")]).await.unwrap_err().class, Quota);
    assert_eq!(kv.client.delete(&key("a")).await, Ok(()));
    kv.hand.advance(Duration::from_hours(12));
    assert_eq!(kv.client.get(&key("b")).await, Ok(Some(b"1".to_vec())));
    kv.fake.assert_conforming();
}

#[tokio::test]
async fn the_throttle_is_recognised_by_code_under_any_status() {
    let kv = Kv::start();
    let waits = |seconds: Option<u64>| Throttled { retry_after: seconds.map(Duration::from_secs) };
    for (fault, expected) in [
        (Fault::throttled(Some(17)), waits(Some(17))),
        (Fault::throttled(None), waits(None)),
        (Fault::throttled_under_200(), waits(None)),
        (Fault::Refused { status: 429, code: 1, message: "?", retry_after: Some(3) }, waits(Some(3))),
    ] {
        kv.fake.fail_always(None, fault);
        assert_eq!(kv.client.get(&key("k")).await.unwrap_err().class, expected);
        assert_eq!(kv.client.put(&key("k"), Vec::new(), LONG).await.unwrap_err().class, expected);
        assert_eq!(kv.client.put_many(&[pair("k", b"")]).await.unwrap_err().class, expected);
        assert_eq!(kv.client.probe().await.unwrap_err().class, expected);
    }
}

#[tokio::test]
async fn a_key_written_twice_in_a_second_is_throttled() {
    let kv = Kv::start();
    kv.client.put(&key("k"), b"1".to_vec(), LONG).await.unwrap();
    let error = kv.client.put(&key("k"), b"2".to_vec(), LONG).await.unwrap_err();
    assert_eq!((error.class, error.code), (Throttled { retry_after: None }, None));
}

#[tokio::test]
async fn the_allowance_is_that_of_the_last_answer() {
    let kv = Kv::start();
    assert_eq!(kv.client.allowance(), None);
    kv.fake.quirks(|quirks| quirks.calls = 3);
    kv.client.get(&key("k")).await.unwrap();
    let first = kv.client.allowance().unwrap();
    assert_eq!((first.left, first.quota), (2, Some(3)));
    assert_eq!(first.full_at, kv.clock.now() + Duration::from_mins(5));
    kv.client.get(&key("k")).await.unwrap();
    kv.client.get(&key("k")).await.unwrap();
    let error = kv.client.get(&key("k")).await.unwrap_err();
    assert_eq!(error.class, Throttled { retry_after: Some(Duration::from_mins(5)) });
    assert_eq!(kv.client.allowance().unwrap().left, 0, "refusals carry it too");
    kv.hand.advance(Duration::from_mins(5));
    assert_eq!(kv.client.get(&key("k")).await, Ok(None));
    assert_eq!(kv.client.allowance().unwrap().left, 2);
}

#[tokio::test]
async fn other_refusals_are_faults_of_the_request() {
    let kv = Kv::start();
    for status in [400, 404, 405, 413, 414] {
        let fault = Fault::Refused { status, code: 10_034, message: "Invalid", retry_after: None };
        kv.fake.fail_once(Some(Call::Put), fault);
        let error = kv.client.put(&key("k"), Vec::new(), LONG).await.unwrap_err();
        assert_eq!((error.class, error.code), (Configuration(Request), Some(10_034)));
    }
}

#[tokio::test]
async fn only_a_missing_key_counts_as_already_deleted() {
    let kv = Kv::start();
    let absent = Fault::Refused { status: 404, code: 10_009, message: "'key not found'", retry_after: None };
    kv.fake.fail_always(None, absent);
    assert_eq!(kv.client.get(&key("k")).await, Ok(None));
    assert_eq!(kv.client.delete(&key("k")).await, Ok(()));
    assert_eq!(kv.client.put(&key("k"), Vec::new(), LONG).await.unwrap_err().class, Configuration(Request));
    assert_eq!(kv.client.probe().await.unwrap_err().class, Configuration(Request));
}
