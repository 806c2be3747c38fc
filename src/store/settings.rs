//! How to reach Postgres.

use std::fmt;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The port of Supabase's transaction pooler, where LISTEN, advisory locks and prepared statements do not work.
const TRANSACTION_POOLER_PORT: u16 = 6543;

/// Where the database is and how much of it may be used.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// Address, user, password, TLS.
    pub options: PgConnectOptions,
    /// Connections of the pool; the listener has one more of its own.
    pub max_connections: u32,
    /// How long a statement waits for one of them.
    pub acquire_timeout: Duration,
    /// True when a remote host is used without a root certificate: the connection is encrypted, but not verified.
    pub unverified_tls: bool,
}

impl fmt::Debug for DatabaseSettings {
    /// Names the place only: the password stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

/// Why a `DATABASE_URL` cannot be used. No message repeats the URL, which holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// Not a Postgres URL.
    #[error(
        "expected postgres://user:password@host:5432/database, with special characters of the password percent-encoded"
    )]
    Malformed,
    /// Supabase's transaction pooler.
    #[error(
        "expected port 5432 (Supabase → Connect → Session pooler), as port 6543 is the transaction pooler, where \
         LISTEN and prepared statements do not work"
    )]
    TransactionPooler,
}

impl DatabaseSettings {
    /// Reads a URL. `root_certificate` is a path or the PEM text itself; with it the server's certificate and name are
    /// verified. Without it, a remote host gets `sslmode=require` unless the URL itself names a mode.
    ///
    /// # Errors
    /// [`InvalidDatabaseUrl`] when the URL cannot be parsed or names the transaction pooler.
    pub fn from_url(
        url: &str,
        root_certificate: Option<&str>,
        max_connections: u32,
    ) -> Result<Self, InvalidDatabaseUrl> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(InvalidDatabaseUrl::Malformed);
        }
        let mut options: PgConnectOptions = url.parse().map_err(|_| InvalidDatabaseUrl::Malformed)?;
        let is_supabase =
            [".supabase.com", ".supabase.co"].iter().any(|end| options.get_host().ends_with(end));
        if is_supabase && options.get_port() == TRANSACTION_POOLER_PORT {
            return Err(InvalidDatabaseUrl::TransactionPooler);
        }
        let remote = is_remote(&options);
        let mut unverified_tls = false;
        if let Some(certificate) = root_certificate {
            options = options.ssl_mode(PgSslMode::VerifyFull);
            options = if certificate.trim_start().starts_with("-----BEGIN") {
                options.ssl_root_cert_from_pem(certificate.as_bytes().to_vec())
            } else {
                options.ssl_root_cert(certificate)
            };
        } else if remote {
            if !url.contains("sslmode=") && !url.contains("ssl-mode=") {
                options = options.ssl_mode(PgSslMode::Require);
            }
            unverified_tls = !matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
        }
        Ok(Self { unverified_tls, ..Self::from_options(options, max_connections) })
    }

    /// Uses ready-made options, as of the embedded cluster.
    #[must_use]
    pub fn from_options(options: PgConnectOptions, max_connections: u32) -> Self {
        let options = options
            .application_name(concat!("chatchonk/", env!("CARGO_PKG_VERSION")))
            // A failure is logged once, by whoever handles it.
            .disable_statement_logging();
        Self { options, max_connections, acquire_timeout: Duration::from_secs(2), unverified_tls: false }
    }
}

fn is_remote(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_none()
        && !host.starts_with('/')
        && !matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str, certificate: Option<&str>) -> (String, bool) {
        let settings = DatabaseSettings::from_url(url, certificate, 5).unwrap();
        (format!("{:?}", settings.options.get_ssl_mode()), settings.unverified_tls)
    }

    #[test]
    fn a_remote_host_is_encrypted_and_a_root_certificate_verifies_it() {
        assert_eq!(mode("postgres://u:p@db.example:5432/x", None), ("Require".into(), true));
        assert_eq!(
            mode("postgres://u:p@db.example/x?sslmode=verify-full", None),
            ("VerifyFull".into(), false)
        );
        assert_eq!(mode("postgres://u:p@db.example/x", Some("/etc/ca.crt")), ("VerifyFull".into(), false));
        assert_eq!(mode("postgres://u:p@localhost/x", None), ("Prefer".into(), false));
    }

    #[test]
    fn the_transaction_pooler_is_refused_and_the_right_port_named() {
        let refusal =
            DatabaseSettings::from_url("postgres://u:p@x.pooler.supabase.com:6543/postgres", None, 5);
        assert!(refusal.unwrap_err().to_string().contains("5432"));
    }

    #[test]
    fn no_message_and_no_debug_output_repeats_the_password() {
        for url in ["postgres://u:hunter2@h:x/y", "mysql://u:hunter2@h/y", "hunter2"] {
            let error = DatabaseSettings::from_url(url, None, 5).unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
        }
        let settings = DatabaseSettings::from_url("postgres://u:hunter2@h/y", None, 5).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
