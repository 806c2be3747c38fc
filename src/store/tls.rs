//! TLS to the database: trusted roots, and the connector.

use std::path::PathBuf;
use std::sync::Arc;

use time::OffsetDateTime;
use time::macros::datetime;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use crate::domain::closed::closed_enum;

/// The authority that signs the certificates of Supabase's databases and poolers.
const SUPABASE_ROOT: &[u8] = include_bytes!("../../certs/supabase-root-2021.pem");
/// When warnings begin: the certificate expires on 2031-04-26.
const SUPABASE_ROOT_AGES: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

closed_enum!(
    /// How a connection to the database is protected.
    DatabaseTls {
        /// The server's certificate and host name are verified.
        Verified = "verified",
        /// Nothing is verified: another machine may answer in the server's place.
        Unverified = "unverified",
        /// The connection stays on this machine.
        Local = "local",
    }
);

/// Verification of the server's certificate, as configured.
#[derive(Debug, Clone, Copy, Default)]
pub enum Verification<'a> {
    /// Against Supabase's root certificate for its hosts, and the system's for other remote hosts.
    #[default]
    ByDefault,
    /// Against this root certificate only: a path or the PEM text.
    Against(&'a str),
    /// `DATABASE_TLS=unverified`.
    Off,
}

/// The only root certificates that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Supabase's.
    Supabase,
    /// The operating system's.
    System,
    /// In this file.
    File(PathBuf),
    /// In this PEM text.
    Text(Vec<u8>),
}

impl Roots {
    /// Reads a path, a PEM text, or `system` as libpq does.
    pub fn given(certificate: &str) -> Self {
        let certificate = certificate.trim();
        if certificate.contains("-----BEGIN") {
            Self::Text(certificate.as_bytes().to_vec())
        } else if certificate == "system" {
            Self::System
        } else {
            Self::File(certificate.into())
        }
    }

    /// Returns what the operator must do before these roots expire, from 2030 on.
    pub fn ageing(&self, now: OffsetDateTime) -> Option<&'static str> {
        (*self == Self::Supabase && now >= SUPABASE_ROOT_AGES).then_some(
            "Supabase's root certificate in this release expires on 2031-04-26: update the server, or set PGSSLROOTCERT \
             to the certificate that Supabase offers now (Database settings → SSL configuration)",
        )
    }

    async fn read(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        let pem = match self {
            Self::System => {
                let load = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
                let found = load.await.map_err(|error| error.to_string())?.certs;
                store.add_parsable_certificates(found);
                if store.is_empty() {
                    return Err("this system has no root certificates; install `ca-certificates`".to_owned());
                }
                return Ok(store);
            }
            Self::Supabase => SUPABASE_ROOT.to_vec(),
            Self::Text(pem) => pem.clone(),
            Self::File(path) => tokio::fs::read(path)
                .await
                .map_err(|error| format!("PGSSLROOTCERT cannot be read: {error}"))?,
        };
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| format!("PGSSLROOTCERT is not PEM: {error}"))?;
            store.add(certificate).map_err(|error| format!("PGSSLROOTCERT: {error}"))?;
        }
        if store.is_empty() {
            return Err("PGSSLROOTCERT holds no certificate".to_owned());
        }
        Ok(store)
    }
}

/// Prepares a TLS handshake that trusts `roots`, or any server without them. Reads the certificates each time, so a
/// replaced file counts from the next connection on.
pub(super) async fn connector(roots: Option<&Roots>) -> Result<TlsConnector, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match roots {
        Some(roots) => builder.with_root_certificates(roots.read().await?).with_no_client_auth(),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
            .with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Accepts every certificate, for `DATABASE_TLS=unverified`.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::crypto::hash::HashAlgorithm;

    use super::*;

    #[test]
    fn supabase_root_has_the_expected_fingerprint() {
        let der = CertificateDer::from_pem_slice(SUPABASE_ROOT).unwrap();
        let suite = aws_lc_rs::default_provider().cipher_suites.into_iter().find_map(|suite| {
            let hash = suite.tls13()?.common.hash_provider;
            (hash.algorithm() == HashAlgorithm::SHA256).then_some(hash)
        });
        let hash = suite.unwrap().hash(&der);
        let hex: Vec<_> = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.concat(), "807025ad50d4ed219d2c9c7d299c004f824eb00cf7f65afef607d07b72e6cafa");
    }

    #[test]
    fn supabase_root_warns_of_expiry_from_2030() {
        for (now, warned) in
            [(datetime!(2029-12-31 23:59:59 UTC), false), (datetime!(2030-01-01 0:00 UTC), true)]
        {
            assert_eq!(Roots::Supabase.ageing(now).is_some(), warned, "{now}");
            assert_eq!(Roots::System.ageing(now), None);
        }
    }

    #[tokio::test]
    async fn empty_or_invalid_root_certificates_are_refused() {
        for (pem, words) in [
            ("-----BEGIN CERTIFICATE-----", "PGSSLROOTCERT"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "PGSSLROOTCERT: "),
            ("/dev/null", "holds no certificate"),
            ("/nowhere", "cannot be read"),
        ] {
            let error = connector(Some(&Roots::given(pem))).await.err().unwrap();
            assert!(error.contains(words), "{error}");
        }
    }

    #[tokio::test]
    async fn supabase_hosts_trust_only_their_own_root() {
        assert_eq!(Roots::Supabase.read().await.unwrap().len(), 1);
    }
}
