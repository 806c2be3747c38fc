//! Parses PostgreSQL's text forms, for columns whose type differs from the migrations.

use std::borrow::Cow;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// Reads a boolean as PostgreSQL does: a word, its beginning, or a number.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    let word = text.trim().to_ascii_lowercase();
    let begins = |whole: &str| whole.starts_with(&word);
    match &*word {
        "" | "o" => Err("not a boolean".to_owned()),
        _ if ["true", "yes", "on"].into_iter().any(begins) => Ok(true),
        _ if ["false", "no", "off"].into_iter().any(begins) => Ok(false),
        _ => match word.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number != 0.0),
            _ => Err(format!("{text} is not a boolean")),
        },
    }
}

/// Reads a whole number. Rounds a fraction as PostgreSQL's cast does.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    let text = text.trim();
    text.parse().or_else(|_| match text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "saturates far above the highest count")]
        Ok(number) if number.is_finite() => Ok(number.round() as i64),
        _ => Err(format!("{text} is not a number")),
    })
}

/// Rewrites a decimal number without exponent and trailing zeros.
pub(super) fn decimal(text: &str) -> Cow<'_, str> {
    if let Some(number) = text.contains(['e', 'E']).then(|| text.parse::<f64>().ok()).flatten() {
        // An amount too small for a float must not become zero.
        return if number == 0.0 { Cow::Borrowed(text) } else { Cow::Owned(number.to_string()) };
    }
    match text.split_once('.') {
        Some((whole, fraction)) if !whole.is_empty() && fraction.ends_with('0') => {
            Cow::Borrowed(text.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => Cow::Borrowed(text),
    }
}

/// Removes the time from a timestamp.
pub(super) fn day(text: &str) -> &str {
    match text.split_once(['T', ' ']) {
        Some((day, time)) if time.starts_with(|first: char| first.is_ascii_digit()) => day,
        _ => text,
    }
}

/// Reads a date or timestamp in ISO or PostgreSQL format; UTC by default.
pub(super) fn timestamp(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    let (date, rest) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let (time, offset) = rest.split_at(rest.find(['Z', '+', '-']).unwrap_or(rest.len()));
    let seconds = if time.len() == "00:00".len() { ":00" } else { "" };
    let (hours, minutes) = offset.split_at_checked("+00".len()).unwrap_or(("+00", ""));
    let minutes = if minutes.is_empty() { "00" } else { minutes.trim_start_matches(':') };
    let read = OffsetDateTime::parse(&format!("{date}T{time}{seconds}{hours}:{minutes}"), &Rfc3339).ok()?;
    read.checked_to_offset(UtcOffset::UTC).filter(|read| (1..=9999).contains(&read.year()))
}

/// Splits an array such as `{a,b}` into its elements; any other text is one element.
pub(super) fn elements(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let elements = inner.unwrap_or(text).split(move |c| inner.is_some() && matches!(c, ',' | '{' | '}'));
    let present = elements.map(str::trim).filter(|element| !element.eq_ignore_ascii_case("null"));
    present.map(|element| {
        element.strip_prefix('"').and_then(|element| element.strip_suffix('"')).unwrap_or(element)
    })
}
