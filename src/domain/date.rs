//! Dates as providers publish them: a day or a month.

use std::fmt;

use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::text::text_serde;

const DAY: StaticFormatDescription = format_description!("[year]-[month]-[day]");

/// `YYYY-MM-DD` or `YYYY-MM`, checked against the calendar. A month sorts before its days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartialDate {
    /// The day, or the month's first day.
    first: Date,
    has_day: bool,
}

/// Text that is not `YYYY-MM` or `YYYY-MM-DD`, or not a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date: expected YYYY-MM or YYYY-MM-DD")]
pub struct InvalidDate(pub String);

impl PartialDate {
    /// Returns midnight UTC at the start of the day, or of the month's first day.
    pub fn midnight(self) -> OffsetDateTime {
        self.first.midnight().assume_utc()
    }
}

impl std::str::FromStr for PartialDate {
    type Err = InvalidDate;
    fn from_str(text: &str) -> Result<Self, InvalidDate> {
        let has_day = text.len() == 10;
        let first = match text.len() {
            7 => Date::parse(&format!("{text}-01"), DAY),
            _ => Date::parse(text, DAY),
        };
        match first {
            Ok(first) => Ok(Self { first, has_day }),
            Err(_) => Err(InvalidDate(text.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), u8::from(self.first.month()))?;
        if self.has_day { write!(f, "-{:02}", self.first.day()) } else { Ok(()) }
    }
}

text_serde!(PartialDate);

impl ToSchema for PartialDate {}

impl PartialSchema for PartialDate {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$"))
            .description(Some("`YYYY-MM-DD`, or `YYYY-MM` where only the month is known."))
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_days_round_trip_and_sort() {
        let parse = |text: &str| text.parse::<PartialDate>().unwrap();
        for text in ["2025-01", "2024-02-29", "0001-12-31"] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert!(parse("2025-01") < parse("2025-01-01"));
        assert!(parse("2025-01-31") < parse("2025-02"));
    }

    #[test]
    fn dates_outside_the_calendar_are_rejected() {
        for bad in [
            "",
            "2025",
            "2025-13",
            "2025-00",
            "2025-02-30",
            "2025-1",
            "25-01-01",
            "2025-01-01-01",
            "+025-01",
            "-025-01",
            "+2025-01",
            "-02025-01-01",
            "２０25-01",
            "2025-01-1x",
        ] {
            assert!(bad.parse::<PartialDate>().is_err(), "{bad}");
        }
    }
}
