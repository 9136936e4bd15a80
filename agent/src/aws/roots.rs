//! The HTTP client and the certificates it trusts: `AWS_CA_BUNDLE`, else `SSL_CERT_FILE`, else those
//! compiled in. A file in a scratch image is never needed.

use std::fs;

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::settings::Environment;

/// The variables that name a bundle, the first that is set wins.
const VARIABLES: [&str; 2] = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"];

/// A client with one pool of connections for all services.
pub(super) fn client(environment: &Environment) -> Result<SharedHttpClient, String> {
    let trusted = TrustStore::empty().with_pem_certificate(trusted(environment)?);
    let context = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}

/// The trusted certificates as PEM, which is all that the client takes.
fn trusted(environment: &Environment) -> Result<String, String> {
    for variable in VARIABLES {
        if let Some(path) = environment.raw(variable) {
            let refused =
                |reason: &str| format!("{variable} names {}, which {reason}", path.display());
            let bytes =
                fs::read(path).map_err(|error| refused(&format!("cannot be read: {error}")))?;
            return usable(&bytes, variable).map_err(|reason| refused(&reason));
        }
    }
    Ok(webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|root| pem(root))
        .collect())
}

/// The certificates of a bundle that rustls can use, as PEM. The client would panic on any other, and
/// a system's bundle may well hold an old one among its hundred.
fn usable(bundle: &[u8], variable: &str) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    let mut usable = String::new();
    let mut skipped = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        let certificate = certificate.map_err(|error| format!("is not PEM: {error}"))?;
        match roots.add(certificate.clone()) {
            Ok(()) => usable.push_str(&pem(&certificate)),
            Err(_) => skipped += 1,
        }
    }
    if usable.is_empty() {
        return Err("holds no certificate that can be used".to_owned());
    }
    if skipped > 0 {
        tracing::warn!(
            event = "certificates_skipped",
            variable,
            skipped,
            "some certificates cannot be used"
        );
    }
    Ok(usable)
}

fn pem(certificate: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let encoded = STANDARD.encode(certificate);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled_in() -> Vec<Vec<u8>> {
        webpki_root_certs::TLS_SERVER_ROOT_CERTS
            .iter()
            .map(|root| root.to_vec())
            .collect()
    }

    fn parsed(text: &str) -> Vec<Vec<u8>> {
        CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|certificate| certificate.unwrap().to_vec())
            .collect()
    }

    fn bundle(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn named(variables: &[(&str, &tempfile::NamedTempFile)]) -> Environment {
        Environment::from_pairs(variables.iter().map(|(name, file)| (*name, file.path())))
    }

    #[test]
    fn the_compiled_in_roots_are_all_usable() {
        let text = trusted(&Environment::default()).unwrap();
        assert_eq!(parsed(&text), compiled_in());
        assert_eq!(
            parsed(&usable(text.as_bytes(), "X").unwrap()),
            compiled_in()
        );
        client(&Environment::default()).unwrap();
    }

    #[test]
    fn the_bundle_wins_over_the_file_over_what_is_compiled_in() {
        let roots = compiled_in();
        let (first, second) = (bundle(&pem(&roots[0])), bundle(&pem(&roots[1])));
        let both = named(&[("AWS_CA_BUNDLE", &first), ("SSL_CERT_FILE", &second)]);
        assert_eq!(parsed(&trusted(&both).unwrap()), roots[..1]);
        assert_eq!(
            parsed(&trusted(&named(&[("SSL_CERT_FILE", &second)])).unwrap()),
            roots[1..2]
        );
    }

    #[test]
    fn a_missing_bundle_is_one_line() {
        let environment = Environment::from_pairs([("AWS_CA_BUNDLE", "/nowhere/ca.pem")]);
        let error = client(&environment).unwrap_err();
        assert_eq!(
            error,
            "AWS_CA_BUNDLE names /nowhere/ca.pem, which cannot be read: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn a_bad_bundle_is_one_line_and_no_panic() {
        let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        for text in [
            "",
            "not PEM",
            broken,
            &pem(b"not a certificate"),
            "-----BEGIN CERTIFICATE-----\n",
        ] {
            let error = client(&named(&[("SSL_CERT_FILE", &bundle(text))])).unwrap_err();
            assert!(
                error.starts_with("SSL_CERT_FILE names /") && error.lines().count() == 1,
                "{error}"
            );
        }
    }

    #[test]
    fn one_bad_certificate_does_not_spoil_the_bundle() {
        let roots = compiled_in();
        let text = pem(&roots[0]) + &pem(b"not a certificate") + &pem(&roots[1]);
        assert_eq!(parsed(&usable(text.as_bytes(), "X").unwrap()), roots[..2]);
    }
}
