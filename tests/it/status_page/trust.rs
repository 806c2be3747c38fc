//! The status page shows only what it knows, whatever answers it gets.

use chatchonk::domain::provider::ProviderStatus;

use super::{is_clean, page};
use crate::support::browser::Browser;
use crate::support::postgres::database;
use crate::support::server::TestServer;

/// Simulates switching to another tab, or back.
async fn hide(browser: &Browser, is_hidden: bool) {
    let script = format!(
        "Object.defineProperty(document, 'hidden', {{ value: {is_hidden}, configurable: true }});
        document.dispatchEvent(new Event('visibilitychange'))"
    );
    browser.run(&script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_tab_reports_no_outage_and_polls_when_shown() {
    let server = TestServer::seeded(&database().await).await;
    let Some(browser) = page(&server, 1280).await else { return };
    browser.until_text("#overall", "All is well").await;
    // Records every title and sentence, however short-lived.
    browser
        .run(
            "window.seen = [];
            const record = () => seen.push(document.title, document.querySelector('#overall').textContent);
            new MutationObserver(record).observe(document, { subtree: true, childList: true, characterData: true })",
        )
        .await;
    let age = "Number(document.querySelector('#updated').textContent.match(/^([0-9]+) s ago$/)?.[1])";
    hide(&browser, true).await;
    // The page stops its requests, then twenty seconds pass.
    browser.until(&format!("return {age} >= 3")).await;
    browser.run("const now = Date.now; Date.now = () => now.call(Date) + 20_000").await;
    browser.until(&format!("return {age} >= 23")).await;
    assert_eq!(browser.run("return document.title").await, "● All is well · ChatChonk");
    hide(&browser, false).await;
    browser.until(&format!("return {age} <= 2")).await;
    let seen = browser.run("return [...new Set(seen)].sort()").await;
    assert_eq!(seen, serde_json::json!(["All is well", "● All is well · ChatChonk"]));
    is_clean(&browser, &server).await;
    browser.close().await;
    server.stop().await;
}

/// Replaces the health that the page receives by a JavaScript expression, in which `health` is the true answer.
async fn forge(browser: &Browser, answer: &str) {
    let script = format!(
        "window.unforged ??= window.fetch;
        window.fetch = async (path, options) => {{
          const response = await unforged(path, options);
          if (path !== '/api/health') return response;
          const health = await response.json();
          return Response.json({answer});
        }}"
    );
    browser.run(&script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_answer_is_reported_and_polling_goes_on() {
    let server = TestServer::seeded(&database().await).await;
    let Some(browser) = page(&server, 1280).await else { return };
    browser.until_text("#overall", "All is well").await;
    forge(&browser, "{ service: health.service, status: 'healthy', commit: health.commit }").await;
    browser.until_text("#overall", "not understood").await;
    assert_eq!(browser.run("return document.title").await, "■ Not understood · ChatChonk");
    forge(&browser, "health").await;
    browser.until_text("#overall", "All is well").await;
    forge(&browser, "{ ...health, service: 'another' }").await;
    browser.until_text("#overall", "not understood").await;
    forge(&browser, "health").await;
    browser.until_text("#overall", "All is well").await;
    assert!(!browser.complaints().await.is_empty(), "the console reports no error");
    browser.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_release_reloads_the_page() {
    let server = TestServer::seeded(&database().await).await;
    let Some(browser) = page(&server, 1280).await else { return };
    browser.until_text("#overall", "All is well").await;
    forge(&browser, "{ ...health, commit: '0123456789abcdef' }").await;
    browser.until("return window.unforged === undefined").await;
    browser.until_text("#overall", "All is well").await;
    // The page reloads once, since two releases may answer in turn.
    forge(&browser, "{ ...health, commit: '0123456789abcdef' }").await;
    browser.until_text("#version", "01234567").await;
    assert_eq!(browser.run("return window.unforged !== undefined").await, true);
    is_clean(&browser, &server).await;
    browser.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_fails_at_first_is_shown_later() {
    let server = TestServer::seeded(&database().await).await;
    let Some(browser) = Browser::open(1280).await else { return };
    browser.block(&["*/api/models*"]).await;
    browser.go(&format!("http://{}/", server.address())).await;
    browser.until_text("#models-told", "cannot be had").await;
    browser.until_text("#overall", "All is well").await;
    browser.block(&[]).await;
    browser.until_text("#models-told", "118 models").await;
    browser.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_follow_their_provider_and_keep_the_focus() {
    let server = TestServer::seeded(&database().await).await;
    let Some(browser) = page(&server, 1280).await else { return };
    browser.go(&format!("http://{}/?provider=openai", server.address())).await;
    browser.until("return document.querySelectorAll('[data-compare]').length > 0").await;
    browser.until_text("#providers", "OpenAI").await;
    let focus =
        "return document.activeElement.dataset.compare ?? document.activeElement.getAttribute('href')";
    for selector in ["#providers a[href*='=openai#']", "#models-rows [data-compare]"] {
        browser.run(&format!("document.querySelector({selector:?}).focus()")).await;
        let focused = browser.run(focus).await;
        assert!(focused.is_string(), "{selector}");
        for (status, kind) in [(ProviderStatus::Down, "bad"), (ProviderStatus::Healthy, "good")] {
            server.set_providers(&[("openai", status)]);
            let shown = |place: &str| format!("document.querySelector('{place} .state[data-state={kind}]')");
            browser.until(&format!("return {} !== null", shown("#models-rows"))).await;
            assert_eq!(browser.run(focus).await, focused, "{selector}, {kind}");
        }
    }
    browser.until_text("#changes th", "OpenAI").await;
    is_clean(&browser, &server).await;
    browser.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_answers_are_not_sent_again() {
    let server = TestServer::seeded(&database().await).await;
    let Some(browser) = page(&server, 1280).await else { return };
    // The body is from the browser's cache: by the standard, headers count as 300 bytes, and nothing else was sent.
    let again = |path: &str| {
        format!(
            "return performance.getEntriesByType('resource').some((it) => new URL(it.name).pathname === '{path}'
            && it.transferSize === 300 && it.encodedBodySize > 0)"
        )
    };
    browser.until(&again("/api/status")).await;
    for _ in 0..3 {
        browser.click("[data-sort=name]").await;
    }
    browser.until_text("#models-told", "118 models").await;
    browser.until(&again("/api/models")).await;
    is_clean(&browser, &server).await;
    browser.close().await;
    server.stop().await;
}
