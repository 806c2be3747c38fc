//! Reads and checks the settings of the database connection.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use nix::unistd::{User, geteuid};
use reqwest::Url;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::relay::{Destination, Security};
use super::tls::{DatabaseTls, Roots, Verification};

/// Supabase's transaction pooler, where LISTEN, advisory locks and prepared statements do not work.
const TRANSACTION_POOLER_PORT: u16 = 6543;

/// Settings of the database connection.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// Address, user and password.
    pub options: PgConnectOptions,
    /// Size of the pool; the listener has one more connection.
    pub max_connections: u32,
    /// How long a statement waits for a connection.
    pub acquire_timeout: Duration,
    /// Protection of the connection.
    pub tls: DatabaseTls,
    /// The relay's destination; without one, the driver connects directly in clear text.
    pub destination: Option<Destination>,
}

impl fmt::Debug for DatabaseSettings {
    /// Shows no password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

/// Why a `DATABASE_URL` is invalid. No message repeats the URL, which holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// Not a PostgreSQL URL.
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
    /// `sslmode=disable` for a remote host.
    #[error(
        "sslmode=disable would send everything to another machine in clear text; remove it, or set \
         DATABASE_TLS=unverified if every machine in between is trusted"
    )]
    NoTls,
    /// `PGOPTIONS` is set, which the driver adds to every connection.
    #[error(
        "PGOPTIONS would change every connection to the database; unset it, or move it into the URL as ?options=…"
    )]
    ForeignOptions,
    /// A client certificate is configured.
    #[error("sslcert and sslkey are not supported; use a password")]
    ClientCertificate,
}

impl DatabaseSettings {
    /// Reads a URL. It alone determines host, port, user, password and database; `PGHOST`, `PGUSER`, `~/.pgpass` and so on
    /// are ignored. The default user is the process's. Connections to other machines are verified according to
    /// `verification`, and `sslmode` cannot weaken that. With [`Verification::Off`], `sslmode` decides whether TLS is used,
    /// by default it is.
    ///
    /// # Errors
    /// [`InvalidDatabaseUrl`] when the URL cannot be parsed, names the transaction pooler, or demands less protection than
    /// `verification`.
    pub fn from_url(
        url: &str,
        verification: Verification<'_>,
        max_connections: u32,
    ) -> Result<Self, InvalidDatabaseUrl> {
        let url = Url::parse(url).map_err(|_| InvalidDatabaseUrl::Malformed)?;
        let parameter = |names: &[&str]| {
            let found = url.query_pairs().filter(|(name, _)| names.contains(&name.as_ref())).last();
            found.map(|(_, value)| value.into_owned())
        };
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        if !matches!(url.scheme(), "postgres" | "postgresql")
            || !(has_host || parameter(&["host", "hostaddr"]).is_some())
        {
            return Err(InvalidDatabaseUrl::Malformed);
        }
        if parameter(&["sslcert", "ssl-cert", "sslkey", "ssl-key"]).is_some() {
            return Err(InvalidDatabaseUrl::ClientCertificate);
        }
        let mut options =
            url.as_str().parse::<PgConnectOptions>().map_err(|_| InvalidDatabaseUrl::Malformed)?;
        // The driver completes a URL from the environment, and cannot unset options.
        let bare: PgConnectOptions =
            "postgres://localhost".parse().map_err(|_| InvalidDatabaseUrl::Malformed)?;
        if bare.get_options().is_some() {
            return Err(InvalidDatabaseUrl::ForeignOptions);
        }
        if url.username().is_empty() && parameter(&["user"]).is_none() {
            let user = User::from_uid(geteuid()).ok().flatten().ok_or(InvalidDatabaseUrl::Malformed)?;
            options = options.username(&user.name);
        }
        if url.port().is_none() && parameter(&["port"]).is_none() {
            options = options.port(5432);
        }
        if url.password().is_none() && parameter(&["password"]).is_none() {
            options = options.password("");
        }
        if url.path().trim_start_matches('/').is_empty() && parameter(&["dbname"]).is_none() {
            let user = options.get_username().to_owned();
            options = options.database(&user);
        }
        let host = options.get_host().trim_matches(['[', ']']).to_ascii_lowercase();
        if options.get_socket().is_none() {
            options = options.host(&host);
        }
        let is_supabase = [".supabase.com", ".supabase.co"].iter().any(|end| host.ends_with(end));
        if is_supabase && options.get_port() == TRANSACTION_POOLER_PORT {
            return Err(InvalidDatabaseUrl::TransactionPooler);
        }
        let mode = parameter(&["sslmode", "ssl-mode"]).map(|_| options.get_ssl_mode());
        let is_socket = options.get_socket().is_some() || host.starts_with('/');
        let is_local = is_socket || is_loopback(&host);
        let in_url = parameter(&["sslrootcert", "ssl-root-cert", "ssl-ca"]);
        let default_roots = || if is_supabase { Roots::Supabase } else { Roots::System };
        let security = match (verification, in_url.as_deref(), mode) {
            _ if is_socket => None,
            (Verification::Against(roots), ..) | (Verification::ByDefault, Some(roots), _) => {
                Some(Security::Verified(Roots::given(roots)))
            }
            (Verification::ByDefault, None, Some(PgSslMode::VerifyCa | PgSslMode::VerifyFull)) => {
                Some(Security::Verified(default_roots()))
            }
            (_, _, Some(PgSslMode::Require)) if is_local => Some(Security::Encrypted),
            _ if is_local => None,
            (Verification::ByDefault, None, Some(PgSslMode::Disable)) => {
                return Err(InvalidDatabaseUrl::NoTls);
            }
            (Verification::ByDefault, None, _) => Some(Security::Verified(default_roots())),
            (Verification::Off, _, Some(PgSslMode::Disable)) => Some(Security::Plain),
            (Verification::Off, _, Some(PgSslMode::Prefer | PgSslMode::Allow)) => {
                Some(Security::Opportunistic)
            }
            (Verification::Off, ..) => Some(Security::Encrypted),
        };
        let tls = match &security {
            Some(Security::Verified(_)) => DatabaseTls::Verified,
            Some(_) if !is_local => DatabaseTls::Unverified,
            _ => DatabaseTls::Local,
        };
        let port = options.get_port();
        let destination = security.map(|security| Destination { host, port, security });
        Ok(Self { tls, destination, ..Self::from_options(options, max_connections) })
    }

    /// Returns the trusted root certificates; `None` if the server is not verified.
    pub fn roots(&self) -> Option<&Roots> {
        match &self.destination.as_ref()?.security {
            Security::Verified(roots) => Some(roots),
            _ => None,
        }
    }

    /// Uses existing options, such as the embedded cluster's.
    pub fn from_options(options: PgConnectOptions, max_connections: u32) -> Self {
        let options = options
            // The relay does TLS.
            .ssl_mode(PgSslMode::Disable)
            // PgBouncer refuses this option, and no column is a `float4`.
            .extra_float_digits(None)
            .application_name(concat!("chatchonk/", env!("CARGO_PKG_VERSION")))
            // The caller logs a failure, once.
            .disable_statement_logging();
        let acquire_timeout = Duration::from_secs(2);
        Self { options, max_connections, acquire_timeout, tls: DatabaseTls::Local, destination: None }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_DEFAULT: Verification<'_> = Verification::ByDefault;
    const SYSTEM: Security = Security::Verified(Roots::System);
    const SUPABASE: Security = Security::Verified(Roots::Supabase);

    fn given(path: &str) -> Security {
        Security::Verified(Roots::File(path.into()))
    }

    fn security(url: &str, verification: Verification<'_>) -> Option<Security> {
        let settings = DatabaseSettings::from_url(url, verification, 5).unwrap();
        settings.destination.map(|destination| destination.security)
    }

    #[test]
    fn remote_host_is_verified_unless_switched_off() {
        for mode in ["", "?sslmode=require", "?sslmode=prefer", "?ssl-mode=allow", "?sslmode=verify-ca"] {
            for (host, by_default) in [
                ("db.example", SYSTEM),
                ("192.0.2.1", SYSTEM),
                ("[2001:db8::1]", SYSTEM),
                ("evilsupabase.co", SYSTEM),
                ("db.supabase.co.example", SYSTEM),
                ("db.abcdefgh.supabase.co", SUPABASE),
                ("AWS-1-eu.Pooler.Supabase.Com", SUPABASE),
            ] {
                let url = format!("postgres://u:p@{host}/x{mode}");
                assert_eq!(security(&url, BY_DEFAULT), Some(by_default), "{url}");
                assert_eq!(security(&url, Verification::Against("/ca.crt")), Some(given("/ca.crt")));
            }
        }
        for (mode, without) in [
            ("", Security::Encrypted),
            ("?sslmode=require", Security::Encrypted),
            ("?sslmode=prefer", Security::Opportunistic),
            ("?sslmode=disable", Security::Plain),
        ] {
            let url = format!("postgres://u:p@db.example/x{mode}");
            assert_eq!(security(&url, Verification::Off), Some(without), "{url}");
        }
        let hidden = "postgres://u:p@localhost/x?hostaddr=192.0.2.1";
        assert_eq!(security(hidden, BY_DEFAULT), Some(SYSTEM));
        let own = "postgres://u:p@db.example/x?sslmode=require&sslrootcert=/own.crt";
        assert_eq!(security(own, BY_DEFAULT), Some(given("/own.crt")));
    }

    #[test]
    fn root_certificates_come_from_path_pem_or_system() {
        let with = |roots| security("postgres://u:p@db.example/x", Verification::Against(roots));
        assert_eq!(with("system"), Some(SYSTEM));
        assert_eq!(with("/ca.crt"), Some(given("/ca.crt")));
        let text = "# Our own\n-----BEGIN CERTIFICATE-----";
        assert_eq!(with(text), Some(Security::Verified(Roots::Text(text.into()))));
        let in_url = "postgres://u:p@db.supabase.co/x?sslmode=verify-full&sslrootcert=system";
        assert_eq!(security(in_url, BY_DEFAULT), Some(SYSTEM));
    }

    #[test]
    fn local_database_needs_no_tls_by_default() {
        for host in ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "%2Fvar%2Frun%2Fpostgresql"] {
            for mode in ["", "?sslmode=disable", "?sslmode=prefer"] {
                let url = format!("postgres://u:p@{host}/x{mode}");
                assert_eq!(security(&url, BY_DEFAULT), None, "{url}");
            }
        }
        let url = |mode| format!("postgres://u:p@localhost/x?sslmode={mode}");
        assert_eq!(security(&url("disable"), Verification::Off), None);
        assert_eq!(security(&url("require"), BY_DEFAULT), Some(Security::Encrypted));
        assert_eq!(security(&url("verify-full"), BY_DEFAULT), Some(SYSTEM));
        assert_eq!(security(&url("disable"), Verification::Against("/ca.crt")), Some(given("/ca.crt")));
    }

    #[test]
    fn remote_url_without_tls_is_refused_with_the_fix() {
        let url = "postgres://u:p@db.example/x?sslmode=disable";
        let refusal = DatabaseSettings::from_url(url, BY_DEFAULT, 5).unwrap_err();
        assert!(refusal.to_string().contains("DATABASE_TLS=unverified"), "{refusal}");
    }

    #[test]
    fn url_without_a_host_is_refused() {
        for url in ["postgres:///x", "postgres://", "postgres:x"] {
            let refusal = DatabaseSettings::from_url(url, BY_DEFAULT, 5).unwrap_err();
            assert_eq!(refusal, InvalidDatabaseUrl::Malformed, "{url}");
        }
        assert_eq!(security("postgres:///x?host=/var/run/postgresql", BY_DEFAULT), None);
    }

    #[test]
    fn transaction_pooler_is_refused_with_the_right_port() {
        let refusal =
            DatabaseSettings::from_url("postgres://u:p@x.pooler.supabase.com:6543/postgres", BY_DEFAULT, 5);
        assert!(refusal.unwrap_err().to_string().contains("5432"));
    }

    #[test]
    fn messages_and_debug_output_hide_the_password() {
        for url in ["postgres://u:hunter2@h:x/y", "mysql://u:hunter2@h/y", "hunter2"] {
            let error = DatabaseSettings::from_url(url, BY_DEFAULT, 5).unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
        }
        let settings = DatabaseSettings::from_url("postgres://u:hunter2@h/y", BY_DEFAULT, 5).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
