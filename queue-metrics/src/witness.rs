//! The second witness: what Airflow's database says is queued and running.
//!
//! One statement a sample, answered from the index on `state`, over a session that comes back by
//! itself. Nothing is written, and no statement is prepared, which a pooler might not keep.

mod failure;
mod question;

use crate::broker::Failure;
use crate::demand::Database;
use agent::backoff::backoff;
use agent::postgres::{ConnectError, Reason, Session, Target, connect};
use question::{Columns, Question};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::SimpleQueryMessage;

/// What the session is called in `pg_stat_activity`.
pub const APPLICATION: &str = "trimtab-queue-metrics";

/// Between two tries to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After so many tries the pause is the longest.
const MOST_DOUBLED: usize = 6;

/// What was read at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Task instances of each queue, in the order in which the queues were named.
    pub queues: Vec<Database>,
    /// Those in queues that were not named.
    pub elsewhere: Database,
}

impl Counts {
    /// All of the named queues.
    pub fn sum(&self) -> Database {
        let add = |sum: Database, queue: &Database| Database {
            queued: sum.queued.saturating_add(queue.queued),
            running: sum.running.saturating_add(queue.running),
        };
        self.queues.iter().fold(Database::default(), add)
    }
}

/// Asks Airflow's database, from release 2.0 on.
#[derive(Debug)]
pub struct Witness {
    target: Target,
    question: Question,
    session: Option<(Session, Columns)>,
    /// Why there is no session, and when the next try is due.
    away: Option<(Failure, Instant)>,
    /// Tries that failed since the last answer.
    failed: usize,
    seed: u64,
}

impl Witness {
    /// One that has no session yet, for these queues of the database at `url`. `executors` is
    /// `AIRFLOW__CORE__EXECUTOR`: where Celery's is not the first of several, a task that names no
    /// executor is none of its tasks.
    ///
    /// # Errors
    /// What is wrong with the URL, without its password.
    pub fn new(
        url: &str,
        executors: Option<&str>,
        queues: impl IntoIterator<Item = String>,
    ) -> Result<Self, String> {
        let target = Target::parse(url)
            .map_err(|why| format!("the database's URL cannot be used: {why}"))?;
        Ok(Self {
            target,
            question: Question::new(executors, queues),
            session: None,
            away: None,
            failed: 0,
            seed: fastrand::u64(..),
        })
    }

    /// Where the database is, for messages, without a secret.
    pub fn place(&self) -> &Target {
        &self.target
    }

    /// Counts, within `timeout`. A session that was lost is opened anew at once; after a try that
    /// failed the next one waits a little longer each time, up to half a minute, and until then the
    /// same failure is returned without a try.
    ///
    /// # Errors
    /// Why the database cannot be read.
    pub async fn read(&mut self, timeout: Duration) -> Result<Counts, Failure> {
        if let Some((failure, due)) = &self.away
            && Instant::now() < *due
        {
            return Err(failure.clone());
        }
        let read = tokio::time::timeout(timeout, self.ask(timeout)).await;
        let error = match read {
            Ok(Ok(counts)) => {
                (self.away, self.failed) = (None, 0);
                return Ok(counts);
            }
            Ok(Err(error)) => error,
            Err(_) => ConnectError {
                reason: Reason::Timeout,
                why: format!("no answer within {timeout:?}"),
            },
        };
        // Behind a connection that is silent every later statement would wait as well.
        self.session = None;
        let failure = failure::judge(&self.target, &error);
        let mut pauses = backoff(FIRST_PAUSE, LONGEST_PAUSE, self.seed);
        let pause = pauses.nth(self.failed.min(MOST_DOUBLED));
        let pause = pause.unwrap_or(LONGEST_PAUSE);
        self.failed += 1;
        self.away = Some((failure.clone(), Instant::now() + pause));
        Err(failure)
    }

    async fn ask(&mut self, timeout: Duration) -> Result<Counts, ConnectError> {
        if let Some((session, columns)) = &self.session
            && !session.is_closed()
        {
            match query(session, &self.question.sql(*columns, timeout)).await {
                Ok(rows) => return self.question.counts(&rows),
                // An idle session may have ended unnoticed, and a migration may have changed the table.
                Err(error) if !worth_another(&error) => return Err(error),
                Err(_) => {}
            }
        }
        self.session = None;
        let session = connect(&self.target, timeout, APPLICATION).await?;
        let columns = Columns::of(&query(&session, Columns::QUESTION).await?);
        let rows = query(&session, &self.question.sql(columns, timeout)).await?;
        self.session = Some((session, columns));
        self.question.counts(&rows)
    }
}

fn worth_another(error: &ConnectError) -> bool {
    match &error.reason {
        Reason::Network | Reason::Protocol => true,
        // Ended by an administrator or a restart; a column that is there no more.
        Reason::State(state) => state.starts_with("57P") || state == "42703",
        _ => false,
    }
}

/// The rows as text. The simple protocol is one round trip.
async fn query(session: &Session, sql: &str) -> Result<Vec<Vec<String>>, ConnectError> {
    let answer = session.client.simple_query(sql).await;
    let answer = answer.map_err(|error| ConnectError::from(&error))?;
    let cells = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(
            (0..row.len())
                .map(|at| row.get(at).unwrap_or_default().to_owned())
                .collect(),
        ),
        _ => None,
    };
    Ok(answer.iter().filter_map(cells).collect())
}
