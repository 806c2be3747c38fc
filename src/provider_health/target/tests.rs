use std::collections::BTreeMap;

use super::*;
use crate::domain::seed::Seed;

fn provider(id: &str) -> Provider {
    let seed = Seed::builtin().unwrap();
    seed.providers.into_iter().find(|provider| provider.id.as_str() == id).unwrap()
}

/// Returns a provider that no build knows.
fn acme() -> Provider {
    let list = Some("https://acme.example/v1/models".to_owned());
    let (id, auth_header) = ("acme".parse().unwrap(), "x-acme-key".to_owned());
    let base_url = "https://acme.example/v1".to_owned();
    let env = vec!["OPENAI_API_KEY".to_owned()];
    Provider {
        id,
        base_url,
        models_list_url: list,
        auth_header,
        auth_scheme: None,
        env,
        ..provider("openai")
    }
}

/// Sets every variable to its own name.
fn target(provider: &Provider, source: CatalogueSource, base_urls: &str) -> Result<Target, Refusal> {
    let base_urls = base_urls.parse().unwrap();
    let variables = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "COHERE_API_KEY"];
    let variables =
        variables.into_iter().chain(["ACME_API_KEY", "ACME_TOKEN", "OPENROUTER_API_KEY", "SECRET_KEY"]);
    let variables: Vec<_> = variables.collect();
    let keys = ProviderKeys::read(&base_urls, |name| variables.iter().copied().find(|set| *set == name));
    Target::of(provider, source, &keys, &base_urls)
}

fn direct(provider: &Provider) -> Result<Target, Refusal> {
    target(provider, CatalogueSource::Postgres, "")
}

fn with_key(key: &'static str) -> ProviderKeys {
    ProviderKeys::read(&ProviderBaseUrls::default(), |name| (name == "OPENAI_API_KEY").then_some(key))
}

fn url(target: Result<Target, Refusal>) -> String {
    target.unwrap().url.into()
}

#[test]
fn each_provider_gets_its_own_address_and_headers() {
    for (id, url, name, value, others) in [
        ("openai", "https://api.openai.com/v1/models", "authorization", "Bearer OPENAI_API_KEY", 0),
        ("anthropic", "https://api.anthropic.com/v1/models", "x-api-key", "ANTHROPIC_API_KEY", 1),
        (
            "google",
            "https://generativelanguage.googleapis.com/v1beta/models",
            "x-goog-api-key",
            "GEMINI_API_KEY",
            0,
        ),
        ("cohere", "https://api.cohere.com/v1/models", "authorization", "Bearer COHERE_API_KEY", 0),
    ] {
        for source in [CatalogueSource::Postgres, CatalogueSource::Kv, CatalogueSource::Builtin] {
            let target = target(&provider(id), source, "").unwrap();
            assert_eq!((target.url.as_str(), target.headers[name].to_str().unwrap()), (url, value));
            assert_eq!(target.headers.len(), 1 + others, "{id}");
        }
    }
    assert_eq!(direct(&provider("anthropic")).unwrap().headers["anthropic-version"], "2023-06-01");
}

#[test]
fn without_a_key_only_a_list_that_needs_none_is_requested() {
    let (keys, base_urls) = (ProviderKeys::default(), ProviderBaseUrls::default());
    let of = |id| Target::of(&provider(id), CatalogueSource::Postgres, &keys, &base_urls);
    assert_eq!(of("openai").unwrap_err().reason(), Reason::NoKey);
    assert!(of("openrouter").unwrap().headers.is_empty());
    let elsewhere = Some("https://evil.example/models".to_owned());
    let elsewhere = Provider { models_list_url: elsewhere, ..provider("openrouter") };
    let target = Target::of(&elsewhere, CatalogueSource::Postgres, &keys, &base_urls);
    assert_eq!(target.unwrap_err().reason(), Reason::UntrustedAddress);
}

#[test]
fn an_invalid_key_is_not_sent_and_no_key_is_printed() {
    let of = |key| {
        Target::of(
            &provider("openai"),
            CatalogueSource::Postgres,
            &with_key(key),
            &ProviderBaseUrls::default(),
        )
    };
    assert_eq!(of("hunter2\nx: y").unwrap_err().reason(), Reason::BadKey);
    assert!(!format!("{:?}", of("hunter2")).contains("hunter2"));
    for list in [None, Some("nowhere".to_owned()), Some(format!("https://a/{}", "b".repeat(2_000)))] {
        let row = Provider { models_list_url: list, ..provider("openai") };
        assert_eq!(direct(&row).unwrap_err().reason(), Reason::NoList);
    }
}

#[test]
fn a_row_may_change_only_the_path_on_the_trusted_host() {
    let at = |url: &str| Provider { models_list_url: Some(url.to_owned()), ..provider("openai") };
    for (list, requested) in [
        ("https://api.openai.com/v2/models?limit=9#x", "https://api.openai.com/v2/models?limit=9"),
        ("https://API.OpenAI.com:443/v1/models/", "https://api.openai.com/v1/models/"),
        // As in a browser, a backslash is a slash.
        (r"https://api.openai.com\@evil.example", "https://api.openai.com/@evil.example"),
    ] {
        assert_eq!(url(direct(&at(list))), requested);
    }
    for list in [
        "https://evil.example/v1/models",
        "https://api.openai.com.evil.example/v1/models",
        "https://api.openai.com./v1/models",
        "https://evil.example/https://api.openai.com/v1/models",
        "https://api.openai.com@evil.example/v1/models",
        "https://api.openai.com:pw@evil.example/v1/models",
        "https://user@api.openai.com/v1/models",
        "https://:pw@api.openai.com/v1/models",
        r"https://evil.example\@api.openai.com/v1/models",
        "https://evil.example#@api.openai.com/v1/models",
        "https://api.openai.com:8443/v1/models",
        "http://api.openai.com/v1/models",
        "http://api.openai.com:443/v1/models",
        "ftp://api.openai.com/v1/models",
        "https://api.opena\u{456}.com/v1/models",
        "https://xpi.openai.com/v1/models",
        "https://openai.com/v1/models",
        "https://127.0.0.1/v1/models",
        "https://[::1]/v1/models",
        "https://2130706433/v1/models",
        "https://0x7f.1/v1/models",
        "https://[::ffff:127.0.0.1]/v1/models",
        "https://api.openai.com\n.evil.example/v1/models",
        "https://api.openai.com%2eevil.example/v1/models",
        "https://api.openai.com:444/v1/models",
        "https://169.254.169.254/latest/meta-data",
        "https://api.anthropic.com/v1/models",
        "https://api.openai.com/v1/..%2f..%2fevil",
        "https://api.openai.com/v1/..;/evil",
        "https://api.openai.com/v1//evil.example/models",
    ] {
        let refusal = direct(&at(list)).unwrap_err();
        assert_eq!(refusal.reason(), Reason::UntrustedAddress, "{list}");
    }
}

#[test]
fn the_row_of_a_known_provider_changes_no_variable_or_header() {
    let openai = provider("openai");
    let extra = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let anthropic = Provider { extra_headers: extra("anthropic-version", "1"), ..provider("anthropic") };
    for row in [
        Provider { env: vec!["SECRET_KEY".to_owned()], ..openai.clone() },
        Provider { env: vec!["OPENAI_API_KEY".to_owned(), "SECRET_KEY".to_owned()], ..openai.clone() },
        Provider { env: Vec::new(), ..openai.clone() },
        Provider { auth_header: "x-key".to_owned(), ..openai.clone() },
        Provider { auth_scheme: Some("Basic".to_owned()), ..openai.clone() },
        Provider { auth_scheme: None, ..openai.clone() },
        Provider { extra_headers: extra("Host", "evil.example"), ..openai.clone() },
        Provider { extra_headers: extra("x-portkey-custom-host", "https://evil.example"), ..openai.clone() },
        anthropic,
    ] {
        for base_urls in ["", "openai=https://gateway.example,anthropic=https://gateway.example"] {
            for source in [CatalogueSource::Postgres, CatalogueSource::Kv] {
                let refusal = target(&row, source, base_urls).unwrap_err();
                assert!(matches!(refusal, Refusal::Untrusted(Distrust::Column(_))), "{row:?}: {refusal:?}");
            }
        }
    }
    let same = Provider {
        auth_header: "authorization".to_owned(),
        auth_scheme: Some("bearer".to_owned()),
        ..openai.clone()
    };
    assert_eq!(direct(&same).unwrap().headers["authorization"], "Bearer OPENAI_API_KEY");
}

#[test]
fn the_row_of_a_known_provider_changes_no_path_on_a_gateway() {
    let gateway = "openai=http://127.0.0.1:9/x/,cohere=https://gateway.example";
    for list in [
        "https://api.openai.com/v1/models",
        "https://api.openai.com/other-upstream/models?url=https://evil.example",
        "https://evil.example/v2/models",
    ] {
        let row = Provider { models_list_url: Some(list.to_owned()), ..provider("openai") };
        assert_eq!(
            url(target(&row, CatalogueSource::Postgres, gateway)),
            "http://127.0.0.1:9/x/models",
            "{list}"
        );
    }
    let cohere = target(&provider("cohere"), CatalogueSource::Postgres, gateway);
    assert_eq!(url(cohere), "https://gateway.example/v1/models");
}

#[test]
fn the_row_of_an_unknown_provider_changes_only_the_path() {
    let of = |base: &str, list: &str| {
        let row = Provider {
            base_url: base.to_owned(),
            models_list_url: Some(list.to_owned()),
            models_list_needs_key: false,
            ..acme()
        };
        target(&row, CatalogueSource::Postgres, "acme=https://gateway.example")
    };
    for (base, list, requested) in [
        ("https://other.example", "https://acme.example/v1/models", "https://gateway.example/v1/models"),
        ("https://acme.example/v1", "https://acme.example/v1/models", "https://gateway.example/models"),
        ("https://acme.example", "https://evil.example/v2/models", "https://gateway.example/v2/models"),
        (
            "https://acme.example",
            "https://acme.example/m?url=https://evil.example",
            "https://gateway.example/m",
        ),
        // The rest of the list's host is not appended to the gateway's host.
        (
            "https://acme.example",
            "https://acme.example.evil.example/models",
            "https://gateway.example/models",
        ),
        ("https://acme.example", "https://acme.example@evil.example/m", "https://gateway.example/m"),
        ("https://acme.example/v1", "https://acme.example/v1evil/m", "https://gateway.example/v1evil/m"),
        ("https://acme.example", "https://acme.example/../../m", "https://gateway.example/m"),
    ] {
        assert_eq!(url(of(base, list)), requested);
    }
    for list in ["https://acme.example/%2e%2e%2fevil", "https://acme.example/a/..%5c/evil"] {
        assert_eq!(of("https://acme.example", list).unwrap_err().reason(), Reason::UntrustedAddress);
    }
}

#[test]
fn rows_from_kv_do_not_decide_where_a_request_goes() {
    let list = Some("https://api.openai.com/evil".to_owned());
    let row =
        Provider { models_list_url: list, base_url: "https://a.example".to_owned(), ..provider("openai") };
    assert_eq!(url(target(&row, CatalogueSource::Kv, "")), "https://api.openai.com/v1/models");
    assert_eq!(
        url(target(&row, CatalogueSource::Kv, "openai=https://g.example/o")),
        "https://g.example/o/models"
    );
    let refusal = target(&acme(), CatalogueSource::Kv, "acme=https://acme.example/v1").unwrap_err();
    assert_eq!(refusal, Refusal::Untrusted(Distrust::Copied));
}

#[test]
fn an_unknown_provider_needs_a_named_host_and_its_own_variable() {
    assert!(matches!(direct(&acme()), Err(Refusal::Untrusted(Distrust::UnknownProvider { .. }))));
    let named = |row: &Provider| target(row, CatalogueSource::Postgres, "acme=https://gateway.example/acme");
    let asked = named(&acme()).unwrap();
    assert_eq!(asked.url.as_str(), "https://gateway.example/acme/models");
    assert_eq!(asked.headers["x-acme-key"], "ACME_API_KEY");
    assert_eq!(asked.headers.len(), 1);
    for name in [
        "Host",
        "COOKIE",
        "Authorization",
        "Proxy-Authorization",
        "Transfer-Encoding",
        "content-length",
        "X-Forwarded-Host",
        "x-portkey-custom-host",
        "Helicone-Target-URL",
        "Helicone-OpenAI-Api-Base",
        "x-portkey-config",
        "X-Upstream",
        "X-Target",
        "X-Endpoint",
        "X-Real-IP",
        "Forwarded",
        "Connection",
        "TE",
        "Sec-Fetch-Site",
        "X-HTTP-Method-Override",
    ] {
        let extra_headers = BTreeMap::from([(name.to_owned(), "1".to_owned())]);
        let row = Provider { extra_headers, ..acme() };
        assert!(matches!(named(&row), Err(Refusal::Untrusted(Distrust::Header(_)))), "{name}");
        let row = Provider { auth_header: name.to_owned(), ..acme() };
        assert_eq!(named(&row).is_ok(), name == "Authorization", "{name}");
    }
    for (name, value) in
        [("x-a", "1\r\nHost: evil.example"), ("x-a\r\nhost", "1"), ("x a", "1"), (":authority", "1")]
    {
        let extra_headers = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert!(named(&Provider { extra_headers, ..acme() }).is_err(), "{name}: {value}");
    }
    // The key replaces a header of the same name in another case.
    let extra_headers = BTreeMap::from([("X-Acme-Key".to_owned(), "forged".to_owned())]);
    let asked = named(&Provider { extra_headers, ..acme() }).unwrap();
    let values: Vec<_> = asked.headers.get_all("x-acme-key").iter().collect();
    assert_eq!(values, ["ACME_API_KEY"]);
    let extra_headers = BTreeMap::from([("acme-version".to_owned(), "2".to_owned())]);
    assert_eq!(named(&Provider { extra_headers, ..acme() }).unwrap().headers["acme-version"], "2");
}
