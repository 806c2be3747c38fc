//! A real browser: headless Chromium, driven over `WebDriver` (<https://www.w3.org/TR/webdriver2/>).
//!
//! `TEST_BROWSER=chromium` requires it. Without that variable, a machine without `chromedriver` skips the tests of the
//! page and says so in one line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use reqwest::Method;
use serde_json::{Value, json};

use super::postgres::setting;
use super::server::{client, eventually};

/// The key of an element in `WebDriver`'s JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Keys without a character, as `WebDriver` encodes them.
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const ESCAPE: &str = "\u{e00c}";
pub(crate) const SPACE: &str = " ";

/// A browser window. It ends with all its processes when dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    driver: Child,
    session: String,
    client: reqwest::Client,
}

impl Browser {
    /// Opens a window of this width; `None` on a machine without a browser, unless one is required.
    pub(crate) async fn open(width: u32) -> Option<Self> {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let mut driver = match (driver, setting("TEST_BROWSER").as_deref()) {
            (Ok(driver), _) => driver,
            (Err(error), Some(demanded)) => panic!("TEST_BROWSER={demanded}, but chromedriver: {error}"),
            (Err(error), None) => {
                // Not with `eprintln!`, whose output the test harness hides while tests pass.
                let line = format!(
                    "tests: the status page is not tested in a browser, since chromedriver: {error}\n"
                );
                let _ = std::io::stderr().write_all(line.as_bytes());
                return None;
            }
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port = lines.find_map(|line| {
            line.split_once("started successfully on port ")
                .map(|(_, port)| port.trim_end_matches('.').to_owned())
        });
        let base = format!("http://127.0.0.1:{}/session", port.expect("chromedriver does not start"));
        let mut arguments = vec![
            "--headless=new".to_owned(),
            format!("--window-size={width},900"),
            "--no-first-run".to_owned(),
        ];
        // A container has little shared memory, and Chromium's sandbox refuses root.
        arguments.push("--disable-dev-shm-usage".to_owned());
        if geteuid().is_root() {
            arguments.push("--no-sandbox".to_owned());
        }
        let mut browser = Self { driver, session: base.clone(), client: client() };
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let session = browser.call(Method::POST, "", wanted).await;
        browser.session = format!("{base}/{}", session["sessionId"].as_str().unwrap());
        // A window cannot be narrower than 500 pixels; an emulated device can.
        let device = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        browser.devtools("Emulation.setDeviceMetricsOverride", device).await;
        Some(browser)
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.json(&body);
        }
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{method} {path}: {answer}");
        answer["value"].clone()
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.call(Method::POST, "/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// Emulates a user who prefers `dark` or `light`.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Blocks these addresses, such as `*/api/models*`, and no others.
    pub(crate) async fn block(&self, addresses: &[&str]) {
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.setBlockedURLs", json!({ "urls": addresses })).await;
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) async fn go(&self, address: &str) {
        self.call(Method::POST, "/url", json!({ "url": address })).await;
    }

    /// Returns the result of this JavaScript.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.call(Method::POST, "/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Returns the text of the first element that matches the selector.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let text = self.run(&format!("return document.querySelector({selector:?})?.innerText ?? ''")).await;
        text.as_str().unwrap().to_owned()
    }

    /// Waits until the script returns true.
    pub(crate) async fn until(&self, script: &str) {
        let polling = eventually(async || self.run(script).await == true);
        let came = tokio::time::timeout(Duration::from_secs(30), polling).await.is_ok();
        assert!(came, "{script} did not come true: {}", self.text("body").await);
    }

    /// Waits until the first element that matches the selector contains this text.
    pub(crate) async fn until_text(&self, selector: &str, text: &str) {
        self.until(&format!(
            "return document.querySelector({selector:?})?.innerText.includes({text:?}) ?? false"
        ))
        .await;
    }

    /// Clicks the element as a mouse would.
    pub(crate) async fn click(&self, selector: &str) {
        let found = json!({ "using": "css selector", "value": selector });
        let element = self.call(Method::POST, "/element", found).await;
        let id = element[ELEMENT].as_str().unwrap();
        self.call(Method::POST, &format!("/element/{id}/click"), json!({})).await;
    }

    /// Sends keys to the focused element.
    pub(crate) async fn press(&self, keys: &str) {
        let key = |key: char| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        };
        let actions: Vec<_> = keys.chars().flat_map(key).collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.call(Method::POST, "/actions", actions).await;
    }

    /// Returns the roles of controls that have no accessible name.
    pub(crate) async fn nameless_controls(&self) -> Vec<String> {
        let tree = self.devtools("Accessibility.getFullAXTree", json!({})).await;
        let controls = ["button", "checkbox", "combobox", "link", "searchbox", "spinbutton", "textbox"];
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            controls.contains(&role) && node["name"]["value"].as_str().unwrap_or_default().trim().is_empty()
        });
        nodes.filter(|node| node["ignored"] != true).map(ToString::to_string).collect()
    }

    /// Returns the console's warnings and errors since the last call.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let entries = self.log("browser").await;
        let complaints =
            entries.into_iter().filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG");
        complaints.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns every address that the page has requested since the last call.
    pub(crate) async fn requested(&self) -> Vec<String> {
        let entries = self.log("performance").await;
        let event = |entry: Value| serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap();
        let sent = entries
            .into_iter()
            .map(event)
            .filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["message"]["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.call(Method::POST, "/se/log", json!({ "type": kind })).await;
        log.as_array().unwrap().clone()
    }

    /// Ends it in order.
    pub(crate) async fn close(self) {
        self.call(Method::DELETE, "", Value::Null).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its Chromium is in the same group and does not end with it.
        let group = Pid::from_raw(self.driver.id().try_into().unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.driver.wait();
    }
}
