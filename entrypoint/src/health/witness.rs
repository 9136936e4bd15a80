//! What stands outside the container and knows of the service: Airflow's database, the broker.

use std::time::{Duration, SystemTime};

use agent::postgres::{Session, Target, connect};
use agent::secret::Secret;
use tokio::time::timeout;

use super::plan::Node;
use super::row::{self, Own, Row};
use crate::broker::worker_answers_under;
use crate::schema::message;

/// Who can say how the service is. An error means that nobody can, in one line.
#[expect(async_fn_in_trait, reason = "used within this crate, on one thread")]
pub trait Witness {
    /// Whether there is a database to be asked; without one the process speaks for itself.
    fn has_database(&self) -> bool;

    /// The service's own row in Airflow's `job` table.
    async fn row(
        &mut self,
        own: &Own,
        names: &[String],
        started: SystemTime,
        limit: Duration,
    ) -> Result<Option<Row>, String>;

    /// Whether the Celery worker of that name answers on the broker.
    async fn worker(&mut self, node: &Node, limit: Duration) -> Result<bool, String>;
}

/// The real ones: at most one connection to the database, kept from look to look.
#[derive(Debug)]
pub struct Outside {
    target: Option<Target>,
    session: Option<Session>,
    broker: Option<Secret>,
}

/// How `pg_stat_activity` shows the connection.
const APPLICATION: &str = "trimtab-health";

impl Outside {
    /// With what the service itself was given; `broker` is its URL.
    pub fn new(target: Option<Target>, broker: Option<String>) -> Self {
        Self {
            target,
            session: None,
            broker: broker.map(Secret::new),
        }
    }
}

impl Witness for Outside {
    fn has_database(&self) -> bool {
        self.target.is_some()
    }

    async fn row(
        &mut self,
        own: &Own,
        names: &[String],
        started: SystemTime,
        limit: Duration,
    ) -> Result<Option<Row>, String> {
        let Some(target) = &self.target else {
            return Err("Airflow's database is not known to the entrypoint".to_owned());
        };
        let session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            _ => connect(target, limit, APPLICATION)
                .await
                .map_err(|error| format!("Airflow's database is away: {error}"))?,
        };
        // It stays taken where the answer does not come, and so is given up.
        match timeout(limit, row::look(&session.client, own, names, started)).await {
            Ok(Ok(row)) => {
                self.session = Some(session);
                Ok(row)
            }
            Ok(Err(error)) => Err(format!(
                "Airflow's database did not answer: {}",
                message(&error)
            )),
            Err(_) => Err(format!(
                "Airflow's database did not answer within {limit:?}"
            )),
        }
    }

    async fn worker(&mut self, node: &Node, limit: Duration) -> Result<bool, String> {
        let Some(broker) = &self.broker else {
            return Err("the broker is not known to the entrypoint".to_owned());
        };
        worker_answers_under(&node.key_prefix, broker.reveal(), &node.name, limit).await
    }
}
