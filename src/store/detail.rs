//! Reads the details of catalogue rows, and records those that are invalid.
//!
//! The tables' CHECK constraints follow the same rules; `tests/it/checks.rs` compares them.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::domain::date::PartialDate;
use crate::domain::price::{OffPeak, OffPeakWindow, Price, Tier};

use super::text_form;

/// Maximum length of names and other short texts, in characters.
pub(super) const SHORT_TEXT: usize = 200;
/// Maximum length of a URL, in characters.
const URL: usize = 500;
/// Maximum of a model's price tiers, and of its off-peak windows.
const MAX_STEPS: usize = 20;
/// Maximum of hour ranges in one window.
const MAX_RANGES: usize = 24;
/// Maximum threshold of a price tier, in tokens.
const MAX_THRESHOLD: u64 = 9_999_999_999;
/// Maximum of details kept by name; more are only counted.
const MAX_NAMED: usize = 1_000;
/// Maximum length of a reason, which may quote any value, in characters.
const MAX_REASON: usize = 300;

/// An optional value that is unreadable and served as missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IgnoredDetail {
    /// The row, such as `model openai/gpt-4o`.
    pub row: String,
    /// The column that holds the detail.
    pub column: &'static str,
    /// Why it cannot be read.
    pub reason: String,
}

impl Display for IgnoredDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.row, self.column, self.reason)
    }
}

/// The details that a load ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IgnoredDetails {
    named: BTreeSet<IgnoredDetail>,
    count: usize,
}

impl IgnoredDetails {
    /// Returns the first 1,000 by row and column, independent of read order.
    pub fn named(&self) -> &BTreeSet<IgnoredDetail> {
        &self.named
    }

    /// Returns how many were ignored.
    pub fn count(&self) -> usize {
        self.count
    }

    pub(super) fn append(&mut self, more: Self) {
        self.count += more.count;
        more.named.into_iter().for_each(|detail| self.name(detail));
    }

    fn name(&mut self, detail: IgnoredDetail) {
        self.named.insert(detail);
        if self.named.len() > MAX_NAMED {
            self.named.pop_last();
        }
    }
}

/// Shortens a reason to fit into a line.
pub(super) fn shortened(reason: &str) -> String {
    reason.chars().take(MAX_REASON).collect()
}

/// Reads the details of one row.
pub(super) struct Details<'a> {
    table: &'static str,
    id: &'a str,
    ignored: &'a mut IgnoredDetails,
}

impl<'a> Details<'a> {
    pub fn of(table: &'static str, id: &'a str, ignored: &'a mut IgnoredDetails) -> Self {
        Self { table, id, ignored }
    }

    /// Records a detail as ignored.
    pub fn ignore(&mut self, column: &'static str, reason: impl Display) {
        self.ignored.count += 1;
        let row = format!("{} {}", self.table, self.id);
        let reason = shortened(&reason.to_string());
        self.ignored.name(IgnoredDetail { row, column, reason });
    }

    /// Returns the value, or records the detail as ignored.
    pub fn keep<T, E: Display>(&mut self, column: &'static str, read: Result<T, E>) -> Option<T> {
        read.map_err(|reason| self.ignore(column, reason)).ok()
    }

    pub fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        column: &'static str,
        text: Option<&str>,
    ) -> Option<T> {
        self.keep(column, text?.parse())
    }

    pub fn date(&mut self, column: &'static str, text: Option<&str>) -> Option<PartialDate> {
        self.parsed(column, text.map(text_form::day))
    }

    pub fn price(&mut self, column: &'static str, text: Option<&str>) -> Option<Price> {
        self.parsed(column, text.map(text_form::decimal).as_deref())
    }

    pub fn text(&mut self, column: &'static str, text: Option<String>) -> Option<String> {
        self.keep(column, bounded(text?, SHORT_TEXT))
    }

    pub fn url(&mut self, column: &'static str, text: Option<String>) -> Option<String> {
        let text = self.keep(column, bounded(text?, URL))?;
        let is_url = text.starts_with("https://") || text.starts_with("http://");
        self.keep(column, if is_url { Ok(text) } else { Err("an address begins with https:// or http://") })
    }

    /// Reads a text that satisfies a rule.
    pub fn checked(
        &mut self,
        column: &'static str,
        text: Option<String>,
        rule: fn(&str) -> bool,
    ) -> Option<String> {
        let text = text?;
        self.keep(column, if rule(&text) { Ok(text) } else { Err("not a valid value") })
    }

    /// Reads a positive number of tokens or dimensions.
    pub fn count(&mut self, column: &'static str, number: Option<i64>) -> Option<u32> {
        let number = number?;
        let count = u32::try_from(number).ok().filter(|count| *count > 0);
        self.keep(column, count.ok_or_else(|| format!("{number} is not a count from 1 to {}", u32::MAX)))
    }

    /// Reads the known words of a list, without duplicates.
    pub fn words<T: FromStr<Err: Display> + PartialEq>(
        &mut self,
        column: &'static str,
        text: Option<&str>,
    ) -> Vec<T> {
        let mut known = Vec::new();
        for word in text.into_iter().flat_map(str::split_ascii_whitespace) {
            match self.keep(column, word.parse()) {
                Some(value) if !known.contains(&value) => known.push(value),
                _ => {}
            }
        }
        known
    }

    /// Reads the valid price tiers.
    pub fn tiers(&mut self, column: &'static str, json: Option<&str>) -> Vec<Tier> {
        let Some(json) = json.filter(|json| !matches!(*json, "[]" | "null")) else { return Vec::new() };
        let elements: Vec<&RawValue> = self.keep(column, serde_json::from_str(json)).unwrap_or_default();
        let mut tiers = Vec::new();
        for (place, element) in elements.into_iter().enumerate() {
            let read =
                serde_json::from_str::<Object<TierColumns>>(element.get()).map_err(|error| error.to_string());
            let read = if place < MAX_STEPS { read } else { Err(format!("more than {MAX_STEPS} tiers")) };
            tiers.extend(self.keep(column, read).map(|Object(tier)| {
                let TierColumns { above_prompt_tokens, input, output, cache_read } = tier;
                Tier { above_prompt_tokens, input, output, cache_read }
            }));
        }
        tiers
    }

    pub fn off_peak(&mut self, column: &'static str, json: Option<&str>) -> Option<OffPeak> {
        let json = json.filter(|json| *json != "null")?;
        let Object(prices) = self.keep(column, serde_json::from_str::<Object<OffPeakColumns>>(json))?;
        let OffPeakColumns { input, output, cache_read, windows_utc } = prices;
        let window = |Object(window): Object<WindowColumns>| OffPeakWindow {
            hours_utc: window.hours_utc.into_iter().map(|Hours(hours)| hours).collect(),
            weekdays: window.weekdays.into_iter().map(|Weekday(day)| day).collect(),
        };
        Some(OffPeak {
            input,
            output,
            cache_read,
            windows_utc: windows_utc.into_iter().map(window).collect(),
        })
    }
}

/// Accepts a text of 1 to `most` characters.
pub(super) fn bounded(text: String, most: usize) -> Result<String, String> {
    // The byte length is cheaper than counting characters.
    let fits = text.len() <= most || text.chars().take(most + 1).count() <= most;
    if fits && !text.is_empty() { Ok(text) } else { Err(format!("expected 1 to {most} characters")) }
}

/// A price tier in `price_tiers`. Refuses unknown fields: a misspelt price would leave the base price in force.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TierColumns {
    #[serde(deserialize_with = "whole::<_, _, MAX_THRESHOLD>")]
    above_prompt_tokens: u64,
    input: Option<Price>,
    output: Option<Price>,
    cache_read: Option<Price>,
}

/// Off-peak prices in `price_off_peak`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OffPeakColumns {
    input: Option<Price>,
    output: Option<Price>,
    cache_read: Option<Price>,
    #[serde(default, deserialize_with = "at_most::<_, _, MAX_STEPS>")]
    windows_utc: Vec<Object<WindowColumns>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowColumns {
    #[serde(deserialize_with = "at_most::<_, _, MAX_RANGES>")]
    hours_utc: Vec<Hours>,
    #[serde(deserialize_with = "at_most::<_, _, 7>")]
    weekdays: Vec<Weekday>,
}

/// Accepts only a JSON object, whereas serde also reads a struct from an array.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// A range such as `10:00-00:00`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hours(String);

impl TryFrom<String> for Hours {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = |part: &[u8], most: &[u8; 2]| part.iter().all(u8::is_ascii_digit) && part <= &most[..];
        let is_range = text.len() == 11
            && matches!(text.as_bytes(), [h1, h2, b':', m1, m2, b'-', h3, h4, b':', m3, m4]
                if digits(&[*h1, *h2], b"23") && digits(&[*m1, *m2], b"59")
                    && digits(&[*h3, *h4], b"23") && digits(&[*m3, *m4], b"59"));
        if is_range { Ok(Self(text)) } else { Err("hours are a range such as 10:00-00:00") }
    }
}

/// A day of the week, Monday = 1.
#[derive(Deserialize)]
struct Weekday(#[serde(deserialize_with = "whole::<_, _, 7>")] u8);

/// Reads a whole number from 1 to `MOST`, also as `200000.0`, which PostgreSQL keeps as written.
fn whole<'de, T, D, const MOST: u64>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<u64>,
    D: Deserializer<'de>,
{
    let number = serde_json::Number::deserialize(deserializer)?;
    let text = number.to_string();
    let digits = text.split_once('.').map_or(text.as_str(), |(whole, fraction)| {
        if fraction.bytes().all(|digit| digit == b'0') { whole } else { "" }
    });
    let whole = digits.parse().ok().filter(|number| (1..=MOST).contains(number));
    whole.and_then(|number| number.try_into().ok()).ok_or_else(|| {
        serde::de::Error::custom(format_args!("{text} is not a whole number from 1 to {MOST}"))
    })
}

fn at_most<'de, T, D, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let list = Vec::deserialize(deserializer)?;
    if list.len() <= MOST {
        return Ok(list);
    }
    Err(serde::de::Error::custom(format_args!("more than {MOST} elements")))
}
