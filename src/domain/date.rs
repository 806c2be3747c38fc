//! Dates as providers publish them: a day, or only a month.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime, Time};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// `YYYY-MM-DD` or `YYYY-MM`, checked against the calendar. Orders by time; a month sorts before its days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartialDate {
    year: i32,
    month: u8,
    /// `None` when only the month is known.
    day: Option<u8>,
}

/// Text that is not `YYYY-MM` or `YYYY-MM-DD`, or names no day of the calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date: expected YYYY-MM or YYYY-MM-DD")]
pub struct InvalidDate(pub String);

impl PartialDate {
    /// Midnight UTC at the start of the day, or of the month's first day.
    #[must_use]
    pub fn midnight(self) -> Option<OffsetDateTime> {
        let month = Month::try_from(self.month).ok()?;
        let date = Date::from_calendar_date(self.year, month, self.day.unwrap_or(1)).ok()?;
        Some(OffsetDateTime::new_utc(date, Time::MIDNIGHT))
    }
}

impl std::str::FromStr for PartialDate {
    type Err = InvalidDate;
    fn from_str(text: &str) -> Result<Self, InvalidDate> {
        let invalid = || InvalidDate(text.chars().take(40).collect());
        let digits = |part: &str, len: usize| {
            (part.len() == len && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse::<u16>().ok())
                .flatten()
        };
        let mut parts = text.split('-');
        let year = parts.next().and_then(|p| digits(p, 4)).ok_or_else(invalid)?;
        let month = parts.next().and_then(|p| digits(p, 2)).ok_or_else(invalid)?;
        let day = match parts.next() {
            None => None,
            Some(part) => Some(digits(part, 2).ok_or_else(invalid)?),
        };
        let narrow = |n: u16| u8::try_from(n).map_err(|_| invalid());
        let date = Self { year: i32::from(year), month: narrow(month)?, day: day.map(narrow).transpose()? };
        if parts.next().is_some() || date.midnight().is_none() {
            return Err(invalid());
        }
        Ok(date)
    }
}

impl TryFrom<String> for PartialDate {
    type Error = InvalidDate;
    fn try_from(text: String) -> Result<Self, InvalidDate> {
        text.parse()
    }
}

impl From<PartialDate> for String {
    fn from(date: PartialDate) -> Self {
        date.to_string()
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)?;
        self.day.map_or(Ok(()), |day| write!(f, "-{day:02}"))
    }
}

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
    fn months_and_days_are_read_back_as_written_and_in_order() {
        let parse = |text: &str| text.parse::<PartialDate>().unwrap();
        for text in ["2025-01", "2024-02-29", "0001-12-31"] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert!(parse("2025-01") < parse("2025-01-01"));
        assert!(parse("2025-01-31") < parse("2025-02"));
    }

    #[test]
    fn what_is_not_in_the_calendar_is_refused() {
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
            "2025-01-1x",
        ] {
            assert!(bad.parse::<PartialDate>().is_err(), "{bad}");
        }
    }
}
