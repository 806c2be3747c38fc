//! The token goes to Cloudflare only.

use chatchonk::kv_client::KvSettings;
use tracing::level_filters::LevelFilter;

use crate::support::kv::fake::{Fault, TOKEN};
use crate::support::kv::{Kv, LONG, connection, key, pair};
use crate::support::log::Captured;

/// On one thread, whose log is captured.
#[tokio::test(flavor = "current_thread")]
async fn the_token_is_in_no_log_no_error_and_no_debug_output() {
    let (log, guard) = Captured::here(LevelFilter::TRACE);
    let kv = Kv::start();
    let mut printed = vec![format!("{:?}", KvSettings::Configured(connection(&kv.fake, &[])))];
    printed.push(format!("{:?} {:?}", kv.client, kv.client.verify_token().await));
    for fault in [
        Fault::forbidden(),
        Fault::throttled(None),
        // Parts of the request that an answer repeats are not logged.
        Fault::Refused { status: 400, code: 6_003, message: TOKEN, retry_after: None },
        Fault::Redirect(format!("https://kv.example/{TOKEN}")),
        Fault::Page(502),
        Fault::Reset,
        Fault::HalfBody,
    ] {
        kv.fake.fail_always(None, fault);
        let get = kv.client.get(&key("k")).await.unwrap_err();
        let put = kv.client.put(&key("k"), Vec::new(), LONG).await.unwrap_err();
        let put_many = kv.client.put_many(&[pair("k", b"")]).await.unwrap_err();
        for error in [get, put, put_many] {
            tracing::warn!(%error, remedy = error.remedy(), "{error:?}");
            printed.push(format!("{error} {error:?} {error:#?} {}", error.reason()));
        }
        kv.fake.heal();
    }
    drop(guard);
    let logged = log.lines().concat();
    assert!(logged.contains("403 Forbidden"), "the failure was logged");
    for text in [printed.concat(), logged] {
        assert!(!text.contains(TOKEN), "{text}");
        assert!(!text.contains("Bearer"), "{text}");
    }
}
