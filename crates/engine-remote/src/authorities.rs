//! Whose certificates are trusted.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::OptionsError;

/// Certificate authorities that are trusted beside those of the system, such as an operator's own.
#[derive(Debug, Clone)]
pub struct Authorities(RootCertStore);

impl Authorities {
    /// Reads certificates in PEM, one or more.
    ///
    /// # Errors
    /// When there is none, or one that cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, OptionsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(OptionsError::Certificate)?;
            roots.add(certificate).map_err(OptionsError::Tls)?;
        }
        if roots.is_empty() {
            return Err(OptionsError::NoCertificate);
        }
        Ok(Self(roots))
    }
}

/// The settings of connections to one engine. An address without TLS does not pay for reading the
/// system's certificates.
pub(crate) fn tls(is_used: bool, more: Option<&Authorities>) -> Result<ClientConfig, OptionsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = if is_used {
        trusted(more)
    } else {
        RootCertStore::empty()
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(OptionsError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The system's certificates, or Mozilla's where the system has none, and more.
fn trusted(more: Option<&Authorities>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of the system cannot be read: {error}");
    }
    let (read, _) = roots.add_parsable_certificates(found.certs);
    if read == 0 {
        tracing::warn!("the system has no certificates; engines are checked against Mozilla's");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots.extend(more.into_iter().flat_map(|more| more.0.roots.iter().cloned()));
    roots
}

#[cfg(test)]
mod tests {
    use silica_testkit::{Upstream, UpstreamScript};

    use super::*;

    #[tokio::test]
    async fn more_authorities_are_trusted_beside_those_of_the_system() {
        let usual = trusted(None).len();
        assert!(usual > 0);
        let upstream = Upstream::start_tls(UpstreamScript::default()).await;
        let more = Authorities::from_pem(upstream.authority_pem().unwrap().as_bytes()).unwrap();
        assert_eq!(trusted(Some(&more)).len(), usual + 1);
    }

    #[test]
    fn what_has_no_certificate_is_refused() {
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            Authorities::from_pem(broken),
            Err(OptionsError::Certificate(_) | OptionsError::Tls(_))
        ));
        for none in [
            &b""[..],
            b"a text",
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            assert!(matches!(
                Authorities::from_pem(none),
                Err(OptionsError::NoCertificate)
            ));
        }
    }
}
