//! Sessions with PostgreSQL: URLs as SQLAlchemy has them, libpq's TLS modes, and an end that is noticed.

mod connect;
mod url;

pub use connect::{ConnectError, Reason, Session, connect};

use crate::secret::Secret;
use std::fmt;
use std::path::PathBuf;

/// Root certificates of Amazon RDS in PEM, which no system's bundle holds.
pub const RDS_ROOTS: &str = include_str!("rds-roots.pem");

/// A database, and how to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it is; of several the first that lets in is taken.
    pub hosts: Vec<Host>,
    /// The database's name.
    pub name: String,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: Option<Secret>,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// libpq's `options`, `-c search_path=airflow`.
    pub options: Option<String>,
}

/// A server's name or address, or a directory with its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name, an address, or a path.
    pub name: String,
    /// The port.
    pub port: u16,
}

/// How a connection is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// libpq's `sslmode`; none is `prefer`.
    pub mode: Option<TlsMode>,
    /// The file of certificates to trust; none are those compiled in, Amazon RDS's among them.
    pub root: Option<PathBuf>,
}

/// libpq's `sslmode`. `allow`, which tries without TLS first, is taken for `prefer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Without TLS.
    Disable,
    /// With TLS where the server has it, its certificate unchecked.
    Prefer,
    /// With TLS; its certificate is checked as for `verify-ca` where a file of roots is given, which is
    /// libpq's own rule.
    Require,
    /// With TLS, and a certificate that a trusted authority signed for any name.
    VerifyCa,
    /// With TLS, and a certificate that a trusted authority signed for the host's name.
    VerifyFull,
}

impl Target {
    /// A database by its parts.
    pub fn new(host: Host, name: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            hosts: vec![host],
            name: name.into(),
            user: user.into(),
            password: None,
            tls: Tls::default(),
            options: None,
        }
    }
}

/// Where it is, for messages: `airflow at db.example:5432`.
impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at ", self.name)?;
        for (place, host) in self.hosts.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(formatter, "{comma}{host}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.name, self.port)
    }
}

impl TlsMode {
    /// libpq's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}
