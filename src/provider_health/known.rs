//! The providers that this build knows. The catalogue cannot override them, or anyone who can edit a row could send a key to
//! a host of their choice.

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub id: &'static str,
    /// The root of its API. The key goes to this host, unless the operator names another one.
    pub base_url: &'static str,
    /// The path of its model list, below the root.
    pub list: &'static str,
    /// The variables that may hold its key, in order of preference.
    pub variables: &'static [&'static str],
    pub auth_header: &'static str,
    pub auth_scheme: Option<&'static str>,
    pub extra_headers: &'static [(&'static str, &'static str)],
}

/// A provider whose key travels as `Authorization: Bearer …`.
const fn bearer(
    id: &'static str,
    base_url: &'static str,
    list: &'static str,
    variables: &'static [&'static str],
) -> Known {
    let auth_scheme = Some("Bearer");
    Known { id, base_url, list, variables, auth_header: "Authorization", auth_scheme, extra_headers: &[] }
}

/// All of them, in the order of the seed.
pub(super) static KNOWN: [Known; 12] = [
    bearer("openai", "https://api.openai.com/v1", "/models", &["OPENAI_API_KEY"]),
    Known {
        id: "anthropic",
        base_url: "https://api.anthropic.com/v1",
        list: "/models",
        variables: &["ANTHROPIC_API_KEY"],
        auth_header: "x-api-key",
        auth_scheme: None,
        extra_headers: &[("anthropic-version", "2023-06-01")],
    },
    bearer("mistral", "https://api.mistral.ai/v1", "/models", &["MISTRAL_API_KEY"]),
    bearer("deepseek", "https://api.deepseek.com", "/models", &["DEEPSEEK_API_KEY"]),
    bearer(
        "qwen",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "/models",
        &["DASHSCOPE_API_KEY"],
    ),
    bearer("huggingface", "https://router.huggingface.co/v1", "/models", &["HF_TOKEN"]),
    bearer("openrouter", "https://openrouter.ai/api/v1", "/models", &["OPENROUTER_API_KEY"]),
    Known {
        id: "google",
        base_url: "https://generativelanguage.googleapis.com/v1beta",
        list: "/models",
        variables: &["GEMINI_API_KEY"],
        auth_header: "x-goog-api-key",
        auth_scheme: None,
        extra_headers: &[],
    },
    bearer("groq", "https://api.groq.com/openai/v1", "/models", &["GROQ_API_KEY"]),
    bearer("cohere", "https://api.cohere.com", "/v1/models", &["COHERE_API_KEY"]),
    bearer("xai", "https://api.x.ai/v1", "/models", &["XAI_API_KEY"]),
    bearer("meta", "https://api.llama.com/compat/v1", "/models", &["LLAMA_API_KEY"]),
];

impl Known {
    /// Finds the provider with exactly that id, case included.
    pub fn of(id: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.id == id)
    }
}

/// Returns the key variable of an unknown provider: `MY_GATEWAY_API_KEY` for `my-gateway`.
pub(super) fn variable_of(id: &str) -> String {
    let id = id.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!("{id}_API_KEY")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::seed::Seed;

    #[test]
    fn the_table_of_known_providers_equals_the_seed() {
        let providers = Seed::builtin().unwrap().providers;
        let ids: Vec<_> = providers.iter().map(|provider| provider.id.as_str()).collect();
        assert_eq!(ids, KNOWN.each_ref().map(|known| known.id));
        for (known, provider) in KNOWN.iter().zip(providers) {
            let list = format!("{}{}", known.base_url, known.list);
            let extra_headers = known.extra_headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            assert_eq!(provider.base_url, known.base_url);
            assert_eq!(provider.models_list_url.as_deref(), Some(list.as_str()));
            assert_eq!(provider.env, known.variables, "{}", known.id);
            assert_eq!(
                (provider.auth_header.as_str(), provider.auth_scheme.as_deref(), provider.extra_headers),
                (known.auth_header, known.auth_scheme, extra_headers.collect::<BTreeMap<_, _>>()),
                "{}",
                known.id
            );
        }
    }
}
