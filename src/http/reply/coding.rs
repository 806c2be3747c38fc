//! Content codings (RFC 9110, section 12.5.3): the client's choice, and encoding.

use std::io::Write;

use actix_web::http::header::{ACCEPT_ENCODING, HeaderMap};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Measured on lists of 15 KB to 5 MB: level 9 takes twice as long for 3 % fewer bytes.
const GZIP_LEVEL: u32 = 6;
/// Measured on the same: quality 7 takes over ten times as long on 15 to 100 KB, for 3 % fewer bytes.
const BROTLI_QUALITY: i32 = 6;
/// A quality of 1 in thousandths, the finest step.
const MOST: u16 = 1_000;

/// Coding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Unchanged.
    Identity,
    Gzip,
    Brotli,
}

/// What a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The preferred coding.
    pub coding: Coding,
    /// Whether a short body may also stay uncompressed.
    pub identity: bool,
}

impl Coding {
    /// Returns its name in `Content-Encoding`, if the header is needed.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }

    /// Encodes a body. `None` if the encoder fails, which it does not in memory.
    pub fn encode(self, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Identity => Some(body.to_vec()),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
                encoder.write_all(body).ok()?;
                encoder.finish().ok()
            }
            Self::Brotli => {
                let parameters = brotli::enc::BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    size_hint: body.len(),
                    ..Default::default()
                };
                let mut encoded = Vec::new();
                brotli::BrotliCompress(&mut &*body, &mut encoded, &parameters).ok()?;
                Some(encoded)
            }
        }
    }
}

impl Accepted {
    /// Reads `Accept-Encoding`. The highest quality wins, among equals br, then gzip. If nothing is acceptable, the
    /// header is ignored, as RFC 9110 allows.
    pub fn by(headers: &HeaderMap) -> Self {
        let (mut brotli, mut gzip, mut identity, mut any) = (None, None, None, None);
        for line in headers.get_all(ACCEPT_ENCODING) {
            let members = line.to_str().unwrap_or_default().split(',');
            for (name, quality) in members.filter_map(weighted) {
                let of = |known: &str| name.eq_ignore_ascii_case(known);
                let slot = match () {
                    () if of("br") => &mut brotli,
                    () if of("gzip") || of("x-gzip") => &mut gzip,
                    () if of("identity") => &mut identity,
                    () if of("*") => &mut any,
                    () => continue,
                };
                *slot = Some(quality);
            }
        }
        let (brotli, gzip) = (brotli.or(any).unwrap_or(0), gzip.or(any).unwrap_or(0));
        let refused = identity.or(any) == Some(0);
        // A coding that is not named is accepted after all that are.
        let identity = identity.or(any).unwrap_or(0);
        let coding = match brotli.max(gzip) {
            0 => Coding::Identity,
            best if identity > best => Coding::Identity,
            best if brotli == best => Coding::Brotli,
            _ => Coding::Gzip,
        };
        Self { coding, identity: !refused || coding == Coding::Identity }
    }
}

/// Parses a member such as `gzip;q=0.8`, with its quality in thousandths. `None` if malformed.
fn weighted(member: &str) -> Option<(&str, u16)> {
    let mut parts = member.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let mut quality = MOST;
    for part in parts {
        let (key, value) = part.split_once('=')?;
        if key.trim_end().eq_ignore_ascii_case("q") {
            quality = thousandths(value.trim_start())?;
        }
    }
    Some((name, quality))
}

/// Parses `0.25` as 250: at most three decimals, at most 1.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(whole, "0" | "1") || fraction.len() > 3 || !digits(fraction) {
        return None;
    }
    let whole = if whole == "1" { MOST } else { 0 };
    let value = fraction
        .bytes()
        .zip([100, 10, 1])
        .fold(whole, |sum, (digit, unit)| sum + u16::from(digit - b'0') * unit);
    (value <= MOST).then_some(value)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn accepted(lines: &[&str]) -> Accepted {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        }
        Accepted::by(&headers)
    }

    #[test]
    fn the_highest_quality_wins_and_br_then_gzip_among_equals() {
        use Coding::{Brotli, Gzip, Identity};
        for (line, coding) in [
            ("", Identity),
            ("gzip", Gzip),
            ("gzip, br", Brotli),
            ("gzip, deflate, br, zstd", Brotli),
            ("br;q=0.5, gzip;q=0.5", Brotli),
            ("br;q=0.499, gzip;q=0.5", Gzip),
            ("br;q=0, gzip", Gzip),
            ("br;q=0.000, gzip;q=0.0", Identity),
            ("GZIP;Q=0.1", Gzip),
            ("x-gzip", Gzip),
            ("*", Brotli),
            ("*, br;q=0", Gzip),
            ("*;q=0", Identity),
            ("*;q=0, gzip;q=0.001", Gzip),
            ("identity", Identity),
            ("identity, br;q=0.9", Identity),
            ("identity;q=0.5, br;q=0.5", Brotli),
            ("identity;q=0, gzip", Gzip),
            ("identity;q=0", Identity),
            ("identity;q=0, *", Brotli),
            ("deflate, zstd, compress", Identity),
            (" br ; q=1 ,,; , gzip", Brotli),
            ("br;q=2, gzip;q=0.1", Gzip),
            ("br;q=1.001, gzip", Gzip),
            ("br;q=-1, gzip;q=nan, x", Identity),
            ("br;q, gzip;q=0.1234", Identity),
        ] {
            assert_eq!(accepted(&[line]).coding, coding, "{line}");
        }
        assert_eq!(accepted(&[]).coding, Identity);
        assert_eq!(accepted(&["gzip", "br"]).coding, Brotli);
    }

    #[test]
    fn the_body_as_it_is_is_refused_by_name_or_by_the_star() {
        for (line, identity) in [
            ("br", true),
            ("br, identity;q=0", false),
            ("br, *;q=0", false),
            ("br, *;q=0, identity;q=0.1", true),
            ("br, identity;q=0, *", false),
            // Nothing is acceptable: the body stays unchanged.
            ("identity;q=0", true),
            ("*;q=0", true),
        ] {
            assert_eq!(accepted(&[line]).identity, identity, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_header_gets_a_coding_that_it_does_not_refuse(line in "[ -~]{0,60}") {
            let accepted = accepted(&[&line]);
            if let Some(name) = accepted.coding.name() {
                let line = line.to_ascii_lowercase();
                prop_assert!(line.contains(name) || line.contains('*'));
            }
        }

        #[test]
        fn quality_is_read_in_thousandths(value in 0_u16..=1_000) {
            let text = format!("{}.{:03}", value / 1_000, value % 1_000);
            prop_assert_eq!(thousandths(&text), Some(value));
            prop_assert_eq!(thousandths(text.trim_end_matches('0')), Some(value));
        }
    }
}
