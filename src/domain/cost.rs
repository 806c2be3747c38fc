//! Exact cost of a request, with its breakdown.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::closed::closed_enum;
use super::price::{CURRENCY, Price, Pricing, Tier};

/// Most tokens of one kind. With prices up to 10^7 USD and eight decimal places, every amount and total fits the 28
/// digits of a [`Decimal`].
pub const MAX_TOKENS: u64 = 1_000_000_000_000;
/// Most queries, for the same reason.
pub const MAX_QUERIES: u64 = 1_000_000;

closed_enum!(
    /// Prices of a request, by their names in a model's pricing.
    Component {
        /// Prompt tokens.
        Input = "input",
        /// Prompt tokens read from the provider's cache.
        CacheRead = "cache_read",
        /// Generated tokens.
        Output = "output",
        /// Queries.
        PerQuery = "per_query",
    }
);

/// What a request uses, checked by [`Usage::new`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    input: u64,
    output: u64,
    cached: u64,
    queries: u64,
}

/// A usage outside the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsage {
    /// More than [`MAX_TOKENS`] or [`MAX_QUERIES`].
    #[error("`{parameter}` is at most {max}")]
    TooMuch {
        /// The parameter.
        parameter: &'static str,
        /// Its maximum.
        max: u64,
    },
    /// More cached tokens than the prompt has.
    #[error("`cached_tokens` are part of `input_tokens` and cannot be more")]
    MoreCachedThanInput,
}

impl Usage {
    /// Checks the numbers. `cached_tokens` are the part of `input_tokens` that the provider reads from its cache.
    ///
    /// # Errors
    /// [`InvalidUsage::TooMuch`] beyond [`MAX_TOKENS`] or [`MAX_QUERIES`]; [`InvalidUsage::MoreCachedThanInput`].
    pub fn new(
        input_tokens: u64,
        output_tokens: u64,
        cached_tokens: u64,
        queries: u64,
    ) -> Result<Self, InvalidUsage> {
        for (parameter, given, max) in [
            ("input_tokens", input_tokens, MAX_TOKENS),
            ("output_tokens", output_tokens, MAX_TOKENS),
            ("cached_tokens", cached_tokens, MAX_TOKENS),
            ("queries", queries, MAX_QUERIES),
        ] {
            if given > max {
                return Err(InvalidUsage::TooMuch { parameter, max });
            }
        }
        if cached_tokens > input_tokens {
            return Err(InvalidUsage::MoreCachedThanInput);
        }
        Ok(Self { input: input_tokens, output: output_tokens, cached: cached_tokens, queries })
    }
}

/// An exact amount in USD: a decimal string without exponent or trailing zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, pattern = r"^[0-9]+(\.[0-9]+)?$")]
pub struct Amount(Decimal);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The cost of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cost {
    /// Always `USD`.
    pub currency: &'static str,
    /// The sum of the breakdown.
    pub total: Amount,
    /// The threshold, in tokens, of the tier that applies to the whole request; `null`: the base prices apply.
    pub tier_above_prompt_tokens: Option<u64>,
    /// The charges, in the order `input`, `cache_read`, `output`, `per_query`, without unused ones.
    pub breakdown: Vec<Line>,
}

/// One charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CostLine)]
pub struct Line {
    /// What is charged. `input` excludes cached tokens.
    pub component: Component,
    /// The price charged: `input` for `cache_read` if cached tokens have no known price.
    pub charged_as: Component,
    /// Number of tokens or queries.
    pub quantity: u64,
    /// In USD per 1,000,000 tokens, or per query.
    pub unit_price: Price,
    /// Quantity times price, in USD.
    pub amount: Amount,
}

/// The cost is unknown, because a price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the price of `{missing}` is unknown")]
pub struct PriceUnknown {
    /// The first missing price.
    pub missing: Component,
}

/// Returns the cost of a usage.
///
/// The tier with the highest threshold below the prompt's length, cached tokens included, applies to the whole request
/// and replaces the prices it names. Cached tokens without a known price cost as much as input.
///
/// # Errors
/// [`PriceUnknown`] when a used item has no known price, such as tokens of a model priced per query.
pub fn cost(pricing: &Pricing, usage: &Usage) -> Result<Cost, PriceUnknown> {
    let tier = pricing
        .tiers
        .iter()
        .filter(|tier| usage.input > tier.above_prompt_tokens)
        .max_by_key(|tier| tier.above_prompt_tokens);
    let tiered = |price: fn(&Tier) -> Option<Price>, base: Option<Price>| tier.and_then(price).or(base);
    let input = tiered(|tier| tier.input, pricing.input);
    let cache_read = tiered(|tier| tier.cache_read, pricing.cache_read);
    let output = tiered(|tier| tier.output, pricing.output);
    let (cached_as, cached_price) = match (cache_read, input) {
        (None, Some(_)) => (Component::Input, input),
        _ => (Component::CacheRead, cache_read),
    };
    let uncached = usage.input.saturating_sub(usage.cached);
    let mut breakdown = Vec::new();
    for (component, charged_as, quantity, price) in [
        (Component::Input, Component::Input, uncached, input),
        (Component::CacheRead, cached_as, usage.cached, cached_price),
        (Component::Output, Component::Output, usage.output, output),
        (Component::PerQuery, Component::PerQuery, usage.queries, pricing.per_query),
    ] {
        if quantity == 0 {
            continue;
        }
        let unit_price = price.ok_or(PriceUnknown { missing: component })?;
        // Multiplies by a millionth instead of dividing: within these bounds the product is exact.
        let per_unit = if component == Component::PerQuery { Decimal::ONE } else { Decimal::new(1, 6) };
        let amount = Amount(Decimal::from(quantity) * per_unit * unit_price.amount());
        breakdown.push(Line { component, charged_as, quantity, unit_price, amount });
    }
    Ok(Cost {
        currency: CURRENCY,
        total: Amount(breakdown.iter().map(|line| line.amount.0).sum()),
        tier_above_prompt_tokens: tier.map(|tier| tier.above_prompt_tokens),
        breakdown,
    })
}

#[cfg(test)]
mod tests;
