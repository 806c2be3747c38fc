use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::domain::testing::SEED;

#[expect(clippy::unnecessary_wraps, reason = "every price of a Pricing is optional")]
fn price(text: &str) -> Option<Price> {
    Some(text.parse().unwrap())
}

/// `openai/gpt-5.5`-like: base 5 and 30, twice the input above 272,000 tokens.
fn tiered() -> Pricing {
    Pricing {
        input: price("5"),
        output: price("30"),
        cache_read: price("0.5"),
        tiers: vec![
            Tier { above_prompt_tokens: 500_000, input: price("20"), output: None, cache_read: None },
            Tier { above_prompt_tokens: 272_000, input: price("10"), output: price("45"), cache_read: None },
        ],
        ..Pricing::default()
    }
}

fn total(pricing: &Pricing, input: u64, output: u64, cached: u64) -> String {
    let usage = Usage::new(input, output, cached, 0).unwrap();
    cost(pricing, &usage).unwrap().total.to_string()
}

#[test]
fn costs_are_exact() {
    assert_eq!(total(&tiered(), 1, 0, 0), "0.000005");
    assert_eq!(total(&tiered(), 1_000, 1_000, 500), "0.03275");
    assert_eq!(total(&tiered(), 0, 0, 0), "0");
}

#[test]
fn the_highest_exceeded_tier_applies_to_the_whole_request() {
    assert_eq!(total(&tiered(), 272_000, 0, 0), "1.36");
    assert_eq!(total(&tiered(), 272_001, 1_000_000, 0), "47.72001");
    assert_eq!(total(&tiered(), 500_001, 1_000_000, 500_001), "30.2500005");
    let usage = Usage::new(272_001, 0, 272_001, 0).unwrap();
    let cost = cost(&tiered(), &usage).unwrap();
    assert_eq!(cost.tier_above_prompt_tokens, Some(272_000));
    assert_eq!(cost.breakdown[0].unit_price.to_string(), "0.5");
}

#[test]
fn cached_tokens_without_a_price_are_charged_as_input() {
    let pricing = Pricing { cache_read: None, ..tiered() };
    let usage = Usage::new(1_000, 0, 400, 0).unwrap();
    let json = serde_json::to_value(cost(&pricing, &usage).unwrap()).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "currency": "USD",
            "total": "0.005",
            "tier_above_prompt_tokens": null,
            "breakdown": [
                { "component": "input", "charged_as": "input", "quantity": 600, "unit_price": "5", "amount": "0.003" },
                { "component": "cache_read", "charged_as": "input", "quantity": 400, "unit_price": "5", "amount": "0.002" },
            ],
        })
    );
}

#[test]
fn unused_items_need_no_price() {
    let seed = SEED.clone().into_snapshot();
    let rerank = seed.model("cohere/rerank-v3.5").unwrap();
    let pricing = rerank.pricing.as_ref().unwrap();
    let queries = Usage::new(0, 0, 0, 1_500).unwrap();
    assert_eq!(cost(pricing, &queries).unwrap().total.to_string(), "3");
    for (usage, missing) in [
        (Usage::new(1, 0, 0, 1), Component::Input),
        (Usage::new(1, 0, 1, 1), Component::CacheRead),
        (Usage::new(0, 1, 0, 1), Component::Output),
    ] {
        assert_eq!(cost(pricing, &usage.unwrap()), Err(PriceUnknown { missing }));
    }
    assert_eq!(cost(&tiered(), &queries), Err(PriceUnknown { missing: Component::PerQuery }));
}

#[test]
fn usage_is_bounded_and_input_includes_cached_tokens() {
    assert!(Usage::new(MAX_TOKENS, MAX_TOKENS, MAX_TOKENS, MAX_QUERIES).is_ok());
    for (usage, refused) in [
        (Usage::new(MAX_TOKENS + 1, 0, 0, 0), "input_tokens"),
        (Usage::new(0, u64::MAX, 0, 0), "output_tokens"),
        (Usage::new(0, 0, u64::MAX, 0), "cached_tokens"),
        (Usage::new(0, 0, 0, MAX_QUERIES + 1), "queries"),
    ] {
        let error = usage.unwrap_err();
        assert!(matches!(error, InvalidUsage::TooMuch { parameter, .. } if parameter == refused), "{error}");
    }
    assert_eq!(Usage::new(1, 0, 2, 0), Err(InvalidUsage::MoreCachedThanInput));
}

/// Prices in units of 0.00000001 USD.
fn any_price() -> impl Strategy<Value = u64> {
    prop_oneof![0..=1_000_000_000_000_000_u64, Just(1_000_000_000_000_000), Just(999_999_999_999_999)]
}

fn from_smallest(units: u64) -> Price {
    let text = format!("{}.{:08}", units / 100_000_000, units % 100_000_000);
    text.parse().unwrap()
}

proptest! {
    #[test]
    fn no_price_and_no_usage_overflows_or_rounds(
        prices in prop::array::uniform4(option::weighted(0.9, any_price())),
        tokens in prop::array::uniform3(prop_oneof![0..=MAX_TOKENS, Just(MAX_TOKENS)]),
        queries in prop_oneof![0..=MAX_QUERIES, Just(MAX_QUERIES)],
    ) {
        let [input, output, cache_read, per_query] = prices;
        let price = |units: Option<u64>| units.map(from_smallest);
        let pricing = Pricing {
            input: price(input), output: price(output), cache_read: price(cache_read), per_query: price(per_query),
            ..Pricing::default()
        };
        let [prompt, generated, cached] = tokens;
        let cached = cached.min(prompt);
        let usage = Usage::new(prompt, generated, cached, queries).unwrap();
        // In units of 10^-14 USD, as whole numbers.
        let charge = |quantity: u64, units: Option<u64>, per: u128| match (quantity, units) {
            (0, _) => Some(0),
            (_, units) => units.map(|units| u128::from(quantity) * u128::from(units) * per),
        };
        let expected = (|| Some(
            charge(prompt - cached, input, 1)? + charge(cached, cache_read.or(input), 1)?
                + charge(generated, output, 1)? + charge(queries, per_query, 1_000_000)?
        ))();
        let said = cost(&pricing, &usage).ok();
        prop_assert_eq!(said.is_some(), expected.is_some());
        if let (Some(cost), Some(expected)) = (said, expected) {
            let exact = Decimal::from_i128_with_scale(i128::try_from(expected).unwrap(), 14);
            prop_assert_eq!(cost.total.0, exact);
            let text = cost.total.to_string();
            prop_assert!(text.chars().all(|c| c.is_ascii_digit() || c == '.'), "{}", text);
            prop_assert!(!text.contains('.') || !text.ends_with('0'), "{}", text);
        }
    }
}
