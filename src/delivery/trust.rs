//! Trusts the system's certificate authorities, and distinguishes self-signed certificates from those of unknown
//! authorities in errors.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme, crypto,
};
use rustls_platform_verifier::Verifier;
use webpki::EndEntityCert;

/// The receiver's certificate is self-signed, and the system does not trust it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("certificate is self-signed and this machine does not trust it")]
pub(super) struct SelfSigned;

/// The TLS configuration for connections to receivers.
pub(super) fn tls() -> io::Result<ClientConfig> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let verifier = SystemsTrust::new(&provider).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// The system's verifier, which makes all decisions.
#[derive(Debug)]
struct SystemsTrust(Verifier);

impl SystemsTrust {
    fn new(provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        Verifier::new(Arc::clone(provider)).map(Self)
    }
}

impl ServerCertVerifier for SystemsTrust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            // With a bad signature, the system trusts another self-signed certificate of the same name.
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature | CertificateError::Other(_),
            ) if is_self_signed(end_entity) => {
                CertificateError::Other(OtherError(Arc::new(SelfSigned))).into()
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    EndEntityCert::try_from(certificate).is_ok_and(|read| read.issuer() == read.subject())
}
