//! Settings of Cloudflare KV.

use std::fmt;
use std::str::FromStr;

use crate::outgoing;

/// The settings as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvSettings {
    /// Some or all of the three required variables are missing.
    NotConfigured {
        /// The missing ones, if others are set.
        missing: Vec<&'static str>,
    },
    /// All are set.
    Configured(KvConnection),
}

impl KvSettings {
    /// Returns what is wrong and how to fix it; `None` if none or all are set.
    pub fn remark(&self) -> Option<(String, &'static str)> {
        match self {
            Self::NotConfigured { missing } if missing.is_empty() => None,
            Self::NotConfigured { missing } => {
                let verb = if missing.len() == 1 { "is" } else { "are" };
                let reason = format!("KV not configured: {} {verb} missing", missing.join(", "));
                Some((reason, "set all three variables, or none"))
            }
            Self::Configured(_) => None,
        }
    }
}

/// The namespace and its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvConnection {
    /// The API token.
    pub token: KvToken,
    /// The account.
    pub account_id: KvId,
    /// The id of the namespace, not its title.
    pub namespace_id: KvId,
    /// Everything before `/storage/kv/namespaces`.
    pub base_url: KvBaseUrl,
}

/// An unusable value. Never shows it, because it may be a secret in the wrong variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct InvalidKvSetting(&'static str);

/// An API token. `Debug` hides it, and there is no `Display`.
///
/// Its format is not checked, because older formats stay valid
/// (<https://developers.cloudflare.com/fundamentals/api/get-started/token-formats/>).
#[derive(Clone, PartialEq, Eq)]
pub struct KvToken(String);

impl KvToken {
    /// Returns the token, for the `Authorization` header only.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KvToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KvToken(hidden)")
    }
}

impl FromStr for KvToken {
    type Err = InvalidKvSetting;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let token = trimmed(given);
        let sendable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        sendable
            .then(|| Self(token.to_owned()))
            .ok_or(InvalidKvSetting("a token of visible ASCII characters, without `Bearer` before it"))
    }
}

/// The id of an account or a namespace: one path segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvId(String);

impl KvId {
    /// Returns the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KvId {
    type Err = InvalidKvSetting;

    /// Strips a byte order mark and white space, left by copying: Cloudflare answers 7003 to them.
    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let id = trimmed(given);
        let segment = (1..=32).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        // Cloudflare itself reports an id that is not hexadecimal.
        segment.then(|| Self(id.to_owned())).ok_or(InvalidKvSetting(
            "an id of 32 hexadecimal characters, as Cloudflare's dashboard shows it (not a name or title)",
        ))
    }
}

/// Everything before `/storage/kv/namespaces`: https, or http on this machine, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvBaseUrl(String);

impl KvBaseUrl {
    /// Returns Cloudflare's own address (<https://developers.cloudflare.com/api/resources/kv/>).
    pub fn of_account(account_id: &KvId) -> Self {
        Self(format!("https://api.cloudflare.com/client/v4/accounts/{}", account_id.as_str()))
    }

    /// Returns the address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is https.
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl FromStr for KvBaseUrl {
    type Err = InvalidKvSetting;

    /// The token travels to this address, so it must be encrypted.
    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let url = outgoing::secret_base(given).ok_or(InvalidKvSetting(
            "an address that begins with https:// (http:// on this machine only), without user, query or fragment, such \
             as https://api.cloudflare.com/client/v4/accounts/0123abcd",
        ))?;
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

/// `str::trim` keeps a byte order mark.
fn trimmed(given: &str) -> &str {
    given.trim_matches(|c: char| c == '\u{feff}' || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_loses_what_copying_left_around_it_and_is_one_segment() {
        let id: KvId = "\u{feff}0f2ac74b498b48028cb68387c421e279\r\n".parse().unwrap();
        assert_eq!(id.as_str(), "0f2ac74b498b48028cb68387c421e279");
        for id in ["", "\u{feff}", "..", "a/b", "my namespace", &"a".repeat(33)] {
            assert!(id.parse::<KvId>().is_err(), "{id}");
        }
    }

    #[test]
    fn a_token_must_fit_into_a_header_and_is_never_printed() {
        let token: KvToken = "\u{feff}hunter2\n".parse().unwrap();
        assert_eq!(token.reveal(), "hunter2");
        assert!(!format!("{token:?}").contains("hunter2"));
        for token in ["", "Bearer hunter2", "hunter2\nx: y", "hünter2"] {
            let refusal = token.parse::<KvToken>().unwrap_err();
            assert!(!format!("{refusal} {refusal:?}").contains("nter2"));
        }
    }

    #[test]
    fn a_base_url_is_encrypted_unless_it_stays_on_this_machine() {
        for (given, url) in [
            (
                "https://api.cloudflare.com/client/v4/accounts/a/",
                "https://api.cloudflare.com/client/v4/accounts/a",
            ),
            ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
            ("http://[::1]:8787/x", "http://[::1]:8787/x"),
            ("http://localhost/x", "http://localhost/x"),
        ] {
            assert_eq!(given.parse::<KvBaseUrl>().unwrap().as_str(), url);
        }
        for given in [
            "http://kv.example",
            "http://localhost.example",
            "ftp://localhost",
            "https://user:password@kv.example",
            "https://kv.example/?a",
            "https://kv.example/#a",
            "kv.example",
        ] {
            assert!(given.parse::<KvBaseUrl>().is_err(), "{given}");
        }
    }
}
