//! A certificate authority that lives as long as a test.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// Signs the certificates of a test's servers.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Authority")
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// One that nobody trusts yet.
    ///
    /// # Panics
    /// When a key cannot be made.
    pub fn new() -> Authority {
        match Authority::try_new() {
            Ok(authority) => authority,
            Err(error) => panic!("no certificate authority can be made: {error}"),
        }
    }

    fn try_new() -> Result<Authority, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let name = format!("testkit {:016x}", fastrand::u64(..));
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Authority { issuer })
    }

    /// Its own certificate, in PEM, for those who are to trust it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's certificate and key, in PEM, for these names and addresses.
    ///
    /// # Panics
    /// When a name cannot be in a certificate.
    pub fn certificate(&self, names: &[&str]) -> (String, String) {
        match self.issue(names, false) {
            Ok(pair) => pair,
            Err(error) => panic!("no certificate for {names:?}: {error}"),
        }
    }

    /// The same, out of date since a long time.
    ///
    /// # Panics
    /// As [`Authority::certificate`].
    pub fn expired_certificate(&self, names: &[&str]) -> (String, String) {
        match self.issue(names, true) {
            Ok(pair) => pair,
            Err(error) => panic!("no certificate for {names:?}: {error}"),
        }
    }

    fn issue(&self, names: &[&str], expired: bool) -> Result<(String, String), rcgen::Error> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "server");
        if expired {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Writes certificate and key of a server to these files.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write(pair: &(String, String), certificate: &Path, key: &Path) {
        for (path, text) in [(certificate, &pair.0), (key, &pair.1)] {
            if let Err(error) = std::fs::write(path, text) {
                panic!("{} cannot be written: {error}", path.display());
            }
        }
    }
}
