//! Price bands for facets.

use super::closed::closed_enum;
use super::model::Model;
use super::price::Price;

closed_enum!(
    /// Bands of the base price of input, in USD per 1,000,000 tokens. A bound belongs to the band above.
    PriceBand {
        /// Confirmed free, or an input price of 0.
        Free = "free",
        /// Above 0 and below 1.
        Under1 = "under_1",
        /// From 1 to below 5.
        From1To5 = "1_to_5",
        /// From 5 to below 20.
        From5To20 = "5_to_20",
        /// 20 or more.
        Over20 = "over_20",
        /// Unknown input price, as of models priced per query.
        Unknown = "unknown",
    }
);

/// In the units of [`Price::smallest_units`].
const ONE_USD: u64 = 100_000_000;

impl PriceBand {
    /// Returns the band of a model.
    pub fn of(model: &Model) -> Self {
        if model.is_free == Some(true) {
            return Self::Free;
        }
        match model.pricing.as_ref().and_then(|p| p.input) {
            None => Self::Unknown,
            Some(price) if price == Price::ZERO => Self::Free,
            Some(price) => match price.smallest_units() / ONE_USD {
                0 => Self::Under1,
                1..5 => Self::From1To5,
                5..20 => Self::From5To20,
                _ => Self::Over20,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::price::Pricing;
    use crate::domain::testing::SEED;

    #[test]
    fn a_bound_belongs_to_the_band_above_it() {
        let mut model = SEED.models[0].clone();
        model.is_free = Some(false);
        for (price, band) in [
            ("0", PriceBand::Free),
            ("0.00000001", PriceBand::Under1),
            ("0.99999999", PriceBand::Under1),
            ("1", PriceBand::From1To5),
            ("5", PriceBand::From5To20),
            ("19.99", PriceBand::From5To20),
            ("20", PriceBand::Over20),
        ] {
            model.pricing = Some(Pricing { input: Some(price.parse().unwrap()), ..Pricing::default() });
            assert_eq!(PriceBand::of(&model), band, "{price}");
        }
        model.pricing = None;
        assert_eq!(PriceBand::of(&model), PriceBand::Unknown);
        model.is_free = Some(true);
        assert_eq!(PriceBand::of(&model), PriceBand::Free);
    }
}
