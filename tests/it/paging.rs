//! Pages show each match once, even if the catalogue changes between pages.

use crate::support::postgres::{database, run};
use crate::support::server::{Answer, TestServer};

const QUERIES: [&str; 8] = [
    "",
    "sort=-provider",
    "sort=-price",
    "sort=release",
    "sort=-context&capability=tools",
    "sort=name&status=active,preview,deprecated,retired",
    "q=gpt",
    "q=mini&sort=-release",
];

fn next_cursor(page: &Answer) -> Option<String> {
    page.json()["next_cursor"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_seven_show_each_match_once_and_in_order() {
    let server = TestServer::seeded(&database().await).await;
    for query in QUERIES {
        let whole = server.get(&format!("/api/models?{query}")).await.ids();
        let (mut seen, mut cursor) = (Vec::new(), Some(String::new()));
        while let Some(after) = cursor {
            let page = server.get(&format!("/api/models?{query}&limit=7&cursor={after}")).await;
            assert!(page.ids().len() == 7 || next_cursor(&page).is_none(), "{query}");
            assert!(!page.ids().is_empty(), "{query}: nothing follows, but there was a cursor");
            seen.extend(page.ids());
            cursor = next_cursor(&page);
        }
        assert_eq!(seen, whole, "{query}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_each_match_once_while_other_rows_change() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    let pool = database.pool().await;
    for query in ["sort=-price", "q=gpt", "sort=provider&provider=openai,mistral"] {
        let whole = server.get(&format!("/api/models?{query}")).await.ids();
        let mut page = server.get(&format!("/api/models?{query}&limit=7")).await;
        let mut seen = page.ids();
        while let Some(cursor) = next_cursor(&page) {
            let revision = page.json()["revision"].as_u64();
            run(&pool, "update chatchonk.task_types set description = description || '.' where id = 'chat'")
                .await;
            let path = format!("/api/models?{query}&limit=7&cursor={cursor}");
            page = server.until(&path, |answer| answer.json()["revision"].as_u64() > revision).await;
            seen.extend(page.ids());
        }
        assert_eq!(seen, whole, "{query}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_survives_deleted_and_added_models() {
    let database = database().await;
    let server = TestServer::seeded(&database).await;
    let pool = database.pool().await;
    let whole = server.get("/api/models?sort=name&provider=openai").await.ids();
    let page = server.get("/api/models?sort=name&provider=openai&limit=7").await;
    let cursor = next_cursor(&page).unwrap();
    let last = page.ids().pop().unwrap();
    sqlx::query("delete from chatchonk.models where id = $1").bind(&last).execute(&pool).await.unwrap();
    run(
        &pool,
        "insert into chatchonk.models (id, provider, provider_model_id, name, kind) \
         values ('openai/first', 'openai', 'first', '!', 'chat')",
    )
    .await;
    let path = format!("/api/models?sort=name&provider=openai&cursor={cursor}");
    let revised = |answer: &Answer| answer.json()["total"] == whole.len();
    server.until("/api/models?ids=openai/first", |answer| answer.json()["total"] == 1).await;
    let rest = server.until(&path, revised).await;
    assert_eq!(rest.ids(), whole[7..]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_page_has_no_cursor_at_an_exact_limit() {
    let server = TestServer::seeded(&database().await).await;
    for (limit, shown, more) in [(1, 1, true), (117, 117, true), (118, 118, false), (1000, 118, false)] {
        let page = server.get(&format!("/api/models?limit={limit}")).await;
        assert_eq!((page.ids().len(), next_cursor(&page).is_some()), (shown, more), "{limit}");
    }
    // A cursor is bound to filters and order, but not to fields and limit.
    let cursor = next_cursor(&server.get("/api/models?limit=5&kind=chat").await).unwrap();
    let page =
        server.get(&format!("/api/models?limit=2&kind=chat&fields=id&facets=true&cursor={cursor}")).await;
    assert_eq!((page.status, page.ids().len()), (200, 2));
    server.stop().await;
}
