//! Prices in USD.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text::text_serde;

/// Currency of every price.
pub const CURRENCY: &str = "USD";
/// Unit of every token price.
pub const UNIT: &str = "per_1m_tokens";
/// Highest price, in USD, within the columns' `numeric(16,8)`.
pub const MAX_PRICE: u32 = 10_000_000;
/// Decimal places, as in the columns.
pub const MAX_SCALE: u32 = 8;

/// An exact amount in USD, 0 to [`MAX_PRICE`] with at most [`MAX_SCALE`] decimal places.
///
/// Token prices are per 1,000,000 tokens. The text is a decimal without exponent, sign or trailing zeros. `"0"` is
/// free; unknown is an `Option`, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(
    value_type = String,
    description = "USD as a decimal string, 0 to 10000000 with at most 8 decimal places. `\"0\"` is free.",
    pattern = r"^(0?[0-9]{1,7}(\.[0-9]{1,8})?|10000000(\.0{1,8})?)$"
)]
pub struct Price(Decimal);

/// Text that is not a price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a price is a decimal number from 0 to {MAX_PRICE} with at most {MAX_SCALE} decimal places, in USD")]
pub struct InvalidPrice;

impl Price {
    /// Free.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Returns the exact amount.
    pub fn amount(self) -> Decimal {
        self.0
    }

    /// Returns the amount in 0.00000001 USD, at most 10^15, to compare.
    pub fn smallest_units(self) -> u64 {
        let factor = 10_u64.saturating_pow(MAX_SCALE.saturating_sub(self.0.scale()));
        u64::try_from(self.0.mantissa()).unwrap_or(u64::MAX).saturating_mul(factor)
    }
}

impl std::str::FromStr for Price {
    type Err = InvalidPrice;
    fn from_str(text: &str) -> Result<Self, InvalidPrice> {
        // At most 8 digits, so that the pattern in the schema is exact.
        let digits = |part: &str| matches!(part.len(), 1..=8) && part.bytes().all(|b| b.is_ascii_digit());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if !digits(whole) || !digits(fraction) {
            return Err(InvalidPrice);
        }
        let amount = Decimal::from_str_exact(text).map_err(|_| InvalidPrice)?.normalize();
        if amount > Decimal::from(MAX_PRICE) {
            return Err(InvalidPrice);
        }
        Ok(Self(amount))
    }
}

text_serde!(Price);

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Prices of a model. Each is `None` when unknown; if all are, there is no pricing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = Prices, description = "Prices in USD; `null` is unknown.")]
pub struct Pricing {
    /// Per 1,000,000 prompt tokens.
    pub input: Option<Price>,
    /// Per 1,000,000 generated tokens.
    pub output: Option<Price>,
    /// Per 1,000,000 prompt tokens read from the provider's cache.
    pub cache_read: Option<Price>,
    /// Per 1,000,000 prompt tokens written to the provider's cache.
    pub cache_write: Option<Price>,
    /// Per query. A model priced per query has no token prices.
    pub per_query: Option<Price>,
    /// Prices that replace the base prices for long prompts, by rising threshold.
    pub tiers: Vec<Tier>,
    /// Cheaper hours, for information: costs use the base price.
    pub off_peak: Option<OffPeak>,
}

impl Pricing {
    /// Whether a token price is known.
    pub fn has_token_price(&self) -> bool {
        [self.input, self.output, self.cache_read, self.cache_write].iter().any(Option::is_some)
    }
}

/// Prices of a whole request whose prompt exceeds a threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tier {
    /// Applies to prompts of more tokens.
    pub above_prompt_tokens: u64,
    /// Per 1,000,000 prompt tokens; `null` keeps the base price.
    #[serde(default)]
    pub input: Option<Price>,
    /// Per 1,000,000 generated tokens; `null` keeps the base price.
    #[serde(default)]
    pub output: Option<Price>,
    /// Per 1,000,000 cached prompt tokens; `null` keeps the base price.
    #[serde(default)]
    pub cache_read: Option<Price>,
}

/// Prices in a provider's off-peak hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OffPeak {
    /// Per 1,000,000 prompt tokens.
    #[serde(default)]
    pub input: Option<Price>,
    /// Per 1,000,000 generated tokens.
    #[serde(default)]
    pub output: Option<Price>,
    /// Per 1,000,000 cached prompt tokens.
    #[serde(default)]
    pub cache_read: Option<Price>,
    /// When they apply.
    #[serde(default)]
    pub windows_utc: Vec<OffPeakWindow>,
}

/// Hours of the week, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OffPeakWindow {
    /// Ranges such as `10:00-00:00`; `00:00-00:00` is the whole day.
    pub hours_utc: Vec<String>,
    /// Days, Monday = 1 to Sunday = 7.
    #[schema(minimum = 1, maximum = 7)]
    pub weekdays: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact_and_lose_their_trailing_zeros() {
        for (given, written) in [("0.30", "0.3"), ("10.0", "10"), ("0.00", "0"), ("0.00000001", "0.00000001")]
        {
            assert_eq!(given.parse::<Price>().unwrap().to_string(), written);
        }
        for (given, units) in
            [("0", 0), ("0.00000001", 1), ("1.50", 150_000_000), ("10000000", 1_000_000_000_000_000)]
        {
            assert_eq!(given.parse::<Price>().unwrap().smallest_units(), units);
        }
        assert!("0.1".parse::<Price>().unwrap() < "0.25".parse::<Price>().unwrap());
    }

    #[test]
    fn prices_reject_signs_exponents_and_excess_digits() {
        for bad in [
            "",
            "-1",
            "+1",
            "1e3",
            "NaN",
            "inf",
            ".5",
            "5.",
            "1,5",
            "0.000000001",
            "0.300000000",
            "000000001",
            "10000001",
            "1_000",
            &"9".repeat(41),
        ] {
            assert_eq!(bad.parse::<Price>(), Err(InvalidPrice), "{bad}");
        }
    }
}
