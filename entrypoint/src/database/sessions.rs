//! Sessions for the schema's phase, which outlives a session that is lost.

use super::wait::{no_refetch, wait};
use crate::failure::Failure;
use crate::schema::{Lost, Sessions, lock};
use agent::postgres::{Session, Target, connect};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::Client;

/// How long the mark of a migration may take.
const MARK: Duration = Duration::from_secs(10);

/// Connects again to a database that let in before.
#[derive(Clone, Debug)]
pub struct Reconnect(pub Target);

impl Sessions for Reconnect {
    type Session = Session;

    fn client(session: &Session) -> &Client {
        &session.client
    }

    async fn open(&self, deadline: Instant) -> Result<Session, Failure> {
        wait(&mut self.0.clone(), deadline, no_refetch).await
    }

    async fn mark(&self) -> Result<Session, Lost> {
        let session = connect(&self.0, MARK, lock::MIGRATOR).await;
        session.map_err(|error| Lost(error.to_string()))
    }
}
