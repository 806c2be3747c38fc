//! Strict parsing of query strings, so that a typo never returns everything.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use utoipa::IntoParams;

use crate::domain::closed::UnknownName;
use crate::domain::did_you_mean::did_you_mean;

use crate::http::reply::{ApiError, Code};

/// The most name-value pairs in a query string.
const MAX_PAIRS: usize = 500;
/// The longest excerpt of a bad value in an error.
const MAX_ECHO_CHARS: usize = 60;

/// Decoded query parameters. `name[]` counts as `name`, and an empty value as absent.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Splits and decodes a query string.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_PAIRS {
                let detail = format!("a query may have {MAX_PAIRS} parameters");
                return Err(ApiError::new(Code::BadRequest, detail));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            let name = name.strip_suffix("[]").unwrap_or(&name).to_owned();
            if value.contains('\0') {
                return Err(ApiError::parameter(&echo(&name), "a NUL character cannot be part of a value"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// Refuses names outside `known`.
    pub fn only(self, known: &[String]) -> Result<Self, ApiError> {
        let Some((name, _)) = self.0.iter().find(|(name, _)| !known.contains(name)) else { return Ok(self) };
        let (name, known) = (echo(name), known.iter().map(String::as_str));
        let detail = format!("`{name}` is not a parameter of this route");
        let suggestion = did_you_mean(&name, known.clone());
        Err(ApiError::new(Code::UnknownParameter, detail).of(&name).allowing(known).suggesting(suggestion))
    }

    /// Returns the value of a parameter; an error if it is repeated.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.0.iter().filter(|(given, value)| given == name && !value.is_empty());
        let first = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            Some(_) => Err(ApiError::parameter(name, "is given more than once")),
            None => Ok(first),
        }
    }

    /// Parses the value of a parameter. `expected` completes "expected …".
    pub fn one<T: FromStr>(&self, name: &str, expected: impl Display) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(ApiError::parameter(name, format!("expected {expected}, not `{}`", echo(text)))),
        }
    }

    /// Parses `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let value = self.one(name, "true or false");
        value.map_err(|error| error.allowing(["true", "false"]))
    }

    /// Parses one name of a closed enumeration.
    pub fn name<T: FromStr<Err = UnknownName>>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.text(name)?.map(|text| named(name, text)).transpose()
    }

    /// Parses names of a closed enumeration, repeated or comma-separated.
    pub fn names<T: FromStr<Err = UnknownName>>(&self, name: &str) -> Result<Vec<T>, ApiError> {
        self.list(name).map(|text| named(name, text)).collect()
    }

    /// Returns the non-empty values of a parameter, repeated or comma-separated.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let given = self.0.iter().filter(move |(given, _)| given == name);
        given.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|value| !value.is_empty())
    }
}

fn named<T: FromStr<Err = UnknownName>>(name: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error: UnknownName| not_among(name, text, error.allowed.iter().copied()))
}

/// Returns the names of the parameters that `P` documents.
pub fn names<P: IntoParams>() -> impl Iterator<Item = String> {
    P::into_params(|| None).into_iter().map(|parameter| parameter.name)
}

/// Returns the error for a value outside a closed list.
pub fn not_among<'a>(
    parameter: &str,
    given: &str,
    allowed: impl IntoIterator<Item = &'a str> + Clone,
) -> ApiError {
    let suggestion = did_you_mean(given, allowed.clone());
    let error = ApiError::parameter(parameter, format!("`{}` is not among the allowed values", echo(given)));
    error.suggesting(suggestion).allowing(allowed)
}

/// Truncates a client's text for an error.
pub fn echo(text: &str) -> String {
    if text.chars().nth(MAX_ECHO_CHARS).is_none() {
        return text.to_owned();
    }
    text.chars().take(MAX_ECHO_CHARS).chain(['…']).collect()
}

fn decode(text: &str) -> Result<String, ApiError> {
    let text = text.replace('+', " ");
    let detail = "the query is not valid UTF-8 once percent-decoded";
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| ApiError::new(Code::BadRequest, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_may_be_repeated_comma_separated_or_bracketed() {
        let params = Params::parse("a=x&a[]=y,z&a%5B%5D=w&a=&b=+c%2B").unwrap();
        assert_eq!(params.list("a").collect::<Vec<_>>(), ["x", "y", "z", "w"]);
        assert_eq!(params.text("b").unwrap(), Some(" c+"));
    }

    #[test]
    fn invalid_utf_8_and_repeated_values_are_refused() {
        assert!(Params::parse("q=%ff").is_err());
        assert!(Params::parse("limit=1&limit=2").unwrap().text("limit").is_err());
        assert!(Params::parse(&"a=1&".repeat(501)).is_err());
    }

    #[test]
    fn a_misspelt_parameter_is_refused_with_a_suggestion() {
        let error = Params::parse("provder=openai")
            .unwrap()
            .only(&["provider", "limit"].map(str::to_owned))
            .unwrap_err();
        assert!(String::from_utf8(error.body("r", false)).unwrap().contains(r#""did_you_mean":"provider""#));
    }
}
