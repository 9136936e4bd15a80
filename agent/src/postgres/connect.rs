//! Getting a session, and why not.

use super::{Host, RDS_ROOTS, Target, TlsMode};
use crate::tls::{self, Check};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::watch;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A session that is idle for long, one that holds a lock for one, is kept alive: NAT gateways and load
/// balancers forget a silent connection after 350 s. A peer that is gone is noticed after a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long written data may stay unacknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// A session; it ends when this is dropped.
pub struct Session {
    /// Runs queries.
    pub client: Client,
    lost: watch::Receiver<Option<String>>,
}

/// Why there is no session.
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
    /// The server answered with this SQLSTATE.
    State(String),
    /// The host's name has no address.
    Name,
    /// No connection, or one that ended early.
    Network,
    /// No answer in time.
    Timeout,
    /// The server's certificate cannot be trusted.
    Certificate,
    /// The server has no TLS, and it was demanded.
    NoTls,
    /// A handshake that failed for another reason.
    Handshake,
    /// The file of certificates cannot be used.
    Roots,
    /// A way to log in that is not supported, or none that the server offers.
    Login,
    /// Something that no PostgreSQL answers.
    Protocol,
}

impl ConnectError {
    fn new(reason: Reason, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { reason, why }
    }

    /// The SQLSTATE that the server answered with.
    pub fn state(&self) -> Option<&str> {
        match &self.reason {
            Reason::State(state) => Some(state),
            _ => None,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.why)?;
        match self.state() {
            Some(state) => write!(formatter, " (SQLSTATE {state})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConnectError {}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = &*self.lost.borrow();
        formatter
            .debug_struct("Session")
            .field("lost", lost)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Waits until the session is lost, and says why. It needs no session to be held meanwhile.
    pub fn closed(&self) -> impl Future<Output = String> + Send + use<> {
        let mut lost = self.lost.clone();
        async move {
            match lost.wait_for(Option::is_some).await {
                Ok(why) => why.clone().unwrap_or_default(),
                Err(_) => "its task ended".to_owned(),
            }
        }
    }

    /// Whether it is lost.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed() || self.lost.borrow().is_some()
    }

    /// Ends it, and waits shortly until the server was told, so that it does not count against
    /// `max_connections` a moment longer.
    pub async fn end(self) {
        let closed = self.closed();
        drop(self.client);
        let _ = tokio::time::timeout(Duration::from_secs(1), closed).await;
    }
}

/// Connects within `timeout`, over all hosts and addresses, whose names are looked up anew each time.
///
/// # Errors
/// Why the last of them let nobody in; a server's own answer goes before a silence.
pub async fn connect(
    target: &Target,
    timeout: Duration,
    application_name: &str,
) -> Result<Session, ConnectError> {
    let attempt = async {
        let mut error = None;
        for host in &target.hosts {
            match connect_host(target, host, timeout, application_name).await {
                Ok(session) => return Ok(session),
                Err(next) => error = Some(graver(error, next)),
            }
        }
        Err(error.unwrap_or_else(|| ConnectError::new(Reason::Name, "no host is named")))
    };
    match tokio::time::timeout(timeout, attempt).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::new(
            Reason::Timeout,
            format!("no answer within {timeout:?}"),
        )),
    }
}

fn graver(earlier: Option<ConnectError>, later: ConnectError) -> ConnectError {
    match earlier {
        Some(earlier) if earlier.state().is_some() && later.state().is_none() => earlier,
        _ => later,
    }
}

async fn connect_host(
    target: &Target,
    host: &Host,
    timeout: Duration,
    application_name: &str,
) -> Result<Session, ConnectError> {
    let mut config = Config::new();
    config
        .user(&target.user)
        .dbname(&target.name)
        .port(host.port)
        .application_name(application_name)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES)
        .tcp_user_timeout(UNACKNOWLEDGED);
    if let Some(password) = &target.password {
        config.password(password.reveal());
    }
    if let Some(options) = &target.options {
        config.options(options);
    }
    if host.name.starts_with('/') {
        config.host_path(&host.name).ssl_mode(SslMode::Disable);
        return open(&config, target).await;
    }
    let addresses = addresses(host).await?;
    // A first address that swallows packets leaves time for the next.
    let share = timeout / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    config.connect_timeout(share);
    let mut error = None;
    for address in addresses {
        let mut config = config.clone();
        config.host(&host.name).hostaddr(address);
        match open_as_asked(&mut config, target).await {
            Ok(session) => return Ok(session),
            Err(next) => error = Some(graver(error, next)),
        }
    }
    Err(error.unwrap_or_else(|| no_address(host, "it has none")))
}

async fn addresses(host: &Host) -> Result<Vec<IpAddr>, ConnectError> {
    let found = tokio::net::lookup_host((host.name.as_str(), host.port)).await;
    let found = found.map_err(|error| no_address(host, &error.to_string()))?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

fn no_address(host: &Host, why: &str) -> ConnectError {
    let why = why
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(why);
    let why = format!("the name {} has no address: {why}", host.name);
    ConnectError::new(Reason::Name, why)
}

/// `prefer` is libpq's: where the way with TLS fails, the way without is tried.
async fn open_as_asked(config: &mut Config, target: &Target) -> Result<Session, ConnectError> {
    let mode = target.tls.mode.unwrap_or(TlsMode::Prefer);
    config.ssl_mode(match mode {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        _ => SslMode::Require,
    });
    let error = match open(config, target).await {
        Ok(session) => return Ok(session),
        Err(error) => error,
    };
    // pg_hba.conf may let in by hostnossl alone.
    let by_rule = error.state() == Some("28000")
        && error.why.contains("pg_hba.conf")
        && !error.why.contains("no encryption");
    let without = error.reason == Reason::Handshake || by_rule;
    if mode != TlsMode::Prefer || !without {
        return Err(error);
    }
    config.ssl_mode(SslMode::Disable);
    open(config, target).await.map_err(|_| error)
}

async fn open(config: &Config, target: &Target) -> Result<Session, ConnectError> {
    let tls = &target.tls;
    let check = match tls.mode.unwrap_or(TlsMode::Prefer) {
        TlsMode::VerifyFull => Check::Name,
        TlsMode::VerifyCa => Check::Chain,
        TlsMode::Require if tls.root.is_some() => Check::Chain,
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => Check::Nothing,
    };
    let tls = tls::config(check, tls.root.as_deref(), RDS_ROOTS.as_bytes())
        .map_err(|why| ConnectError::new(Reason::Roots, why))?;
    let connected = config.connect(MakeRustlsConnect::new(tls)).await;
    let (client, connection) = connected.map_err(|error| ConnectError::from(&error))?;
    let (report, lost) = watch::channel(None);
    tokio::spawn(async move {
        let why = match connection.await {
            Ok(()) => "it was closed".to_owned(),
            Err(error) => ConnectError::from(&error).to_string(),
        };
        report.send_replace(Some(why));
    });
    Ok(Session { client, lost })
}

/// What tokio-postgres says, in the terms of this module.
impl From<&tokio_postgres::Error> for ConnectError {
    fn from(error: &tokio_postgres::Error) -> Self {
        if let Some(answer) = error.as_db_error() {
            let state = answer.code().code().to_owned();
            return Self::new(Reason::State(state), one_line(answer.message()));
        }
        if let Some(cause) = tls::certificate_error(error) {
            return match tls::certificate_reason(cause) {
                Some(why) => Self::new(Reason::Certificate, why),
                None => Self::new(Reason::Handshake, format!("TLS: {cause}")),
            };
        }
        let io = std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<std::io::Error>());
        if let Some(io) = io {
            let reason = match io.kind() {
                std::io::ErrorKind::TimedOut => Reason::Timeout,
                _ => Reason::Network,
            };
            let early = io.kind() == std::io::ErrorKind::UnexpectedEof;
            let why = match early {
                true => "the connection ended early".to_owned(),
                false => one_line(&io.to_string()),
            };
            return Self::new(reason, why);
        }
        if error.is_closed() {
            return Self::new(Reason::Network, "the connection ended early");
        }
        // The library tells its kinds apart by their texts alone.
        let text = error.to_string();
        let source = std::error::Error::source(error).map(ToString::to_string);
        let why = one_line(source.as_deref().unwrap_or(&text));
        let reason = match text.as_str() {
            _ if why.contains("does not support TLS") => Reason::NoTls,
            _ if text.starts_with("error performing TLS handshake") => Reason::Handshake,
            _ if text.starts_with("authentication error")
                || text.starts_with("invalid configuration") =>
            {
                Reason::Login
            }
            _ => Reason::Protocol,
        };
        match reason {
            Reason::NoTls => Self::new(reason, "the server has no TLS"),
            _ => Self::new(reason, why),
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
