//! Values in the text forms of PostgreSQL, for columns whose type is not the one that the migrations gave them.

/// Reads a boolean as PostgreSQL does, in words or their beginnings, or a number as its cast to boolean does.
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
