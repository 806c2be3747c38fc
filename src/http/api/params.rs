//! Query strings: read strictly, so that a typo never silently returns everything.

use std::fmt::Display;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use utoipa::IntoParams;

use crate::domain::closed::UnknownName;
use crate::domain::did_you_mean::did_you_mean;

use crate::http::reply::{ApiError, Code};

/// The most name-value pairs in a query.
const MAX_PAIRS: usize = 500;
/// How much of a bad value an error repeats.
const MAX_ECHO_CHARS: usize = 60;

/// The parameters of one request, decoded. `name[]` is `name`; empty values are absent ones.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Splits and decodes a query string.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_PAIRS {
                return Err(ApiError::new(
                    Code::BadRequest,
                    format!("a query may have {MAX_PAIRS} parameters"),
                ));
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

    /// Refuses names that are not in `known`.
    pub fn only(self, known: &[String]) -> Result<Self, ApiError> {
        match self.0.iter().find(|(name, _)| !known.contains(name)) {
            None => Ok(self),
            Some((name, _)) => {
                let name = echo(name);
                let error = ApiError::new(
                    Code::UnknownParameter,
                    format!("`{name}` is not a parameter of this route"),
                );
                Err(error
                    .of(&name)
                    .allowing(known.iter().map(String::as_str))
                    .suggesting(did_you_mean(&name, known.iter().map(String::as_str))))
            }
        }
    }

    /// The value of a parameter that may be given once.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.0.iter().filter(|(given, value)| given == name && !value.is_empty());
        let first = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            Some(_) => Err(ApiError::parameter(name, "is given more than once")),
            None => Ok(first),
        }
    }

    /// The same, parsed. `expected` completes "expected …".
    pub fn one<T: FromStr>(&self, name: &str, expected: impl Display) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(ApiError::parameter(name, format!("expected {expected}, not `{}`", echo(text)))),
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let value = self.one(name, "true or false");
        value.map_err(|error| error.allowing(["true", "false"]))
    }

    /// One name of a closed enumeration.
    pub fn name<T: FromStr<Err = UnknownName>>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.text(name)?.map(|text| named(name, text)).transpose()
    }

    /// All names of a closed enumeration, repeated or comma-separated.
    pub fn names<T: FromStr<Err = UnknownName>>(&self, name: &str) -> Result<Vec<T>, ApiError> {
        self.list(name).map(|text| named(name, text)).collect()
    }

    /// All values of a parameter, repeated or comma-separated, without empty ones.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let given = self.0.iter().filter(move |(given, _)| given == name);
        given.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|value| !value.is_empty())
    }
}

fn named<T: FromStr<Err = UnknownName>>(name: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error: UnknownName| not_among(name, text, error.allowed.iter().copied()))
}

/// The names of the parameters that a type documents.
pub fn names<P: IntoParams>() -> impl Iterator<Item = String> {
    P::into_params(|| None).into_iter().map(|parameter| parameter.name)
}

/// The error for a value that is not in a closed list.
pub fn not_among<'a>(
    parameter: &str,
    given: &str,
    allowed: impl IntoIterator<Item = &'a str> + Clone,
) -> ApiError {
    let suggestion = did_you_mean(given, allowed.clone());
    let error = ApiError::parameter(parameter, format!("`{}` is not among the allowed values", echo(given)));
    error.suggesting(suggestion).allowing(allowed)
}

/// As much of a client's text as an error repeats.
pub fn echo(text: &str) -> String {
    if text.chars().nth(MAX_ECHO_CHARS).is_none() {
        return text.to_owned();
    }
    text.chars().take(MAX_ECHO_CHARS).chain(['…']).collect()
}

fn decode(text: &str) -> Result<String, ApiError> {
    let text = text.replace('+', " ");
    match percent_decode_str(&text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(ApiError::new(Code::BadRequest, "the query is not valid UTF-8 once percent-decoded")),
    }
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
    fn what_is_not_utf_8_or_given_twice_is_refused() {
        assert!(Params::parse("q=%ff").is_err());
        assert!(Params::parse("limit=1&limit=2").unwrap().text("limit").is_err());
        assert!(Params::parse(&"a=1&".repeat(501)).is_err());
    }

    #[test]
    fn a_misspelt_parameter_is_refused_and_the_right_one_named() {
        let error = Params::parse("provder=openai")
            .unwrap()
            .only(&["provider", "limit"].map(str::to_owned))
            .unwrap_err();
        assert!(String::from_utf8(error.body("r", false)).unwrap().contains(r#""did_you_mean":"provider""#));
    }
}
