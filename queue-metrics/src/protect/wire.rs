//! What is heard: the workers' events, and the target that `watch` left.

use super::{Hint, Verdict, verdict};
use crate::broker::{
    Failure, Layout, Listener, Workers, draining_key, online, target_key, unix_seconds, workers_key,
};
use agent::backoff::backoff;
use agent::redis::{Target, connect};
use redis::aio::MultiplexedConnection;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// For a connection, and for each answer.
const LIMIT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A worker sends a heartbeat every 2 s: a subscription that is silent for longer may be cut off.
const SILENT: Duration = Duration::from_secs(30);

/// In seconds: what workers said that are long gone is not kept for ever.
const DRAINS_LAST: i64 = 3600;
/// In seconds: a worker whose `protect` says nothing for longer is none of the group's.
const WORKERS_LAST: u64 = 60;

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The connection is there.
    Back,
    /// The connection is gone, or there is none yet.
    Lost(String),
    /// This worker has just come up, or came up again.
    Online,
    /// Where this worker stands.
    Standing(Standing),
}

/// Where a worker stands against the target, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is wanted.
    pub verdict: Verdict,
    /// What `watch` left.
    pub hint: Option<Hint>,
    /// Workers that live.
    pub alive: usize,
}

/// A connection that reads, and one that listens.
#[derive(Clone, Debug)]
pub struct Wire {
    target: Target,
    layout: Layout,
    key: String,
    worker: String,
    /// Between two looks at the target.
    pub every: Duration,
    /// Whether its worker drains for a deployment, which is then said at each look.
    drains: Option<watch::Receiver<bool>>,
    drains_key: String,
    workers_key: String,
}

impl Wire {
    /// For a worker of a group.
    pub fn new(target: Target, layout: Layout, prefix: &str, group: &str, worker: String) -> Self {
        Self {
            key: target_key(prefix, group),
            drains: None,
            drains_key: draining_key(prefix, group),
            workers_key: workers_key(prefix, group),
            target,
            layout,
            worker,
            every: Duration::from_secs(5),
        }
    }

    /// The same, which also says whether its worker drains for a deployment.
    #[must_use]
    pub fn with_drains(mut self, drains: watch::Receiver<bool>) -> Self {
        self.drains = Some(drains);
        self
    }

    /// Hears for ever, and connects again as often as it takes. Ends when nobody listens to `heard`.
    pub async fn hear(self, heard: Sender<Heard>) {
        let pauses = || backoff(FIRST_PAUSE, LONGEST_PAUSE, fastrand::u64(..));
        let mut waits = pauses();
        loop {
            let failure = match self.open().await {
                Ok((connection, listener)) => {
                    waits = pauses();
                    if heard.send(Heard::Back).await.is_err() {
                        return;
                    }
                    match self.listen(connection, listener, &heard).await {
                        Some(failure) => failure,
                        None => return,
                    }
                }
                Err(failure) => failure,
            };
            if heard.send(Heard::Lost(failure.why)).await.is_err() {
                return;
            }
            sleep(waits.next().unwrap_or(LONGEST_PAUSE)).await;
        }
    }

    async fn open(&self) -> Result<(MultiplexedConnection, Listener), Failure> {
        let connected = connect(&self.target, LIMIT).await;
        let connection = connected.map_err(|error| Failure::new(&self.target, &error))?;
        // Before anything is asked: what is published in between would be missed.
        let listener = Listener::start(&self.target, &self.layout, LIMIT).await?;
        Ok((connection, listener))
    }

    /// Until a connection fails; none when nobody listens any more.
    async fn listen(
        &self,
        mut connection: MultiplexedConnection,
        mut listener: Listener,
        heard: &Sender<Heard>,
    ) -> Option<Failure> {
        let began = Instant::now();
        let mut latest = began;
        let mut workers = Workers::default();
        let mut said = false;
        let mut looks = interval(self.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let news = tokio::select! {
                published = listener.next() => {
                    let Some(published) = published else {
                        return Some(Failure::lost(&self.target));
                    };
                    latest = Instant::now();
                    workers.observe(began.elapsed(), &published);
                    match online(&published) {
                        Some(name) if name == self.worker => Heard::Online,
                        _ => continue,
                    }
                }
                _ = looks.tick() => {
                    if latest.elapsed() >= SILENT {
                        match Listener::start(&self.target, &self.layout, LIMIT).await {
                            Ok(another) => (listener, latest) = (another, Instant::now()),
                            Err(failure) => return Some(failure),
                        }
                    }
                    workers.forget(began.elapsed());
                    said = self.say(&mut connection, said).await;
                    match self.standing(&mut connection, &workers, began.elapsed()).await {
                        Ok(standing) => Heard::Standing(standing),
                        Err(failure) => return Some(failure),
                    }
                }
            };
            if heard.send(news).await.is_err() {
                return None;
            }
        }
    }

    /// Says that the worker drains, or no longer does. Whether it is said now: a broker that takes no
    /// writes is no reason to hear nothing.
    async fn say(&self, connection: &mut MultiplexedConnection, said: bool) -> bool {
        let drains = self.drains.as_ref().is_some_and(|drains| *drains.borrow());
        let mut word = redis::pipe();
        match (drains, said) {
            (true, _) => {
                word.zadd(&self.drains_key, &self.worker, unix_seconds());
                word.expire(&self.drains_key, DRAINS_LAST);
            }
            (false, true) => {
                word.zrem(&self.drains_key, &self.worker);
            }
            (false, false) => return false,
        }
        let _: Result<redis::Value, redis::RedisError> = word.query_async(connection).await;
        drains
    }

    async fn standing(
        &self,
        connection: &mut MultiplexedConnection,
        workers: &Workers,
        at: Duration,
    ) -> Result<Standing, Failure> {
        let mut question = redis::cmd("GET");
        question.arg(&self.key);
        let left: Option<Vec<u8>> = question
            .query_async(connection)
            .await
            .map_err(|error| Failure::of(&self.target, &error))?;
        // What is no target is as good as none: nobody drains.
        let hint = left.and_then(|left| serde_json::from_slice::<Hint>(&left).ok());
        let own = self.own_group(connection).await?;
        let live: Vec<(&str, u64)> = workers
            .each(at)
            .filter(|(name, _, lives)| *lives && own.iter().any(|own| own == name))
            .map(|(name, active, _)| (name, active))
            .collect();
        Ok(Standing {
            verdict: verdict(&self.worker, live.iter().copied(), hint),
            hint,
            alive: live.len(),
        })
    }

    /// The workers of this group: each `protect` says which is its own, because a broker may carry several
    /// groups, and the target is of one. Where the broker takes no writes nobody is, and nobody drains.
    async fn own_group(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Vec<String>, Failure> {
        let now = unix_seconds();
        let past = now.saturating_sub(WORKERS_LAST);
        let mut word = redis::pipe();
        word.zadd(&self.workers_key, &self.worker, now)
            .ignore()
            .zrembyscore(&self.workers_key, "-inf", format!("({past}"))
            .ignore()
            .expire(&self.workers_key, DRAINS_LAST)
            .ignore()
            .zrange(&self.workers_key, 0, -1);
        let said: Result<(Vec<String>,), redis::RedisError> = word.query_async(connection).await;
        match said {
            Ok((names,)) => Ok(names),
            Err(error) if error.is_unrecoverable_error() || error.is_timeout() => {
                Err(Failure::of(&self.target, &error))
            }
            Err(_) => Ok(Vec::new()),
        }
    }
}
