//! How a server is to differ from the plain one.

/// How a server is to differ from the plain one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) settings: Vec<(String, String)>,
    pub(super) rules: Option<Vec<String>>,
    pub(super) without_tls: bool,
    pub(super) names: Vec<String>,
    pub(super) expired: bool,
}

impl Options {
    /// One with TLS for `localhost` and 127.0.0.1, taken but not demanded.
    pub fn new() -> Options {
        Options::default()
    }

    /// A line of postgresql.conf, `max_connections` and `20`.
    pub fn set(mut self, name: &str, value: &str) -> Options {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The lines of pg_hba.conf; the superuser's own stands before them.
    pub fn rules(mut self, lines: &[&str]) -> Options {
        self.rules = Some(lines.iter().map(|line| (*line).to_owned()).collect());
        self
    }

    /// Only with TLS, as RDS does (`rds.force_ssl`).
    pub fn tls_only(self) -> Options {
        self.rules(&["hostssl all all 127.0.0.1/32 scram-sha-256"])
    }

    /// Without TLS.
    pub fn without_tls(mut self) -> Options {
        self.without_tls = true;
        self
    }

    /// The names and addresses in its certificate.
    pub fn names(mut self, names: &[&str]) -> Options {
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// With a certificate that is out of date.
    pub fn expired(mut self) -> Options {
        self.expired = true;
        self
    }
}
