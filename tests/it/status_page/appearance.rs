//! Resources that the status page may load, and its readability.

use chatchonk::clock::Clock;

use super::page;
use crate::support::browser::Browser;
use crate::support::kv::fake::FakeKv;
use crate::support::postgres::database;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;

/// Functions for contrast as defined by WCAG 2, and for pairs of selectors: the colour of the first element's
/// `property` against the background of the second.
const CONTRASTS: &str = "
    const channels = (color) => color.match(/[\\d.]+/g).slice(0, 3).map((it) => it / 255);
    const linear = (it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
    const luminance = (color) => {
      const [red, green, blue] = channels(color).map(linear);
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const of = (selector, property) => luminance(getComputedStyle(document.querySelector(selector))[property]);
    const pairs = [
      ['body', 'color', 'body'], ['footer', 'color', 'body'], ['.card dt', 'color', '.card'],
      ['.card small', 'color', '.card'], ['.card h2', 'color', '.card'], ['.card a', 'color', '.card'],
      ['#overall', 'color', '.overall'], ['#models-q', 'color', '#models-q'],
      ['#models-q', 'borderTopColor', '.card'],
    ];
    return pairs.map(([selector, property, ground]) => {
      const [one, other] = [of(selector, property), of(ground, 'backgroundColor')].sort((a, b) => b - a);
      const least = property === 'color' ? 4.5 : 3;
      const ratio = (one + 0.05) / (other + 0.05);
      return ratio >= least ? '' : `${selector} ${property}: ${ratio.toFixed(2)}`;
    }).filter(Boolean)";

async fn illegible(browser: &Browser) -> Vec<String> {
    serde_json::from_value(browser.run(CONTRASTS).await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_policy_allows_only_resources_of_this_server() {
    let server = TestServer::on(&database().await).await;
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    for path in ["/", "/page/main.js", "/page/style.css"] {
        assert_eq!(server.get(path).await.header("content-security-policy"), policy, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_and_input_borders_have_contrast_in_both_themes() {
    let server = TestServer::seeded(&database().await).await;
    let Some(browser) = page(&server, 1280).await else { return };
    browser.until_text("#overall", "All is well").await;
    let schemes = ["light", "dark"];
    for scheme in schemes {
        browser.prefer(scheme).await;
        let ground = "return getComputedStyle(document.body).backgroundColor";
        let expected = if scheme == "dark" { "rgb(13, 15, 18)" } else { "rgb(246, 246, 247)" };
        assert_eq!(browser.run(ground).await, expected);
        assert_eq!(illegible(&browser).await, [""; 0], "{scheme}");
    }
    server.stop().await;
    browser.until_text("#overall", "cannot be reached").await;
    for scheme in schemes {
        browser.prefer(scheme).await;
        assert_eq!(illegible(&browser).await, [""; 0], "{scheme}, unreachable");
        // A translucent element is paler than its colour says.
        let pale = "return [...document.querySelectorAll('.card')].filter((it) => getComputedStyle(it).opacity !== '1').length";
        assert_eq!(browser.run(pale).await, 0, "{scheme}");
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_fits_a_phone() {
    let (proxy, kv) = (Proxy::to(&database().await.options()).await, FakeKv::start(Clock::system()).unwrap());
    let server = TestServer::with_kv(&proxy.url(), &kv).await;
    let Some(browser) = page(&server, 360).await else { return };
    let beyond = "const it = document.documentElement; return it.scrollWidth - it.clientWidth";
    browser.until_text("#overall", "All is well").await;
    proxy.cut();
    browser.until_text("#overall-why", "the database cannot be reached").await;
    browser.until_text("#changes", "the database cannot be reached").await;
    assert_eq!(browser.run(beyond).await, 0, "the page scrolls sideways while the database is away");
    server.stop().await;
    browser.until_text("#overall", "cannot be reached").await;
    assert_eq!(browser.run(beyond).await, 0, "the page scrolls sideways while the server is away");
    browser.close().await;
}
