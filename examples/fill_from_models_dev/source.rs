//! Reads a models.dev `api.json` as a seed.

use std::collections::BTreeMap;

use chatchonk::domain::date::PartialDate;
use chatchonk::domain::model::{Capability, Kind, Modality, Model, ModelStatus};
use chatchonk::domain::price::{Price, Pricing, Tier};
use chatchonk::domain::provider::Provider;
use chatchonk::domain::seed::{Seed, tasks_of};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

#[derive(Deserialize)]
struct Source<'a> {
    name: String,
    #[serde(default)]
    env: Vec<String>,
    npm: Option<String>,
    api: Option<String>,
    doc: Option<String>,
    #[serde(borrow)]
    models: BTreeMap<String, SourceModel<'a>>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the file's form")]
struct SourceModel<'a> {
    name: String,
    family: Option<String>,
    #[serde(default)]
    tool_call: bool,
    #[serde(default)]
    reasoning: bool,
    #[serde(default)]
    structured_output: bool,
    #[serde(default)]
    open_weights: bool,
    status: Option<String>,
    release_date: Option<String>,
    last_updated: Option<String>,
    knowledge: Option<String>,
    #[serde(borrow)]
    cost: Option<Cost<'a>>,
    limit: Limit,
    modalities: Modalities,
}

/// Amounts as written in the file, since a float would not be exact.
#[derive(Deserialize)]
struct Cost<'a> {
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_read: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_write: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tiers: Vec<SourceTier<'a>>,
}

#[derive(Deserialize)]
struct SourceTier<'a> {
    tier: Threshold,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_read: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Threshold {
    size: u64,
    r#type: String,
}

#[derive(Deserialize)]
struct Limit {
    context: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
}

#[derive(Deserialize)]
struct Modalities {
    input: Vec<String>,
    output: Vec<String>,
}

/// Counts of what the catalogue cannot represent.
#[derive(Default)]
pub struct LeftOut {
    pub providers: usize,
    pub models: usize,
}

/// Reads the file. Its rows count as created at `now`.
pub fn seed(text: &str, now: OffsetDateTime) -> anyhow::Result<(Seed, LeftOut)> {
    let sources: BTreeMap<String, Source<'_>> = serde_json::from_str(text)?;
    let mut seed = Seed {
        // Older than any real seed, so a server may write its own on top.
        version: 0,
        as_of: now.date().to_string().parse()?,
        providers: Vec::new(),
        tasks: Seed::builtin()?.tasks,
        models: Vec::new(),
    };
    let mut left_out = LeftOut::default();
    for (id, source) in &sources {
        let Some(provider) = provider(id, source) else {
            left_out.providers += 1;
            left_out.models += source.models.len();
            continue;
        };
        for (name, found) in &source.models {
            match model(&provider, name, found, now) {
                Some(model) => seed.models.push(model),
                None => left_out.models += 1,
            }
        }
        seed.providers.push(provider);
    }
    Ok((seed, left_out))
}

fn provider(id: &str, source: &Source<'_>) -> Option<Provider> {
    let web = |url: &Option<String>| url.clone().filter(|url| url.starts_with("http") && url.len() <= 500);
    let is_key = |name: &&String| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            && ["_API_KEY", "_KEY", "_TOKEN"].iter().any(|end| name.ends_with(end))
            && !["CLOUDFLARE_API_TOKEN", "METRICS_TOKEN"].contains(&name.as_str())
    };
    Some(Provider {
        id: id.parse().ok()?,
        name: named(&source.name)?,
        base_url: web(&source.api).or_else(|| web(&source.doc))?,
        openai_compatible_base_url: web(&source.api)
            .filter(|_| source.npm.as_deref() == Some("@ai-sdk/openai-compatible")),
        docs_url: web(&source.doc),
        models_list_url: None,
        models_list_needs_key: true,
        auth_header: "Authorization".to_owned(),
        auth_scheme: Some("Bearer".to_owned()),
        extra_headers: BTreeMap::new(),
        env: source.env.iter().filter(is_key).cloned().collect(),
        enabled: true,
    })
}

/// `None` if the catalogue cannot represent a part of it: a missing model is better than a wrong one.
fn model(provider: &Provider, name: &str, source: &SourceModel<'_>, now: OffsetDateTime) -> Option<Model> {
    let modalities = |of: &[String]| of.iter().map(|m| m.parse().ok()).collect::<Option<Vec<Modality>>>();
    let (input, output) = (modalities(&source.modalities.input)?, modalities(&source.modalities.output)?);
    // A date in another form counts as unknown, and so do zero tokens.
    let date = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<PartialDate>().ok());
    let tokens = |count: Option<u64>| match count {
        None | Some(0) => Some(None),
        Some(count) => i32::try_from(count).ok().map(|count| Some(count.unsigned_abs())),
    };
    let prompt_caching = source.cost.as_ref().is_some_and(|cost| cost.cache_read.is_some());
    let can = [
        (source.tool_call, Capability::Tools),
        (input.contains(&Modality::Image), Capability::Vision),
        (source.reasoning, Capability::Reasoning),
        (source.structured_output, Capability::StructuredOutput),
        (prompt_caching, Capability::PromptCaching),
    ];
    let mut model = Model {
        id: format!("{}/{name}", provider.id).parse().ok()?,
        provider: provider.id.clone(),
        provider_model_id: named(name)?,
        name: named(&source.name)?,
        family: source.family.as_deref().and_then(named),
        kind: kind(name, &output),
        status: match source.status.as_deref() {
            None => ModelStatus::Active,
            Some("alpha" | "beta") => ModelStatus::Preview,
            Some("deprecated") => ModelStatus::Deprecated,
            Some(_) => return None,
        },
        enabled: true,
        release_date: date(&source.release_date),
        knowledge_cutoff: date(&source.knowledge),
        deprecation_date: None,
        successor: None,
        context_length: tokens(source.limit.context)?,
        max_input_tokens: tokens(source.limit.input)?,
        max_output_tokens: tokens(source.limit.output)?,
        embedding_dimensions: None,
        input_modalities: input,
        output_modalities: output,
        capabilities: can.into_iter().filter_map(|(can, what)| can.then_some(what)).collect(),
        tasks: Vec::new(),
        open_weights: Some(source.open_weights),
        pricing: source.cost.as_ref().map(pricing).transpose().ok()?.flatten(),
        is_free: None,
        price_source: source.cost.is_some().then(|| "models.dev".to_owned()),
        as_of: date(&source.last_updated),
        created_at: now,
        updated_at: now,
    };
    model.tasks = tasks_of(&model);
    Some(model)
}

/// Derives the kind, which the file lacks.
fn kind(name: &str, output: &[Modality]) -> Kind {
    let name = name.to_ascii_lowercase();
    if name.contains("embed") {
        Kind::Embedding
    } else if name.contains("rerank") {
        Kind::Rerank
    } else if output.contains(&Modality::Text) {
        Kind::Chat
    } else if output.contains(&Modality::Image) {
        Kind::Image
    } else if output.contains(&Modality::Audio) {
        Kind::Audio
    } else {
        Kind::Other
    }
}

/// An amount that the catalogue cannot represent.
struct Unrepresentable;

/// `None` if nothing is known. The file has zeros for unresearched prices, so all zeros count as unknown.
fn pricing(cost: &Cost<'_>) -> Result<Option<Pricing>, Unrepresentable> {
    let tiers = cost.tiers.iter().map(|tier| {
        if tier.tier.r#type != "context" {
            return Err(Unrepresentable);
        }
        Ok(Tier {
            above_prompt_tokens: tier.tier.size,
            input: price(tier.input)?,
            output: price(tier.output)?,
            cache_read: price(tier.cache_read)?,
        })
    });
    let pricing = Pricing {
        input: price(cost.input)?,
        output: price(cost.output)?,
        cache_read: price(cost.cache_read)?,
        cache_write: price(cost.cache_write)?,
        per_query: None,
        tiers: tiers.collect::<Result<_, _>>()?,
        off_peak: None,
    };
    let all_zero = [pricing.input, pricing.output].iter().all(|price| price.is_none_or(|p| p == Price::ZERO));
    Ok((!all_zero).then_some(pricing))
}

/// The amount as written, digit by digit.
fn price(text: Option<&RawValue>) -> Result<Option<Price>, Unrepresentable> {
    let Some(text) = text.map(RawValue::get).filter(|text| *text != "null") else { return Ok(None) };
    let plain = if text.contains(['e', 'E']) {
        Decimal::from_scientific(text).map_err(|_| Unrepresentable)?.to_string()
    } else {
        text.to_owned()
    };
    plain.parse().map(Some).map_err(|_| Unrepresentable)
}

/// A text within the length limit of names.
fn named(text: &str) -> Option<String> {
    (1..=200).contains(&text.chars().count()).then(|| text.to_owned())
}
