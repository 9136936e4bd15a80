//! The connections to the broker: one that asks, and one that listens to the workers.

use super::Picture;
use crate::broker::{Failure, Layout, Listener, Reading, Sampler, target_key};
use crate::protect::Hint;
use agent::backoff::backoff;
use agent::redis::{Target, connect};
use redis::aio::MultiplexedConnection;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks at the server itself.
const INSPECTED_EVERY: Duration = Duration::from_secs(60);
/// Without a heartbeat for so long the listening line is tried: before the silence of its workers names
/// the first orphan.
const CHECKED_AFTER: Duration = Duration::from_secs(6);
/// Between two tries to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long `protect` believes what was left for it.
const HINT_LASTS: u64 = 60;

/// The broker, connected or not. What it remembers of messages in flight outlives a connection.
pub(super) struct Link {
    target: Target,
    layout: Layout,
    sampler: Sampler,
    /// For a connection, and for each answer.
    limit: Duration,
    session: Option<Session>,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    /// When the next try to connect is due.
    due: Instant,
}

struct Session {
    connection: MultiplexedConnection,
    listener: Listener,
    since: Instant,
    inspected: Option<Instant>,
    /// When the listening line was last known to stand.
    stood: Instant,
}

impl Link {
    /// One that has no connection yet.
    pub(super) fn new(target: Target, layout: Layout, limit: Duration) -> Self {
        Self {
            sampler: Sampler::new(target.clone(), layout.clone()).without_tags(),
            target,
            layout,
            limit,
            session: None,
            pauses: pauses(),
            due: Instant::now(),
        }
    }

    /// Since when workers are listened to; none without a connection.
    pub(super) fn since(&self) -> Option<Instant> {
        self.session.as_ref().map(|session| session.since)
    }

    /// When the next try to connect is due; none while connected.
    pub(super) fn due(&self) -> Option<Instant> {
        self.session.is_none().then_some(self.due)
    }

    /// What a worker published next: for ever without a connection, none when it ended.
    pub(super) async fn heard(&mut self) -> Option<Vec<u8>> {
        match &mut self.session {
            Some(session) => {
                let published = session.listener.next().await;
                session.stood = Instant::now();
                published
            }
            None => std::future::pending().await,
        }
    }

    /// Connects anew, and listens before it asks: what is read next has heartbeats beside it.
    pub(super) async fn open(&mut self) -> Result<(), Failure> {
        // Until a reading succeeds the next try waits longer.
        self.due = Instant::now() + self.pauses.next().unwrap_or(LONGEST_PAUSE);
        let listener = Listener::start(&self.target, &self.layout, self.limit).await?;
        let connection = connect(&self.target, self.limit).await;
        let connection = connection.map_err(|error| Failure::new(&self.target, &error))?;
        self.session = Some(Session {
            connection,
            listener,
            since: Instant::now(),
            inspected: None,
            stood: Instant::now(),
        });
        Ok(())
    }

    /// One reading, in `limit` as a whole. None without a connection; a failure ends the connection.
    pub(super) async fn read(&mut self) -> Option<Result<Reading, Failure>> {
        let session = self.session.as_mut()?;
        let now = Instant::now();
        if now.duration_since(session.stood) >= CHECKED_AFTER {
            if let Err(failure) = session.listener.check(self.limit).await {
                self.close();
                return Some(Err(failure));
            }
            session.stood = now;
        }
        let inspect = session
            .inspected
            .is_none_or(|then| now.duration_since(then) >= INSPECTED_EVERY);
        let reading = self.sampler.read(&mut session.connection, inspect);
        let result = match tokio::time::timeout(self.limit, reading).await {
            Ok(Ok(reading)) => match &reading.server {
                Some(server) if server.replica => Err(Failure::replica(&self.target)),
                _ => Ok(reading),
            },
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::silent(&self.target, self.limit)),
        };
        match &result {
            Ok(_) if inspect => session.inspected = Some(now),
            Ok(_) => {}
            Err(_) => self.close(),
        }
        if result.is_ok() {
            self.pauses = pauses();
        }
        Some(result)
    }

    /// The connection ended, or is to.
    pub(super) fn close(&mut self) {
        if self.session.take().is_some() {
            self.due = Instant::now() + self.pauses.next().unwrap_or(LONGEST_PAUSE);
        }
    }

    pub(super) fn lost(&self) -> Failure {
        Failure::lost(&self.target)
    }

    /// Leaves each group's target for `protect`.
    pub(super) async fn leave(&mut self, prefix: &str, picture: &Picture) -> Result<(), Failure> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let mut questions = redis::pipe();
        for group in &picture.groups {
            let hint = Hint {
                workers_target: group.target.workers,
            };
            questions
                .cmd("SET")
                .arg(target_key(prefix, &group.name))
                // Neither field of it can fail to become JSON.
                .arg(serde_json::to_string(&hint).unwrap_or_default())
                .arg("EX")
                .arg(HINT_LASTS)
                .ignore();
        }
        let left: Result<(), redis::RedisError> =
            questions.query_async(&mut session.connection).await;
        left.map_err(|error| Failure::of(&self.target, &error))
    }
}

fn pauses() -> Box<dyn Iterator<Item = Duration> + Send> {
    Box::new(backoff(FIRST_PAUSE, LONGEST_PAUSE, fastrand::u64(..)))
}
