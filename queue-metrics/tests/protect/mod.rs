//! Real workers of Celery, each with an ECS agent of its own and `protect` beside it in this process.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use agent::metrics::Metrics;
use agent::settings::Environment;
use agent::status::Status;
use queue_metrics::protect::{Board, Inside, Keeper, Pace, Plan};
use queue_metrics::settings::{Command, PREFIX, Settings};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::airflow::{Airflow, Release};
use testkit::ecs::EcsAgent;
use testkit::process::{Process, Program};
use testkit::redis::{Redis, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub const LONG: Duration = Duration::from_secs(60);

/// Seconds instead of minutes, but for what Celery's blocking pop takes.
pub const QUICK: Pace = Pace {
    tick: Duration::from_millis(100),
    steady: Duration::from_millis(400),
    renewal: Duration::from_millis(1_500),
    retry: Duration::from_millis(300),
    late: Duration::from_secs(2),
    check: Duration::from_secs(1),
    look: Duration::from_millis(200),
    busy_look: Duration::from_millis(300),
    silent: Duration::from_secs(3),
    healthy_after: Duration::from_secs(2),
};

/// A Redis, and the process that workers are forked from.
pub struct Fleet {
    pub redis: Redis,
    directory: tempfile::TempDir,
    process: Process,
}

/// One run of a task, in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Run {
    pub worker: String,
    pub start: f64,
    pub end: Option<f64>,
}

impl Fleet {
    pub fn start() -> Self {
        let redis = Redis::start();
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("fleet.py");
        std::fs::write(&script, include_str!("fleet.py")).unwrap();
        let process = Program::new(Airflow::of(Release::V3_1).bin().join("python"))
            .arg(script)
            .directory(directory.path())
            .env("BROKER", redis.url())
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", directory.path())
            .with_stdin()
            .spawn();
        process.wait_for(|line| line == "ready", LONG);
        Self {
            redis,
            directory,
            process,
        }
    }

    /// Keeps so many messages waiting, each of which naps at most so long.
    pub fn load(&self, waiting: u32, longest: f64) {
        self.redis
            .command(&["SET", "longest", &longest.to_string()]);
        self.redis.command(&["SET", "load", &waiting.to_string()]);
    }

    /// Puts messages that nap for exactly so long. They are there a moment later.
    pub fn put(&self, count: u32, seconds: f64) {
        for _ in 0..count {
            self.redis
                .command(&["RPUSH", "exact", &seconds.to_string()]);
        }
    }

    pub fn waiting(&self) -> u32 {
        match self.redis.command(&["LLEN", "default"]) {
            Value::Int(length) => u32::try_from(length).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// What `watch` would leave for a group.
    pub fn target(&self, group: &str, workers: u32) {
        let key = format!("trimtab.target.{group}");
        let hint = format!("{{\"workers_target\":{workers}}}");
        self.redis.command(&["SET", &key, &hint]);
    }

    /// Starts a worker, `celery@NAME`, and returns its process id at once.
    pub fn worker(&mut self, name: &str, pool: &str, slots: u32, queues: &str) -> u32 {
        let url = self.redis.url();
        self.worker_by(&url, name, pool, slots, queues)
    }

    /// The same, with its own way to the broker.
    pub fn worker_by(
        &mut self,
        url: &str,
        name: &str,
        pool: &str,
        slots: u32,
        queues: &str,
    ) -> u32 {
        self.process.write(&format!(
            "worker celery@{name} {pool} {slots} {queues} {url}\n"
        ));
        let begin = format!("pid celery@{name} ");
        let line = self.process.wait_for(|line| line.starts_with(&begin), LONG);
        line.text[begin.len()..].parse().unwrap()
    }

    pub fn is_ready(&self, name: &str) -> bool {
        self.log(name).contains("ready.")
    }

    pub fn log(&self, name: &str) -> String {
        let file = self.directory.path().join(format!("celery@{name}.log"));
        std::fs::read_to_string(file).unwrap_or_default()
    }

    pub fn signal(&mut self, pid: u32, signal: &str) {
        self.process.write(&format!("kill {pid} {signal}\n"));
    }

    /// Whether a process has ended: nobody reaps it later than at once.
    pub fn is_gone(&self, pid: u32) -> bool {
        !PathBuf::from(format!("/proc/{pid}")).exists()
    }

    pub fn runs(&self) -> Vec<Run> {
        let text = std::fs::read_to_string(self.directory.path().join("runs")).unwrap_or_default();
        let mut runs: Vec<(String, Run)> = Vec::new();
        for line in text.lines() {
            let [what, worker, id, at] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let at: f64 = at.parse().unwrap();
            match what {
                "start" => {
                    let run = Run {
                        worker: worker.to_owned(),
                        start: at,
                        end: None,
                    };
                    runs.push((id.to_owned(), run));
                }
                _ => {
                    // A message whose acknowledgement was lost with the connection runs again.
                    let run = runs.iter_mut().find(|(other, run)| {
                        other == id && run.worker == worker && run.end.is_none()
                    });
                    run.unwrap().1.end = Some(at);
                }
            }
        }
        runs.into_iter().map(|(_, run)| run).collect()
    }

    /// Settings of `protect` for a worker. Its group is its name, as far as the first dot.
    pub fn inside(&self, name: &str, agent: &EcsAgent, url: &str, deny_limit: &str) -> Inside {
        let worker = format!("celery@{name}");
        let args = ["queue-metrics", "protect", "--worker", &worker];
        let service = name.split('.').next().unwrap();
        let rest = ["--service", service, "--deny-limit", deny_limit];
        let args = args.iter().chain(&rest).map(OsString::from);
        let environment = Environment::from_pairs([
            ("ECS_AGENT_URI", agent.uri().as_str()),
            ("QUEUE_METRICS_BROKER_URL", url),
        ]);
        let parsed = agent::settings::parse::<Settings>(PREFIX, args, &environment);
        let Command::Protect(settings) = parsed.ok().unwrap().settings.command else {
            panic!("not protect");
        };
        let mut inside = Plan::new(&settings, &environment)
            .unwrap()
            .inside()
            .unwrap();
        inside.rules.pace = QUICK;
        inside.wire.every = Duration::from_millis(200);
        inside
    }
}

/// One ECS task: the agent, `protect`, and its worker once that may start.
pub struct Task {
    pub name: String,
    pub agent: EcsAgent,
    pub status: Status,
    pub wanted: watch::Sender<Option<bool>>,
    pub keeping: JoinHandle<()>,
    pub worker: Option<u32>,
    pub url: String,
    pub deny_limit: String,
}

impl Task {
    /// With `protect` alone. Needs a runtime.
    pub fn start(fleet: &Fleet, name: &str, url: &str, deny_limit: &str) -> Self {
        let agent = EcsAgent::start();
        Self::beside(fleet, name, agent, url, deny_limit)
    }

    pub fn beside(fleet: &Fleet, name: &str, agent: EcsAgent, url: &str, deny: &str) -> Self {
        let wanted = watch::Sender::new(None);
        let status = Status::disabled();
        let inside = fleet.inside(name, &agent, url, deny);
        let keeping = keep(inside, &wanted, &status);
        Self {
            name: name.to_owned(),
            agent,
            status,
            wanted,
            keeping,
            worker: None,
            url: url.to_owned(),
            deny_limit: deny.to_owned(),
        }
    }

    /// Another `protect` in the place of this one, which was killed.
    pub fn keep_anew(&mut self, fleet: &Fleet) {
        self.keeping.abort();
        self.status.update(|state| state.phase.clear());
        let inside = fleet.inside(&self.name, &self.agent, &self.url, &self.deny_limit);
        self.keeping = keep(inside, &self.wanted, &self.status);
    }

    pub fn phase(&self) -> String {
        self.status.state().phase
    }

    pub fn healthy(&self) -> bool {
        self.status.state().healthy
    }

    /// The worker, which `protect`'s health lets start, until it is ready.
    pub async fn work(&mut self, fleet: &mut Fleet, pool: &str, slots: u32) {
        self.work_on(fleet, pool, slots, "default").await;
    }

    pub async fn work_on(&mut self, fleet: &mut Fleet, pool: &str, slots: u32, queue: &str) {
        until("protect to be healthy", || self.healthy()).await;
        self.worker = Some(fleet.worker(&self.name, pool, slots, queue));
        until("the worker to be ready", || fleet.is_ready(&self.name)).await;
    }

    pub async fn reaches(&self, phase: &str) {
        let started = Instant::now();
        while self.phase() != phase {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{} is {} and not {phase}: {:?}",
                self.name,
                self.phase(),
                self.status.state()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Spans of seconds since 1970 in which it was not protected.
    pub fn unprotected(&self) -> Vec<(f64, f64)> {
        let mut spans = Vec::new();
        let mut since = Some(0.0);
        for (at, protected) in self.agent.history() {
            match (since, protected) {
                (Some(begin), true) => {
                    spans.push((begin, seconds(at)));
                    since = None;
                }
                (None, false) => since = Some(seconds(at)),
                _ => {}
            }
        }
        spans.extend(since.map(|begin| (begin, f64::MAX)));
        spans
    }

    /// Runs of its worker that overlap a moment without protection.
    pub fn exposed(&self, runs: &[Run]) -> Vec<Run> {
        let spans = self.unprotected();
        let worker = format!("celery@{}", self.name);
        let own = runs.iter().filter(|run| run.worker == worker);
        own.filter(|run| {
            let end = run.end.unwrap_or(f64::MAX);
            spans
                .iter()
                .any(|(from, to)| run.start < *to && end > *from)
        })
        .cloned()
        .collect()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

fn keep(inside: Inside, wanted: &watch::Sender<Option<bool>>, status: &Status) -> JoinHandle<()> {
    let board = Board::new(
        status.clone(),
        Metrics::none(),
        inside.remote.worker(),
        inside.rules.pace.silent,
    );
    let mut keeper = Keeper::start(inside, wanted.subscribe(), board);
    tokio::spawn(async move { keeper.keep().await })
}

pub fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Looks until it holds, without holding up what else this thread does.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LONG, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a test on one thread, as `protect` itself runs.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}
