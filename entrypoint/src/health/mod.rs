//! The service's own health, and nobody else's: what tells that it lives, looked at every 10 s.
//!
//! | room | what |
//! |---|---|
//! | [`plan`] | what is looked at, by service: pure |
//! | [`judge`] | what follows from what was seen: pure |
//! | [`row`] | the service's row in Airflow's `job` table |
//! | [`witness`] | the database and the broker, one connection each at most |

pub mod judge;
pub mod plan;
pub mod row;
pub mod witness;

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use agent::http;
use agent::metrics::{Metric, Metrics, Unit};
use agent::status::Status;
use hyper::Method;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use self::judge::{Judge, Seen, Verdict};
use self::plan::{Port, Watched};
use self::row::Own;
use self::witness::Witness;
use crate::names;
use crate::oom;
use crate::supervise::Stop;

/// Between two publications of an unchanged state.
const PUBLISH: Duration = Duration::from_secs(60);

/// For each look. A busy service answers later than an idle one, and a dead one never.
const LIMIT: Duration = Duration::from_secs(5);

/// How often is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Until the service is first seen alive.
    pub starting: Duration,
    /// From then on.
    pub settled: Duration,
}

impl Default for Pace {
    /// ECS reads the status file on a schedule of its own.
    fn default() -> Self {
        Self {
            starting: Duration::from_secs(2),
            settled: Duration::from_secs(10),
        }
    }
}

/// What a watch works with.
#[derive(Debug)]
pub struct Watch<'a, W> {
    /// What tells that the service lives.
    pub watched: Watched,
    /// The database and the broker.
    pub witness: W,
    /// What the container says of itself; what it says now counts until the service is seen.
    pub status: &'a Status,
    /// Where `ServiceHealthy` and `OomKills` go.
    pub metrics: &'a Metrics,
    /// What goes with them each time: whoever fetches metrics sees the last publication alone.
    pub beside: Vec<Metric>,
    /// From the first signal that asks to end on, the state stays.
    pub stop: &'a Stop,
    /// What the kernel killed.
    pub oom: &'a oom::Watch,
    /// How often is looked.
    pub pace: Pace,
}

impl<W: Witness> Watch<'_, W> {
    /// Watches the service for ever. It counts as started when this is called, not when it is awaited.
    pub fn run(self) -> impl Future<Output = Infallible> {
        self.watch((Instant::now(), SystemTime::now()))
    }

    async fn watch(mut self, started: (Instant, SystemTime)) -> Infallible {
        let names = row::host_names();
        if let Watched::Process(why) = &self.watched {
            tracing::info!(
                event = "health_by_process",
                why,
                "the service counts as healthy while its main process lives"
            );
        }
        let mut judge = Judge::new(self.status.state().healthy);
        let mut before: Option<Verdict> = None;
        let mut published: Option<Instant> = None;
        loop {
            if self.stop.asked().is_some() {
                return self.keep_still().await;
            }
            let seen = self.look(&names, started.1).await;
            let verdict = judge.take(&seen, started.0.elapsed());
            let changed = before.as_ref() != Some(&verdict);
            let turned = before.as_ref().map(|before| before.healthy) != Some(verdict.healthy);
            if changed {
                self.say(before.as_ref(), &verdict);
            }
            let killed = self.oom.look() > 0;
            if turned || killed || published.is_none_or(|at| at.elapsed() >= PUBLISH) {
                published = Some(Instant::now());
                self.publish(verdict.healthy);
            }
            before = Some(verdict);
            let wait = match judge.lived() {
                true => self.pace.settled,
                false => self.pace.starting,
            };
            // Until the next look hardly anything is needed.
            agent::footprint::release_memory();
            tokio::select! {
                () = sleep(wait) => {}
                _ = self.stop.wait() => {}
            }
        }
    }

    /// A service that ends answers less and less, which is as it should be.
    async fn keep_still(&self) -> Infallible {
        self.status
            .update(|state| "stopping".clone_into(&mut state.phase));
        loop {
            self.oom.look();
            self.publish(self.status.state().healthy);
            sleep(PUBLISH).await;
        }
    }

    async fn look(&mut self, names: &[String], started: SystemTime) -> Seen {
        match &self.watched {
            Watched::Process(_) => Seen::Alive,
            Watched::Http(port) => answers(port).await,
            Watched::Tcp(authority) => accepts(authority).await,
            Watched::Worker(node) => match self.witness.worker(node, LIMIT).await {
                Ok(true) => Seen::Alive,
                Ok(false) => Seen::Dead(format!(
                    "the worker {} does not answer on the broker",
                    node.name
                )),
                Err(why) => Seen::Unknown(why),
            },
            // A database that is no Postgres, or whose URL only Airflow can find out.
            Watched::Row(_, Some(port)) if !self.witness.has_database() => answers(port).await,
            Watched::Row(_, None) if !self.witness.has_database() => Seen::Alive,
            Watched::Row(own, port) => {
                if let Some(port) = port
                    && ok(port).await
                {
                    return Seen::Alive;
                }
                // Its own server asks the database too, and says the same of one that is away as of a
                // scheduler that is dead. The row tells the two apart.
                let own = own.clone();
                self.row(&own, names, started).await
            }
        }
    }

    async fn row(&mut self, own: &Own, names: &[String], started: SystemTime) -> Seen {
        match self.witness.row(own, names, started, LIMIT).await {
            Ok(found) => row::seen(own, found.as_ref(), SystemTime::now()),
            Err(why) => Seen::Unknown(why),
        }
    }

    fn say(&self, before: Option<&Verdict>, verdict: &Verdict) {
        self.status.update(|state| {
            "running".clone_into(&mut state.phase);
            state.healthy = verdict.healthy;
            state.degraded = verdict.degraded;
            state.reason.clone_from(&verdict.reason);
        });
        let reason = verdict.reason.as_deref().unwrap_or_default();
        let was_degraded = before.is_some_and(|before| before.degraded);
        match (before.map(|before| before.healthy), verdict.healthy) {
            (Some(true), false) => {
                tracing::error!(event = "unhealthy", reason, "the service is not healthy");
            }
            (None | Some(false), true) if verdict.reason.is_none() => {
                tracing::info!(event = "healthy", "the service is healthy");
            }
            _ if verdict.degraded && !was_degraded => {
                tracing::warn!(
                    event = "health_unknown",
                    reason,
                    healthy = verdict.healthy,
                    "nobody can say how the service is: its last state stays"
                );
            }
            _ if was_degraded && !verdict.degraded => {
                tracing::info!(
                    event = "health_known",
                    reason,
                    healthy = verdict.healthy,
                    "the service's health is known again"
                );
            }
            _ => tracing::debug!(
                event = "health",
                reason,
                healthy = verdict.healthy,
                "the service was looked at"
            ),
        }
    }

    fn publish(&self, healthy: bool) {
        let mut metrics = self.beside.clone();
        metrics.extend([service_healthy(healthy), self.oom.metric()]);
        self.metrics.publish(&metrics);
    }
}

/// 1 or 0.
fn service_healthy(healthy: bool) -> Metric {
    Metric {
        name: names::SERVICE_HEALTHY,
        unit: Unit::None,
        value: f64::from(u8::from(healthy)),
    }
}

/// Whoever answers lives: that a path is not there, or not allowed, is a matter of settings.
async fn answers(port: &Port) -> Seen {
    match http::request(Method::GET, &port.authority, &port.path, None, LIMIT).await {
        Ok(answer) if answer.status < 500 => Seen::Alive,
        Ok(answer) => Seen::Dead(format!(
            "{}{} answered {}",
            port.authority, port.path, answer.status
        )),
        Err(why) => Seen::Dead(why),
    }
}

async fn ok(port: &Port) -> bool {
    let answer = http::request(Method::GET, &port.authority, &port.path, None, LIMIT).await;
    answer.is_ok_and(|answer| answer.status == 200)
}

async fn accepts(authority: &str) -> Seen {
    match timeout(LIMIT, TcpStream::connect(authority)).await {
        Ok(Ok(_)) => Seen::Alive,
        Ok(Err(error)) => Seen::Dead(format!("{authority} takes no connection: {error}")),
        Err(_) => Seen::Dead(format!("{authority} takes no connection within {LIMIT:?}")),
    }
}
