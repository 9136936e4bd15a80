//! What can go wrong with a session: it is lost, the server refuses, a signal comes.

use crate::failure::Failure;
use crate::supervise::Stop;
use agent::exit::Exit;
use std::future::Future;
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// A session that is lost, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost(pub String);

/// Why a try did not come to its end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// With another session it may.
    Lost(Lost),
    Failed(Failure),
}

/// Waits, unless a signal asks to end.
pub(crate) async fn pause(stop: &Stop, duration: Duration) -> Result<(), Failure> {
    until_stopped(stop, tokio::time::sleep(duration)).await
}

/// What a future gives, unless a signal asks to end.
pub(crate) async fn until_stopped<T>(
    stop: &Stop,
    future: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::select! {
        value = future => Ok(value),
        signal = stop.wait() => Err(Failure::stopped(
            signal.number(),
            format!("{signal} came before the schema was up to date"),
        )),
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Failed(failure) => failure,
            Trouble::Lost(Lost(why)) => Self::new(
                Exit::Unavailable,
                format!("the session with the database was lost: {why}"),
            ),
        }
    }
}

impl From<Lost> for Trouble {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        let why = message(&error);
        match error.code() {
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Self::Failed(Failure::new(
                Exit::Permission,
                format!(
                    "{why}: grant it to the role of the connection, or let the owner of Airflow's tables connect"
                ),
            )),
            // Classes 08, 25 and 57: connection, a standby after a failover, the operator.
            Some(code)
                if !["08", "25", "57"]
                    .iter()
                    .any(|class| code.code().starts_with(class)) =>
            {
                Self::Failed(Failure::new(
                    Exit::Unavailable,
                    format!("the database refuses to show its schema: {why}"),
                ))
            }
            _ => Self::Lost(Lost(why)),
        }
    }
}

/// The server's own words, or the client's.
pub(crate) fn message(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => error.to_string(),
    }
}
