//! Celery's remote control of the one worker.

use super::{Consuming, Event, Look};
use agent::redis::{Pidbox, Target, connect};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// For a connection, and for each answer: a worker answers within 50 ms.
const LIMIT: Duration = Duration::from_secs(2);
/// The client must not give up before the question does.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a worker that said that it comes up is waited for to listen.
const BOOT: Duration = Duration::from_secs(3);
/// Between two looks at whether it listens.
const GLANCE: Duration = Duration::from_millis(2);
/// Between two cancels that it may or may not have heard.
const REPEAT: Duration = Duration::from_millis(100);

/// The queue that nobody fills, on which a worker starts to take nothing before it is protected: that it
/// is not taken up again is what it is for.
const EMPTY_QUEUE: &str = "trimtab.hold";

/// One worker.
#[derive(Clone, Debug)]
pub struct Remote {
    target: Target,
    pidbox: Pidbox,
    worker: String,
    queues: Vec<String>,
    /// Whether somebody said what the worker should consume; else it is what it is first seen with.
    declared: bool,
    /// What it consumes besides, as it was last told.
    others: Vec<String>,
    connection: Option<MultiplexedConnection>,
}

/// Why a worker did nothing: `Silent` to the machine.
enum Trouble {
    NoAnswer,
    Broker(String),
}

impl From<redis::RedisError> for Trouble {
    fn from(error: redis::RedisError) -> Self {
        Self::Broker(agent::redis::ConnectError::from(&error).to_string())
    }
}

impl Remote {
    /// A worker that nobody has spoken to yet.
    pub fn new(
        target: Target,
        pidbox: Pidbox,
        worker: String,
        queues: Vec<String>,
        declared: bool,
    ) -> Self {
        Self {
            target,
            pidbox,
            worker,
            queues,
            declared,
            others: Vec::new(),
            connection: None,
        }
    }

    /// Its name.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// Forgets the connection: an answer that is waited for holds up whatever is asked next.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Cancels each of its consumers.
    ///
    /// `at_once` is for one that says that it comes up. It takes its first task in the same turn of its
    /// event loop in which it begins to listen, and what was published before that is lost (kombu's
    /// fanout is `PUBLISH`, and no mailbox waits). So the moment at which one more listens is watched
    /// for: what it takes in those few milliseconds is the window that remains.
    pub async fn cancel(&mut self, at_once: bool) -> Event {
        if at_once {
            // Whatever becomes of it, the cancel below counts.
            let _ = timeout(BOOT, self.hold()).await;
        }
        let cancelled = self.cancel_all().await;
        self.event(cancelled, |()| Event::Cancelled)
    }

    /// Adds its consumers.
    pub async fn add(&mut self) -> Event {
        let added = self.each("add_consumer", self.queues.clone()).await;
        self.event(added, |()| Event::Added)
    }

    /// What it consumes, and what it has to do.
    pub async fn look(&mut self) -> Event {
        let seen = self.see().await;
        self.event(seen, Event::Seen)
    }

    /// Tells it to end once its tasks have: a warm shutdown, which is not answered.
    pub async fn shutdown(&mut self) -> Event {
        let told = async {
            let mut connection = self.connection().await?;
            let unique = unique();
            let arguments = json!({});
            let told = self.pidbox.tell(
                &mut connection,
                &self.worker,
                "shutdown",
                arguments,
                &unique,
            );
            match told.await? {
                0 => Err(Trouble::NoAnswer),
                _ => Ok(()),
            }
        };
        let told = told.await;
        self.event(told, |()| Event::Leaves)
    }

    fn event<T>(&mut self, answer: Result<T, Trouble>, event: impl FnOnce(T) -> Event) -> Event {
        match answer {
            Ok(answer) => event(answer),
            Err(trouble) => {
                if let Trouble::Broker(why) = trouble {
                    self.connection = None;
                    tracing::debug!(
                        event = "remote_failed",
                        reason = why,
                        "the worker cannot be asked"
                    );
                }
                Event::Silent
            }
        }
    }

    async fn cancel_all(&mut self) -> Result<(), Trouble> {
        self.each("cancel_consumer", self.queues.clone()).await?;
        let others = self.active_queues().await?;
        self.each("cancel_consumer", others).await
    }

    async fn each(&mut self, method: &str, queues: Vec<String>) -> Result<(), Trouble> {
        for queue in queues {
            self.ask(method, json!({ "queue": queue })).await?;
        }
        Ok(())
    }

    async fn see(&mut self) -> Result<Look, Trouble> {
        let active = self.active_queues().await?;
        self.learn(&active);
        let mut tasks = 0;
        // In the order in which a task moves on, so that it cannot slip through between two questions.
        for list in ["scheduled", "reserved", "active"] {
            let answer = self.ask(list, json!({})).await?;
            tasks += answer.as_array().map_or(0, Vec::len);
        }
        Ok(Look {
            consuming: consuming(&self.queues, &active),
            tasks: u32::try_from(tasks).unwrap_or(u32::MAX),
        })
    }

    fn learn(&mut self, active: &[String]) {
        let real = active.iter().filter(|queue| *queue != EMPTY_QUEUE);
        let real: Vec<String> = real.cloned().collect();
        if !self.declared && !real.is_empty() {
            self.declared = true;
            self.queues = real;
        }
        let others = others(&self.queues, active);
        if others != self.others && !others.is_empty() {
            tracing::warn!(
                event = "queues_differ",
                worker = self.worker,
                others = others.join(","),
                queues = self.queues.join(","),
                "the worker consumes queues that --queues does not name: once cancelled they are not added again"
            );
        }
        self.others = others;
    }

    async fn active_queues(&mut self) -> Result<Vec<String>, Trouble> {
        let answer = self.ask("active_queues", json!({})).await?;
        let queues = answer.as_array().into_iter().flatten();
        let names = queues.filter_map(|queue| queue.get("name")?.as_str());
        Ok(names.map(str::to_owned).collect())
    }

    async fn ask(&mut self, method: &str, arguments: Value) -> Result<Value, Trouble> {
        let mut connection = self.connection().await?;
        let (worker, unique) = (&self.worker, unique());
        let asked = self
            .pidbox
            .ask(&mut connection, worker, method, arguments, LIMIT, &unique);
        match asked.await? {
            Some(answer) if answer.get("error").is_none() => Ok(answer),
            Some(answer) => {
                let why = answer["error"].to_string();
                tracing::warn!(
                    event = "remote_refused",
                    method,
                    reason = why,
                    "the worker refuses a command"
                );
                Err(Trouble::NoAnswer)
            }
            None => Err(Trouble::NoAnswer),
        }
    }

    /// Says cancel as soon as one more worker listens, and now and then for those that do already.
    async fn hold(&mut self) -> Result<(), Trouble> {
        let mut connection = self.connection().await?;
        let mut known = self.pidbox.listeners(&mut connection).await?;
        self.say_cancel(&mut connection).await?;
        let mut said = Instant::now();
        loop {
            let listeners = self.pidbox.listeners(&mut connection).await?;
            if listeners > known {
                return self.say_cancel(&mut connection).await;
            }
            known = listeners;
            if said.elapsed() >= REPEAT {
                self.say_cancel(&mut connection).await?;
                said = Instant::now();
            }
            sleep(GLANCE).await;
        }
    }

    async fn say_cancel(&self, connection: &mut MultiplexedConnection) -> Result<(), Trouble> {
        for queue in &self.queues {
            let arguments = json!({ "queue": queue });
            let unique = unique();
            self.pidbox
                .tell(
                    connection,
                    &self.worker,
                    "cancel_consumer",
                    arguments,
                    &unique,
                )
                .await?;
        }
        Ok(())
    }

    async fn connection(&mut self) -> Result<MultiplexedConnection, Trouble> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        match timeout(LIMIT, connect(&self.target, PATIENCE)).await {
            Ok(Ok(connection)) => Ok(self.connection.insert(connection).clone()),
            Ok(Err(error)) => Err(Trouble::Broker(error.to_string())),
            Err(_) => Err(Trouble::Broker("no connection in time".to_owned())),
        }
    }
}

/// Names a question alone, among those of all who ask.
fn unique() -> String {
    format!("trimtab-{:032x}", fastrand::u128(..))
}

/// What a worker consumes and should not.
fn others(wanted: &[String], active: &[String]) -> Vec<String> {
    let others = active
        .iter()
        .filter(|queue| !wanted.contains(queue) && *queue != EMPTY_QUEUE);
    others.cloned().collect()
}

/// | consumes | of what it should |
/// |---|---|
/// | nothing at all | nothing |
/// | every queue | all |
/// | else, only others too | some |
fn consuming(wanted: &[String], active: &[String]) -> Consuming {
    match () {
        () if active.is_empty() => Consuming::Nothing,
        () if wanted.iter().all(|queue| active.contains(queue)) => Consuming::All,
        () => Consuming::Some,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_consumed_is_compared_with_what_should_be() {
        for (active, expected) in [
            ("", Consuming::Nothing),
            ("a", Consuming::Some),
            ("c", Consuming::Some),
            ("b a", Consuming::All),
            ("a c b", Consuming::All),
        ] {
            let active: Vec<String> = active.split_whitespace().map(str::to_owned).collect();
            let wanted = ["a".to_owned(), "b".to_owned()];
            assert_eq!(consuming(&wanted, &active), expected, "{active:?}");
        }
    }

    #[test]
    fn what_a_worker_is_first_seen_with_is_what_it_should_consume_but_for_the_queue_that_nobody_fills()
     {
        let target = Target::parse("redis://127.0.0.1/0").expect("a url");
        let worker = "celery@a".to_owned();
        let queues = vec!["default".to_owned()];
        let mut remote = Remote::new(target, Pidbox::default(), worker, queues, false);
        let hold = "trimtab.hold".to_owned();
        remote.learn(std::slice::from_ref(&hold));
        assert_eq!(remote.queues, ["default"]);
        remote.learn(&[hold, "low".to_owned()]);
        assert_eq!(remote.queues, ["low"]);
    }

    #[test]
    fn the_queue_that_nobody_fills_is_nothing_to_warn_of() {
        let active = ["a", "trimtab.hold", "c"].map(str::to_owned);
        assert_eq!(others(&["a".to_owned()], &active), ["c"]);
    }
}
