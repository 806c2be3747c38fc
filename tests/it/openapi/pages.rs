//! The HTML pages of the API reference.

use chatchonk::http::Code;

use super::{document, operations};
use crate::support::postgres::database;
use crate::support::server::TestServer;

/// Returns the values of an attribute in a page.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    let rest = page.match_indices(&start).map(|(at, found)| &page[at + found.len()..]);
    rest.map(|rest| rest.split('"').next().unwrap()).collect()
}

async fn page(server: &TestServer, path: &str) -> String {
    let answer = server.get(path).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
    let policy = answer.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self';") && !policy.contains("unsafe"),
        "{policy}"
    );
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_load_only_from_this_server_and_links_work() {
    let server = TestServer::seeded(&database().await).await;
    for path in ["/api/docs", "/api/docs/errors"] {
        let page = page(&server, path).await;
        assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("<img"), "{path}");
        assert_eq!(attributes(&page, "src"), [""; 0]);
        let ids = attributes(&page, "id");
        let links = attributes(&page, "href");
        assert!(links.len() > 20, "{path}");
        for link in links {
            match link.strip_prefix('#') {
                Some(id) => assert!(ids.contains(&id), "{path}: {link}"),
                None => {
                    assert!(
                        link == "/" || link.starts_with("/api/") || link.starts_with("/v1/"),
                        "{path}: {link}"
                    );
                    // This includes examples of client errors, but no server error.
                    let answer = server.send_raw("GET", &link.replace("&amp;", "&"), "").await;
                    assert!(answer.status < 500, "{path}: {link}");
                }
            }
        }
    }
    let style = server.get("/api/docs/style.css").await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    let style = String::from_utf8(style.body).unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_example_has_an_address_that_provokes_it() {
    let server = TestServer::seeded(&database().await).await;
    let page = page(&server, "/api/docs/errors").await;
    let mut followed = 0;
    for code in Code::NAMES {
        let section = page.split(&format!("<section id=\"{code}\">")).nth(1).unwrap();
        for link in attributes(section.split("</section>").next().unwrap(), "href") {
            let answer = server.send_raw("GET", &link.replace("&amp;", "&"), "").await;
            assert_eq!(answer.json()["code"], *code, "{link}");
            followed += 1;
        }
    }
    assert_eq!(followed, 9);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_shows_every_operation_parameter_and_type() {
    let server = TestServer::seeded(&database().await).await;
    let page = page(&server, "/api/docs").await;
    let document = document();
    let ids = attributes(&page, "id");
    for (path, operation) in operations(&document) {
        assert!(ids.contains(&operation["operationId"].as_str().unwrap()), "{path}");
        assert!(page.contains(&format!("<code>GET {path}</code>")), "{path}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(
                page.contains(&format!("<code>{}</code>", parameter["name"].as_str().unwrap())),
                "{parameter}"
            );
        }
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(ids.contains(&name.as_str()), "{name}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_of_every_error_links_to_its_explanation() {
    let server = TestServer::seeded(&database().await).await;
    for code in Code::NAMES {
        let page = page(&server, "/api/docs/errors").await;
        let section = page.split(&format!("<section id=\"{code}\">")).nth(1).unwrap();
        let section = section.split("</section>").next().unwrap();
        assert!(
            section.contains(&format!("&quot;code&quot;: &quot;{code}&quot;")),
            "{code}: no example of it"
        );
    }
    let problem = server.get("/api/nothing").await.problem(404, "route_not_found");
    let (path, id) = problem["type"].as_str().unwrap().split_once('#').unwrap();
    assert!(attributes(&page(&server, path).await, "id").contains(&id));
    server.stop().await;
}
