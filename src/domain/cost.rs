//! What a request would cost: exact, with the way to the sum.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::closed::closed_enum;
use super::price::{CURRENCY, Price, Pricing, Tier};

/// The most tokens of one sort that a cost is said for. With prices of at most 10^7 USD and eight decimal places every
/// amount and every total keeps within the 28 digits of a [`Decimal`].
pub const MAX_TOKENS: u64 = 1_000_000_000_000;
/// The most queries that a cost is said for, for the same reason.
pub const MAX_QUERIES: u64 = 1_000_000;

closed_enum!(
    /// The prices a request can be charged at, by their names in a model's pricing.
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

/// What a request uses. Checked: see [`Usage::new`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    input: u64,
    output: u64,
    cached: u64,
    queries: u64,
}

/// A usage that no cost is said for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsage {
    /// More than [`MAX_TOKENS`] or [`MAX_QUERIES`].
    #[error("`{parameter}` is at most {max}")]
    TooMuch {
        /// The name of the parameter.
        parameter: &'static str,
        /// The most it may be.
        max: u64,
    },
    /// More cached tokens than the prompt has.
    #[error("`cached_tokens` are part of `input_tokens` and cannot be more")]
    MoreCachedThanInput,
}

impl Usage {
    /// Checks the figures. `cached_tokens` are those of `input_tokens` that the provider reads from its cache.
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

/// An exact amount in USD. Written as a decimal string without an exponent or trailing zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, pattern = r"^[0-9]+(\.[0-9]+)?$")]
pub struct Amount(Decimal);

impl Amount {
    /// The exact amount.
    pub fn amount(self) -> Decimal {
        self.0
    }
}

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

/// What a request costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cost {
    /// Always `USD`.
    pub currency: &'static str,
    /// The sum of the breakdown.
    pub total: Amount,
    /// The threshold, in tokens, of the tier whose prices hold for the whole request; `null`: the base prices do.
    #[schema(required)]
    pub tier_above_prompt_tokens: Option<u64>,
    /// What is charged, in the order `input`, `cache_read`, `output`, `per_query`; nothing of what is not used.
    pub breakdown: Vec<Line>,
}

/// One sort of charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CostLine)]
pub struct Line {
    /// What is charged. `input` is the prompt without its cached tokens.
    pub component: Component,
    /// The price it is charged at: `input` for `cache_read` where no price of cached tokens is known.
    pub charged_as: Component,
    /// A number of tokens, or of queries.
    pub quantity: u64,
    /// In USD per 1,000,000 tokens, or per query.
    pub unit_price: Price,
    /// Quantity times price, in USD.
    pub amount: Amount,
}

/// A cost that cannot be said, because a price is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the price of `{missing}` is unknown")]
pub struct PriceUnknown {
    /// The first price that is missing.
    pub missing: Component,
}

/// What the usage costs at these prices.
///
/// The tier with the highest threshold below the prompt's length, cached tokens included, holds for the whole request
/// and replaces the prices it names. Cached tokens without a known price of their own are charged as input. What is
/// not used needs no price.
///
/// # Errors
/// [`PriceUnknown`] when something is used whose price is unknown: tokens of a model priced per query too.
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
        breakdown.push(Line {
            component,
            charged_as,
            quantity,
            unit_price,
            amount: amount(component, quantity, unit_price),
        });
    }
    Ok(Cost {
        currency: CURRENCY,
        total: Amount(breakdown.iter().map(|line| line.amount.0).sum()),
        tier_above_prompt_tokens: tier.map(|tier| tier.above_prompt_tokens),
        breakdown,
    })
}

/// Quantity times price. Multiplies by a millionth instead of dividing: a product of these bounds is exact.
fn amount(component: Component, quantity: u64, unit_price: Price) -> Amount {
    let units = match component {
        Component::PerQuery => Decimal::from(quantity),
        _ => Decimal::from(quantity) * Decimal::new(1, 6),
    };
    Amount(units * unit_price.amount())
}

#[cfg(test)]
mod tests;
