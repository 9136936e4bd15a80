//! TLS for Postgres and Redis: how much of a server's certificate is checked, and against which roots.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// How much of a server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing: who listens is kept out, who answers for the server is not.
    Nothing,
    /// That a trusted authority signed it, for whatever name.
    Chain,
    /// That a trusted authority signed it for the host's name.
    Name,
}

/// A client that checks so much, against the certificates of a file, or else against the web's
/// authorities and these in PEM.
pub(crate) fn config(
    check: Check,
    file: Option<&Path>,
    builtin: &[u8],
) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match check {
        Check::Nothing => Arc::new(Unchecked(Arc::clone(&provider))),
        Check::Chain | Check::Name => {
            let trusted = match file {
                Some(file) => from_file(file)?,
                None => compiled_in(builtin)?,
            };
            let mut roots = RootCertStore::empty();
            // A bundle may hold an old certificate that rustls cannot use among its hundred.
            let (usable, _) = roots.add_parsable_certificates(trusted.iter().cloned());
            if usable == 0 {
                let name = file.unwrap_or(Path::new("")).display();
                return Err(format!("{name} holds no certificate that can be used"));
            }
            let inner =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .map_err(|error| error.to_string())?;
            Arc::new(Trusted {
                inner,
                // Only a file may name the server's own certificate.
                pinned: if file.is_some() { trusted } else { Vec::new() },
                named: check == Check::Name,
            })
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

fn from_file(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let name = file.display();
    let bytes = fs::read(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|error| format!("{name} is not PEM: {error}"))?;
    match certificates.is_empty() {
        true => Err(format!("{name} holds no certificate")),
        false => Ok(certificates),
    }
}

fn compiled_in(builtin: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut certificates = webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
    for certificate in CertificateDer::pem_slice_iter(builtin) {
        certificates.push(certificate.map_err(|error| error.to_string())?);
    }
    Ok(certificates)
}

/// The first reason in an error's chain that has to do with a certificate.
pub(crate) fn certificate_error<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An io::Error's source is that of the error it holds, which is thus skipped.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<Error>());
        if let Some(error) = inner.or_else(|| error.downcast_ref::<Error>()) {
            return Some(error);
        }
        next = error.source();
    }
    None
}

/// What is wrong with a certificate, in words; none where the error is about something else.
pub(crate) fn certificate_reason(error: &Error) -> Option<String> {
    let Error::InvalidCertificate(reason) = error else {
        return None;
    };
    Some(match reason {
        CertificateError::UnknownIssuer => {
            "no authority that is trusted has signed its certificate".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate is out of date".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name".to_owned()
        }
        other => format!("its certificate is refused: {other}"),
    })
}

/// Accepts every certificate.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

/// Accepts what a trusted authority signed, or what is itself among the trusted.
#[derive(Debug)]
struct Trusted {
    inner: Arc<WebPkiServerVerifier>,
    /// A server's self-signed certificate given as its own root, which OpenSSL takes and webpki does
    /// not.
    pinned: Vec<CertificateDer<'static>>,
    named: bool,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pinned.iter().any(|pinned| pinned == end_entity) {
            if self.named {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let checked = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match checked {
            // The name is what is looked at last: all else was found good.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.named => Ok(ServerCertVerified::assertion()),
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
