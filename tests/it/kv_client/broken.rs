//! Broken connections and answers. These tests wait for real timeouts, since sockets know no other time.

use std::net::TcpListener;
use std::time::Duration;

use chatchonk::clock::Clock;
use chatchonk::kv_client::KvErrorClass::{self, Failure};
use chatchonk::kv_client::KvFailure::{Connect, Malformed, Server, Timeout, TooLarge};

use crate::support::kv::fake::{Call, Fault};
use crate::support::kv::{Kv, LONG, key, pair};

async fn get(kv: &Kv, fault: Fault) -> KvErrorClass {
    kv.fake.fail_once(None, fault);
    kv.client.get(&key("k")).await.unwrap_err().class
}

#[tokio::test]
async fn a_hanging_server_costs_1_s_per_read_and_3_s_per_write() {
    let kv = Kv::start();
    kv.fake.fail_always(None, Fault::Hang);
    let clock = Clock::system();
    let begun = clock.now();
    let timed = |outcome: Result<(), KvErrorClass>| (outcome, clock.now() - begun);
    let (read, probe, write, batch) = tokio::join!(
        async { timed(kv.client.get(&key("k")).await.map(drop).map_err(|error| error.class)) },
        async { timed(kv.client.probe().await.map(drop).map_err(|error| error.class)) },
        async { timed(kv.client.put(&key("k"), Vec::new(), LONG).await.map_err(|error| error.class)) },
        async { timed(kv.client.put_many(&[pair("k", b"")]).await.map(drop).map_err(|error| error.class)) },
    );
    for ((outcome, took), seconds) in [(read, 1), (probe, 1), (write, 3), (batch, 3)] {
        assert_eq!(outcome, Err(Failure(Timeout)));
        let limit = Duration::from_secs(seconds);
        assert!(
            took >= limit && took < limit + Duration::from_millis(1_500),
            "{took:?} instead of {limit:?}"
        );
    }
}

#[tokio::test]
async fn a_stalled_body_times_out_and_a_cut_one_is_malformed() {
    let kv = Kv::start();
    kv.fake.plant("k", &vec![b'v'; 100_000]);
    assert_eq!(get(&kv, Fault::HalfBody).await, Failure(Malformed));
    kv.fake.fail_once(Some(Call::Put), Fault::HalfBody);
    let error = kv.client.put(&key("new"), b"v".to_vec(), LONG).await.unwrap_err();
    assert_eq!(error.class, Failure(Malformed));
    assert!(kv.fake.value("new").is_some(), "a change whose answer is lost may have taken effect");
    kv.fake.fail_once(Some(Call::Probe), Fault::HalfBody);
    assert_eq!(kv.client.probe().await.unwrap_err().class, Failure(Malformed));
    assert_eq!(
        kv.client.get(&key("k")).await.map(|value| value.unwrap().len()),
        Ok(100_000),
        "it works again"
    );
}

#[tokio::test]
async fn broken_and_refused_connections_are_unreachable() {
    let kv = Kv::start();
    assert_eq!(get(&kv, Fault::Reset).await, Failure(Connect));
    assert_eq!(kv.fake.calls(Call::Get), 1, "the client does not retry");

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = kv.client_with(&[("CLOUDFLARE_KV_BASE_URL", &format!("http://{free}"))]);
    let error = client.get(&key("k")).await.unwrap_err();
    assert_eq!((error.class, error.status), (Failure(Connect), None));
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_web_page_is_a_failure_and_never_a_value() {
    let kv = Kv::start();
    for (status, expected) in
        [(200, Malformed), (403, Malformed), (404, Malformed), (502, Server), (524, Server)]
    {
        assert_eq!(get(&kv, Fault::Page(status)).await, Failure(expected), "{status}");
        kv.fake.fail_once(None, Fault::Page(status));
        let error = kv.client.put_many(&[pair("k", b"")]).await.unwrap_err();
        assert_eq!((error.class, error.status), (Failure(expected), Some(status)));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let kv = Kv::start();
    let elsewhere = Kv::start();
    assert_eq!(get(&kv, Fault::Redirect(elsewhere.fake.base_url())).await, Failure(Malformed));
    assert!(elsewhere.fake.requests().is_empty(), "the token would have leaked");
}

#[tokio::test]
async fn an_oversized_answer_is_not_read_to_its_end() {
    let kv = Kv::start();
    for announced in [true, false] {
        assert_eq!(get(&kv, Fault::Endless { announced }).await, Failure(TooLarge));
    }
    let largest = vec![b'0'; 25 << 20];
    kv.fake.plant("largest", &largest);
    assert_eq!(kv.client.get(&key("largest")).await.map(|value| value.unwrap().len()), Ok(largest.len()));
}

#[tokio::test]
async fn a_late_answer_within_the_limit_is_accepted() {
    let kv = Kv::start();
    kv.fake.plant("k", b"v");
    kv.fake.fail_once(Some(Call::Get), Fault::Slow(Duration::from_mins(15)));
    let (name, hand) = (key("k"), kv.hand.clone());
    let mut slow = std::pin::pin!(kv.client.get(&name));
    // Only the fake's clock matters here: it advances until the answer arrives.
    let value = loop {
        tokio::select! {
            value = &mut slow => break value,
            () = tokio::time::sleep(Duration::from_millis(5)) => hand.advance(Duration::from_mins(15)),
        }
    };
    assert_eq!(value, Ok(Some(b"v".to_vec())));
}

#[tokio::test]
async fn a_handshake_that_hangs_costs_half_a_second() {
    let kv = Kv::start();
    // The system accepts the connection, and no answer follows.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("https://{}", silent.local_addr().unwrap());
    let client = kv.client_with(&[("CLOUDFLARE_KV_BASE_URL", &base_url)]);
    let clock = Clock::system();
    let begun = clock.now();
    let error = client.put(&key("k"), Vec::new(), LONG).await.unwrap_err();
    let took = clock.now() - begun;
    assert_eq!((error.class, error.status), (Failure(Timeout), None));
    assert!(took >= Duration::from_millis(500) && took < Duration::from_millis(2_500), "{took:?}");
}

#[tokio::test]
async fn a_peer_without_tls_receives_no_request() {
    let kv = Kv::start();
    let base_url = kv.fake.base_url().replace("http://", "https://");
    let error = kv.client_with(&[("CLOUDFLARE_KV_BASE_URL", &base_url)]).probe().await.unwrap_err();
    assert_eq!((error.class, error.status), (Failure(Connect), None));
    assert!(kv.fake.requests().is_empty());
}
