//! Connections to Redis by kombu's URLs. TLS is our own, because the client library would look for a
//! system's certificates, which an empty image lacks, even where it is given some.

mod greeting;
mod pidbox;
mod url;

pub use pidbox::Pidbox;
pub use url::UrlError;

use self::greeting::Greeting;
use crate::secret::Secret;
use crate::tls::{self, Check};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError};
use rustls::pki_types::ServerName;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A server, and how to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database's number.
    pub database: u16,
    /// The user; none is Redis's default user.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// How it is encrypted; none is not at all.
    pub tls: Option<Tls>,
}

/// How a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whether the server's certificate is checked.
    pub checked: bool,
    /// Whether it must be for the host's name.
    pub named: bool,
    /// The file of certificates to trust; none are the web's authorities, Amazon's among them.
    pub root: Option<PathBuf>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            checked: true,
            named: true,
            root: None,
        }
    }
}

/// Where it is, for messages: `cache.example:6379`.
impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// Why there is no connection, or why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    /// What kind of failure it is.
    pub reason: Reason,
    /// What happened, in a few words and without a secret.
    pub why: String,
}

/// What kind of failure there was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The host's name has no address.
    Name,
    /// No connection, or one that ended early.
    Network,
    /// No answer in time.
    Timeout,
    /// The server's certificate cannot be trusted.
    Certificate,
    /// A handshake that failed for another reason.
    Handshake,
    /// The file of certificates cannot be used.
    Roots,
    /// User or password are wrong or missing.
    Login,
    /// The server answered with this error, `LOADING`.
    Server(String),
    /// Something that no Redis answers.
    Protocol,
}

impl ConnectError {
    fn new(reason: Reason, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { reason, why }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.why)
    }
}

impl std::error::Error for ConnectError {}

/// Connects, logs in and asks for a sign of life within `timeout`, which from then on bounds each
/// answer too. The name is looked up anew each time.
///
/// # Errors
/// Why there is no connection.
pub async fn connect(
    target: &Target,
    timeout: Duration,
) -> Result<MultiplexedConnection, ConnectError> {
    let attempt = async {
        let (stream, greeting) = Greeting::listen(open(target).await?);
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(timeout));
        let connected =
            MultiplexedConnection::new_with_config(&target.info(), stream, config).await;
        let failed = |error: &RedisError| greeting.explain(ConnectError::from(error));
        let (mut connection, driver) = connected.map_err(|error| failed(&error))?;
        // Ends when the last clone of the connection is dropped.
        tokio::spawn(driver);
        let answer: Result<redis::Value, _> = redis::cmd("PING").query_async(&mut connection).await;
        match answer {
            // A user who may not ping is logged in all the same.
            Err(error) if error.code() != Some("NOPERM") => Err(failed(&error)),
            _ => Ok(connection),
        }
    };
    within(timeout, attempt).await
}

/// A connection for subscriptions, within `timeout`.
///
/// # Errors
/// Why there is none.
pub async fn subscriber(target: &Target, timeout: Duration) -> Result<PubSub, ConnectError> {
    let attempt = async {
        let stream = open(target).await?;
        let connected = PubSub::new(&target.info(), stream).await;
        connected.map_err(|error| ConnectError::from(&error))
    };
    within(timeout, attempt).await
}

async fn within<T>(
    timeout: Duration,
    attempt: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    match tokio::time::timeout(timeout, attempt).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::new(
            Reason::Timeout,
            format!("no answer within {timeout:?}"),
        )),
    }
}

impl Target {
    fn info(&self) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default()
            .set_db(i64::from(self.database))
            .set_skip_set_lib_name();
        if let Some(user) = &self.user {
            info = info.set_username(user);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password.reveal());
        }
        info
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn open(target: &Target) -> Result<Box<dyn Stream>, ConnectError> {
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let addresses: Vec<_> = match found {
        Ok(found) => found.collect(),
        Err(error) => {
            let text = error.to_string();
            let why = text
                .strip_prefix("failed to lookup address information: ")
                .unwrap_or(&text);
            let why = format!("the name {} has no address: {why}", target.host);
            return Err(ConnectError::new(Reason::Name, why));
        }
    };
    let stream = TcpStream::connect(&addresses[..]).await;
    let stream = stream.map_err(|error| from_io(&error))?;
    stream.set_nodelay(true).map_err(|error| from_io(&error))?;
    let Some(tls) = &target.tls else {
        return Ok(Box::new(stream));
    };
    let check = match (tls.checked, tls.named) {
        (false, _) => Check::Nothing,
        (true, false) => Check::Chain,
        (true, true) => Check::Name,
    };
    let config = tls::config(check, tls.root.as_deref(), b"")
        .map_err(|why| ConnectError::new(Reason::Roots, why))?;
    let name = ServerName::try_from(target.host.clone()).map_err(|_| {
        let why = format!("{} is no name that a certificate can be for", target.host);
        ConnectError::new(Reason::Handshake, why)
    })?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    match stream {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(from_io(&error)),
    }
}

fn from_io(error: &std::io::Error) -> ConnectError {
    if let Some(cause) = tls::certificate_error(error) {
        return match tls::certificate_reason(cause) {
            Some(why) => ConnectError::new(Reason::Certificate, why),
            None => ConnectError::new(Reason::Handshake, format!("TLS: {cause}")),
        };
    }
    match error.kind() {
        std::io::ErrorKind::TimedOut => ConnectError::new(Reason::Timeout, "no answer in time"),
        std::io::ErrorKind::UnexpectedEof => {
            ConnectError::new(Reason::Network, "the connection ended early")
        }
        _ => ConnectError::new(Reason::Network, error.to_string()),
    }
}

/// What the library says, in the terms of this module. Redis's own messages hold no secret.
impl From<&RedisError> for ConnectError {
    fn from(error: &RedisError) -> Self {
        let detail = || match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => format!("{code} {detail}"),
            (Some(code), None) => code.to_owned(),
            (None, Some(detail)) => detail.to_owned(),
            (None, None) => error.to_string(),
        };
        if error.is_timeout() {
            return Self::new(Reason::Timeout, "no answer in time");
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            let why = error.detail().unwrap_or("user or password are wrong");
            return Self::new(Reason::Login, why);
        }
        match error.code() {
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => Self::new(Reason::Login, detail()),
            Some(code) => Self::new(Reason::Server(code.to_owned()), detail()),
            None if error.is_connection_dropped() || error.is_io_error() => {
                Self::new(Reason::Network, "the connection ended early")
            }
            None => Self::new(Reason::Protocol, detail()),
        }
    }
}
