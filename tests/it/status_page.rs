//! The status page at `/`, in a real browser.

mod appearance;
mod trust;

use std::time::Duration;

use chatchonk::clock::Clock;

use crate::support::browser::{Browser, ENTER, ESCAPE, SPACE, TAB};
use crate::support::kv::fake::{FakeKv, Fault};
use crate::support::kv::start;
use crate::support::postgres::database;
use crate::support::proxy::Proxy;
use crate::support::server::{TestServer, eventually};

const LIMIT: Duration = Duration::from_secs(10);

/// Opens the server's page in a window of this width.
async fn page(server: &TestServer, width: u32) -> Option<Browser> {
    let browser = Browser::open(width).await?;
    browser.go(&format!("http://{}/", server.address())).await;
    browser.until_text("#models-told", "118 models").await;
    Some(browser)
}

/// Asserts that the page loaded nothing from elsewhere, and that the console shows no error.
async fn is_clean(browser: &Browser, server: &TestServer) {
    assert_eq!(browser.complaints().await, [""; 0]);
    let own = format!("http://{}/", server.address());
    let requested = browser.requested().await;
    assert!(requested.len() > 10, "{requested:?}");
    let foreign: Vec<_> = requested.iter().filter(|address| !address.starts_with(&own)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

/// Presses Tab until this is true of the focused element `it`.
async fn tab_to(browser: &Browser, wanted: &str) {
    for _ in 0..80 {
        browser.press(TAB).await;
        if browser.run(&format!("const it = document.activeElement; return {wanted}")).await == true {
            return;
        }
    }
    panic!("Tab never leads to {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_outages_and_their_end_within_ten_seconds() {
    let (proxy, kv) = (Proxy::to(&database().await.options()).await, FakeKv::start(Clock::system()).unwrap());
    let server = TestServer::with_kv(&proxy.url(), &kv).await;
    let Some(browser) = page(&server, 1280).await else { return };
    let clock = Clock::system();
    let within = async |selector: &str, text: &str, limit: Duration| {
        let begun = clock.now();
        browser.until_text(selector, text).await;
        let took = clock.now() - begun;
        assert!(took < limit, "{text}: {took:?}");
    };
    browser.until_text("#overall", "All is well").await;

    proxy.cut();
    within("#database-state", "Down", LIMIT).await;
    browser.until_text("#overall", "Degraded").await;
    browser.until_text("#overall-why", "the database cannot be reached").await;
    browser.until_text("#changes", "the database cannot be reached").await;
    proxy.restore();
    browser.until_text("#overall", "All is well").await;
    proxy.hang();
    within("#database-state", "Down", LIMIT).await;
    proxy.restore();
    browser.until_text("#overall", "All is well").await;
    is_clean(&browser, &server).await;
    server.stop().await;

    // The server does not answer: the last state is shown as such.
    within("#overall", "cannot be reached", LIMIT).await;
    assert!(browser.text("#overall-why").await.contains("last known state (all is well)"));
    assert_eq!(browser.text("#database-state").await, "Up");
    assert!(browser.text("#updated").await.ends_with("not current"));

    // KV is used for the first time since the fault when a new server has something to write.
    let (proxy, kv) = (Proxy::to(&database().await.options()).await, FakeKv::start(Clock::system()).unwrap());
    proxy.cut();
    let server = start(&proxy.url(), &kv).await;
    browser.go(&format!("http://{}/", server.address())).await;
    browser.until_text("#kv-state", "Enabled").await;
    // The console has reported the stopped server.
    browser.complaints().await;
    kv.fail_always(None, Fault::Page(503));
    let before = kv.requests().len();
    proxy.restore();
    eventually(async || kv.requests().len() > before).await;
    within("#kv-state", "Unavailable", LIMIT).await;
    browser.until_text("#overall-why", "Cloudflare KV:").await;
    kv.heal();
    browser.until_text("#kv-state", "Enabled").await;
    browser.until_text("#overall", "All is well").await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_usable_by_mouse_by_keyboard_and_on_a_phone() {
    let server = TestServer::seeded(&database().await).await;
    let Some(browser) = page(&server, 360).await else { return };
    let beyond = "const it = document.documentElement; return it.scrollWidth - it.clientWidth";
    assert_eq!(browser.run(beyond).await, 0, "the page scrolls sideways");
    assert_eq!(browser.nameless_controls().await, [""; 0]);

    browser.click("[name=capability][value=vision]").await;
    browser.run("const it = document.querySelector('[name=provider]'); it.value = 'anthropic'; it.dispatchEvent(new Event('input', { bubbles: true }))").await;
    let total =
        server.get("/api/models?provider=anthropic&capability=vision&limit=1").await.json()["total"].clone();
    browser.until_text("#models-told", &format!("{total} models")).await;
    assert!(browser.run("return location.search").await.as_str().unwrap().contains("provider=anthropic"));
    browser.click("[data-sort=price]").await;
    browser
        .until(
            "return document.querySelector('[aria-sort=ascending]')?.innerText.startsWith('Input') ?? false",
        )
        .await;
    let ids = server.get("/api/models?provider=anthropic&capability=vision&sort=price").await.ids();
    let shown =
        "return [...document.querySelectorAll('[data-compare]')].map((it) => it.dataset.compare).join()";
    browser.until(&format!("{} === '{}'", shown, ids.join(","))).await;
    browser.run("const it = document.querySelector('[name=max_input_price]'); it.value = '0,000001'; it.dispatchEvent(new Event('input', { bubbles: true }))").await;
    browser.until_text("#models-hints", "Without max input price").await;
    assert!(
        browser.run("return location.search").await.as_str().unwrap().contains("max_input_price=0.000001")
    );
    browser.click("#models-hints button:last-of-type").await;
    browser.click("button[type=reset]").await;
    browser.until_text("#models-told", "118 models").await;

    // The same without a mouse, from the top of the page.
    browser.go(&format!("http://{}/?kind=chat", server.address())).await;
    browser.until("return document.querySelectorAll('[data-compare]').length > 0").await;
    tab_to(&browser, "it.classList.contains('skip')").await;
    browser.press(ENTER).await;
    tab_to(&browser, "it.id === 'models-q'").await;
    browser.press("claud sonet").await;
    browser.until_text("#models-rows tr", "anthropic/claude-sonnet").await;
    for row in 1..=2 {
        tab_to(&browser, &format!("it === document.querySelectorAll('[data-compare]')[{row} - 1]")).await;
        browser.press(SPACE).await;
    }
    browser.until_text("#compare-count", "2 chosen").await;
    tab_to(&browser, "it.id === 'compare-open'").await;
    browser.press(ENTER).await;
    browser.until_text("#compare", "Side by side").await;
    assert!(browser.text("#compare-rows").await.contains("Cached input"));
    assert_eq!(browser.nameless_controls().await, [""; 0]);
    browser.press(ESCAPE).await;
    browser.until("return !document.querySelector('#compare').open").await;
    is_clean(&browser, &server).await;
    browser.close().await;
    server.stop().await;
}
