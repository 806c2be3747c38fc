//! Single models and providers by their address, and the lists of providers and tasks.

use chatchonk::domain::seed::Seed;
use serde_json::Value;

use crate::support::postgres::database;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn ids_with_slashes_and_colons_resolve_raw_and_percent_encoded() {
    let server = TestServer::seeded(&database().await).await;
    for (id, paths) in [
        (
            "openai/gpt-6-astra",
            vec!["openai/gpt-6-astra", "openai%2Fgpt-6-astra", "openai%2fgpt%2D6%2Dastra"],
        ),
        (
            "openrouter/openai/gpt-oss-120b:free",
            vec![
                "openrouter/openai/gpt-oss-120b:free",
                "openrouter/openai/gpt-oss-120b%3Afree",
                "openrouter%2Fopenai%2Fgpt-oss-120b%3Afree",
                "openrouter%2fopenai/gpt-oss-120b%3afree",
            ],
        ),
        (
            "huggingface/zai-org/GLM-5.2",
            vec!["huggingface%2Fzai-org/GLM-5.2", "huggingface/zai-org%2FGLM-5%2E2"],
        ),
    ] {
        for path in paths {
            for route in ["/api/models/", "/v1/models/"] {
                let item = server.send_raw("GET", format!("{route}{path}"), "").await;
                assert_eq!((item.status, &item.json()["id"]), (200, &id.into()), "{route}{path}");
            }
            let cost = server.send_raw("GET", format!("/api/models/{path}/cost"), "").await;
            assert_eq!(cost.status, 200, "{path}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_slash_belongs_to_the_id_not_to_the_route() {
    let server = TestServer::seeded(&database().await).await;
    for (path, code) in [
        ("/api/models/openai/gpt-6-astra%2Fcost", "model_not_found"),
        ("/api/providers/openai%2Fmodels", "provider_not_found"),
    ] {
        server.send_raw("GET", path, "").await.problem(404, code);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_decoded_exactly_once() {
    let server = TestServer::seeded(&database().await).await;
    for path in ["openai%252Fgpt-6-astra", "openai/gpt-6-%%361stra", "openai/%2567pt-6-astra"] {
        server.send_raw("GET", format!("/api/models/{path}"), "").await.problem(404, "model_not_found");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_may_be_percent_encoded_anywhere() {
    let server = TestServer::seeded(&database().await).await;
    for path in ["/api/%6Dodels/openai/gpt-6-astra", "/v1/mode%6Cs/openai/gpt-6-astra"] {
        let item = server.send_raw("GET", path, "").await;
        assert_eq!((item.status, &item.json()["id"]), (200, &"openai/gpt-6-astra".into()), "{path}");
    }
    for path in ["/api/provider%73/openai", "/%61pi/providers/open%61i"] {
        let item = server.send_raw("GET", path, "").await;
        assert_eq!((item.status, &item.json()["id"]), (200, &"openai".into()), "{path}");
    }
    let models = server.send_raw("GET", "/api/providers/cohere/mode%6Cs", "").await;
    assert_eq!((models.status, &models.json()["total"]), (200, &7.into()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_id_is_a_404_with_a_suggestion() {
    let server = TestServer::seeded(&database().await).await;
    for (path, code, meant) in [
        ("/api/models/openai/gpt-6-astar", "model_not_found", Some("openai/gpt-6-astra")),
        ("/api/models/gpt-6-astra", "model_not_found", Some("openai/gpt-6-astra")),
        ("/api/models/OpenAI/GPT-6-Astra", "model_not_found", Some("openai/gpt-6-astra")),
        ("/api/models/openai/gpt-6-astar/cost", "model_not_found", Some("openai/gpt-6-astra")),
        ("/v1/models/gpt-6-astar", "model_not_found", Some("openai/gpt-6-astra")),
        ("/api/models/nothing/like/anything", "model_not_found", None),
        ("/api/providers/opnai", "provider_not_found", Some("openai")),
        ("/api/providers/opnai/models", "provider_not_found", Some("openai")),
        ("/api/providers/none-at-all", "provider_not_found", None),
    ] {
        let problem = server.get(path).await.problem(404, code);
        assert_eq!(problem.get("did_you_mean").and_then(Value::as_str), meant, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_match_the_seed() {
    let database = database().await;
    let url = database.url();
    let server = TestServer::with(&[("DATABASE_URL", &url), ("OPENAI_API_KEY", "sk-test")]).await;
    server.until("/api/providers", |answer| answer.json()["source"] == "postgres").await;
    let list = server.get("/api/providers").await.json();
    let models = server.get("/api/models").await.json();
    for provider in Seed::builtin().unwrap().providers {
        let id = provider.id.as_str();
        let items = list["data"].as_array().unwrap();
        let item = items.iter().find(|item| item["id"] == id).unwrap();
        let own = models["data"].as_array().unwrap().iter().filter(|model| model["provider"] == id);
        let mut capabilities: Vec<_> =
            own.clone().flat_map(|model| model["capabilities"].as_array().unwrap()).collect();
        capabilities.sort_by_key(|capability| capability.as_str());
        capabilities.dedup();
        let mut given: Vec<_> = item["capabilities"].as_array().unwrap().iter().collect();
        given.sort_by_key(|capability| capability.as_str());
        assert_eq!(given, capabilities, "{id}");
        assert_eq!(item["models"], own.count(), "{id}");
        assert_eq!((&item["name"], &item["base_url"]), (&provider.name.into(), &provider.base_url.into()));
        assert_eq!(item["docs_url"].as_str(), provider.docs_url.as_deref(), "{id}");
        assert_eq!(item["openai_compatible"], provider.openai_compatible_base_url.is_some(), "{id}");
        assert_eq!((&item["enabled"], &item["status"]), (&true.into(), &"unknown".into()), "{id}");
        assert_eq!(item["configured"], id == "openai", "{id}");
        assert_eq!(item.as_object().unwrap().len(), 10, "{id}");
        assert_eq!(server.get(&format!("/api/providers/{id}")).await.json(), *item);
    }
    assert!(!list.to_string().contains("sk-test"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_a_provider_equal_the_filtered_list() {
    let server = TestServer::seeded(&database().await).await;
    for query in
        ["", "kind=chat", "sort=-price&limit=4", "facets=true&fields=id,name", "kind=image", "status=retired"]
    {
        for provider in ["openai", "deepseek", "cohere"] {
            let own = server.get(&format!("/api/providers/{provider}/models?{query}")).await.json();
            let filtered = server.get(&format!("/api/models?provider={provider}&{query}")).await.json();
            for key in ["total", "data", "next_cursor", "facets"] {
                assert_eq!(own.get(key), filtered.get(key), "{provider} {query} {key}");
            }
        }
    }
    let other = server.get("/api/providers/openai/models?provider=cohere").await;
    other.refuses("unknown_parameter", "provider");
    let first = server.get("/api/providers/openai/models?limit=5").await;
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let second = server.get(&format!("/api/providers/openai/models?limit=5&cursor={cursor}")).await;
    assert_eq!(
        [first.ids(), second.ids()].concat(),
        server.get("/api/providers/openai/models").await.ids()[..10]
    );
    server
        .get(&format!("/api/providers/cohere/models?cursor={cursor}"))
        .await
        .refuses("invalid_cursor", "cursor");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_with_their_number_of_models() {
    let server = TestServer::seeded(&database().await).await;
    let list = server.get("/api/tasks").await.json();
    let tasks = list["data"].as_array().unwrap();
    for task in Seed::builtin().unwrap().tasks {
        let item = tasks.iter().find(|item| item["id"] == task.id.as_str()).unwrap();
        let id = task.id.as_str();
        assert_eq!((&item["name"], &item["description"]), (&task.name.into(), &task.description.into()));
        let total = server.get(&format!("/api/models?task={id}")).await.json()["total"].clone();
        assert_eq!(item["models"], total, "{id}");
        assert_eq!(item.as_object().unwrap().len(), 4, "{id}");
    }
    server.stop().await;
}
