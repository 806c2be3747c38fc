//! Outgoing HTTP: clients, bounded bodies, and addresses that keep secrets.

use std::error::Error;
use std::net::IpAddr;

use reqwest::{Client, ClientBuilder, Response, Url, redirect};

/// The longest cause that an error message repeats, in characters.
const MAX_CAUSE: usize = 200;

/// Builds a client that sends each request once and to its address only: no redirects, no proxy variables. Without
/// encryption it needs no root certificates.
pub(crate) fn client(is_encrypted: bool) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(concat!("chatchonk/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy();
    if is_encrypted { builder.https_only(true) } else { builder.tls_certs_only([]) }
}

/// Reads a body of at most `limit` bytes. Returns `None` for a longer one.
pub(crate) async fn read(response: &mut Response, limit: usize) -> reqwest::Result<Option<Vec<u8>>> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Ok(None);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Whether the address has neither user, password, query nor fragment.
pub(crate) fn is_bare(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none()
}

/// Whether a secret may be sent there: over https, or to this machine.
pub(crate) fn keeps_secrets(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    let is_local = host == "localhost"
        || host.trim_start_matches('[').trim_end_matches(']').parse().is_ok_and(is_loopback);
    url.scheme() == "https" || url.scheme() == "http" && is_local
}

/// Parses a bare address that keeps secrets, without slashes at its end.
pub(crate) fn secret_base(text: &str) -> Option<Url> {
    // `str::trim` keeps byte order marks, which copying may leave.
    let text = text.trim_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    let mut url = Url::parse(text).ok().filter(|url| is_bare(url) && keeps_secrets(url))?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Some(url)
}

/// Returns the causes of an error, the innermost last.
pub(crate) fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Returns the text of the innermost cause. Outer causes repeat the address, which may hold a secret.
pub(crate) fn innermost_cause(error: &reqwest::Error) -> String {
    let cause = causes(error).last().map_or_else(|| "no cause given".to_owned(), ToString::to_string);
    cause.chars().take(MAX_CAUSE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_https_or_to_this_machine_only() {
        for (address, keeps) in [
            ("https://otlp.example.com", true),
            ("https://192.0.2.1", true),
            ("http://localhost:4318", true),
            ("http://LOCALHOST", true),
            ("http://127.9.9.9:4318", true),
            ("http://2130706433", true),
            ("http://[::1]:4318", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://otlp.example.com", false),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://10.0.0.1:4318", false),
            ("http://[fd00::1]:4318", false),
            ("http://0.0.0.0:4318", false),
            ("http://collector:4318", false),
            ("ftp://localhost", false),
        ] {
            assert_eq!(keeps_secrets(&address.parse().unwrap()), keeps, "{address}");
        }
    }

    #[test]
    fn a_base_address_loses_slashes_and_marks_at_its_end() {
        for (text, address) in [
            ("\u{feff}https://a.example/x// ", "https://a.example/x"),
            ("http://[::1]:8787", "http://[::1]:8787/"),
        ] {
            assert_eq!(secret_base(text).unwrap().as_str(), address);
        }
        for text in ["a.example", "http://a.example", "https://u:p@a", "https://a?b", "https://a#b"] {
            assert_eq!(secret_base(text), None, "{text}");
        }
    }
}
