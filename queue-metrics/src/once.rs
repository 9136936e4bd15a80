//! `once`: listens to the workers for a while, reads the broker, and answers.

use crate::broker::{Failure, Layout, Listener, Reading, Sampler, Workers};
use crate::demand::{Group, Oldest, Policy, claimed, workers};
use crate::program::Ending;
use crate::settings::{Airflow, Once};
use agent::exit::Exit;
use agent::redis::{Target, connect};
use agent::settings::{Environment, Output};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::Instant;

/// For a connection, and for each answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A worker sends a heartbeat every 2 s; who listens for less would call its tasks orphans.
const SHORTEST: Duration = Duration::from_secs(3);

/// What `once` needs to know, from its settings and Airflow's.
#[derive(Debug)]
pub struct Plan {
    target: Target,
    layout: Layout,
    policy: Policy,
    prefetch: u32,
    observe: Duration,
    output: Output,
}

/// What was seen, as `--output json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Workers wanted, without a hold.
    pub workers_target: u32,
    /// Messages that wait.
    pub ready: u64,
    /// Tasks that run.
    pub busy: u64,
    /// Messages in flight that no worker claimed.
    pub orphaned: u64,
    /// Messages in flight.
    pub unacked: u64,
    /// Workers that were heard.
    pub workers_alive: u32,
    /// Seconds, a lower bound: Celery's messages carry no time. None where nothing waits.
    pub oldest_task_age: Option<u64>,
    /// By name.
    pub queues: BTreeMap<String, Queue>,
}

/// One queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// Messages that wait.
    pub ready: u64,
    /// Messages in flight.
    pub unacked: u64,
}

/// Everything that can be wrong before the first connection.
///
/// # Errors
/// One line that names the setting.
pub fn plan(settings: &Once, environment: &Environment) -> Result<Plan, String> {
    if !settings.queues.group.is_empty() {
        return Err("--group is watch's: name the queues of one group by --queues".to_owned());
    }
    if settings.observe < SHORTEST {
        return Err("--observe takes 3s or more: workers send a heartbeat every 2 s".to_owned());
    }
    if settings.witness.url(environment)?.is_some() {
        return Err("once does not ask the database yet: leave out --database and QUEUE_METRICS_DATABASE_URL".to_owned());
    }
    let airflow = Airflow::read(environment)?;
    let url = settings.broker.url(environment)?;
    let mut target = Target::parse(url.expose())
        .map_err(|error| format!("the broker's URL cannot be used: {error}"))?;
    if let (Some(tls), Some(file)) = (&mut target.tls, &settings.broker.ca_file) {
        tls.root = Some(file.clone());
    }
    let groups = settings.queues.groups(&settings.metrics.service)?;
    let queues = groups.iter().flat_map(|group: &Group| &group.queues);
    let keys = settings.broker.keys(&airflow);
    Ok(Plan {
        layout: Layout::new(&keys, target.database, queues.map(String::as_str)),
        target,
        policy: settings.target.policy(&airflow)?,
        prefetch: airflow.prefetch,
        observe: settings.observe,
        output: settings.output.output,
    })
}

/// Listens, reads, and answers with the text for stdout.
///
/// # Errors
/// When the broker cannot be read.
pub async fn run(plan: Plan) -> Result<String, Ending> {
    let output = plan.output;
    let report = observe(plan).await;
    let report = report.map_err(|failure| Ending::new(failure.exit, failure.why))?;
    match output {
        Output::Text => Ok(report.text()),
        Output::Json => serde_json::to_string(&report)
            .map(|json| json + "\n")
            .map_err(|error| Ending::new(Exit::Internal, error.to_string())),
    }
}

async fn observe(plan: Plan) -> Result<Report, Failure> {
    let Plan { target, layout, .. } = &plan;
    let connected = connect(target, TIMEOUT).await;
    let mut connection = connected.map_err(|error| Failure::new(target, &error))?;
    let mut listener = Listener::start(target, layout, TIMEOUT).await?;
    let mut sampler = Sampler::new(target.clone(), layout.clone());
    let before = sampler.read(&mut connection, true).await?;
    for warning in before.server.iter().flat_map(|server| server.warnings()) {
        tracing::warn!(event = "broker_risk", broker = %target, warning, "the broker may lose messages");
    }
    let started = Instant::now();
    let mut oldest = Oldest::new();
    oldest.observe(Duration::ZERO, names(&before));
    let mut workers = Workers::default();
    let end = started + plan.observe;
    while let Ok(published) = tokio::time::timeout_at(end, listener.next()).await {
        match published {
            Some(published) => workers.observe(started.elapsed(), &published),
            None => return Err(Failure::lost(target)),
        }
    }
    let after = sampler.read(&mut connection, false).await?;
    let at = started.elapsed();
    let age = oldest.observe(at, names(&after));
    Ok(report(&plan, &before, &after, &workers, at, age))
}

fn names(reading: &Reading) -> impl Iterator<Item = (&str, &str)> {
    let next = reading.next.iter();
    next.map(|(list, id)| (list.as_str(), id.as_str()))
}

/// | acknowledgement | busy | orphaned |
/// |---|---|---|
/// | late | in flight but for orphans | in flight all the while, and claimed by nobody |
/// | early | in flight, and what heartbeats claim | cannot be seen |
fn report(
    plan: &Plan,
    before: &Reading,
    after: &Reading,
    heard: &Workers,
    at: Duration,
    age: Option<Duration>,
) -> Report {
    let Policy {
        concurrency,
        min,
        max,
        acks_late,
        ..
    } = plan.policy;
    let ready: u64 = after.ready.iter().sum();
    let unacked: u64 = after.in_flight.queues.iter().sum();
    let claimed = claimed(heard.active(at), concurrency, plan.prefetch);
    // What was taken since the last heartbeat is claimed by nobody yet, and no orphan.
    let stayed = before.in_flight.tags.intersection(&after.in_flight.tags);
    let (busy, orphaned) = match acks_late {
        true => {
            let orphaned = unacked.saturating_sub(claimed).min(stayed.count() as u64);
            (unacked - orphaned, orphaned)
        }
        false => (unacked.saturating_add(claimed), 0),
    };
    let names = plan.layout.queues.iter().map(|(name, _)| name.clone());
    let counts = after.ready.iter().zip(&after.in_flight.queues);
    Report {
        workers_target: workers(ready.saturating_add(busy), concurrency).clamp(min, max),
        ready,
        busy,
        orphaned,
        unacked,
        workers_alive: heard.alive(at),
        oldest_task_age: age.map(|age| age.as_secs()),
        queues: names
            .zip(counts.map(|(&ready, &unacked)| Queue { ready, unacked }))
            .collect(),
    }
}

impl Report {
    /// For people. Names of queues are escaped: a terminal obeys some characters.
    fn text(&self) -> String {
        let age = match self.oldest_task_age {
            Some(age) => format!("{age} s or more"),
            None => "none waits".to_owned(),
        };
        let mut text = format!(
            "workers target  {}\nready           {}\nbusy            {}\norphaned        {}\nunacked         {}\nworkers alive   {}\noldest task     {age}\n",
            self.workers_target,
            self.ready,
            self.busy,
            self.orphaned,
            self.unacked,
            self.workers_alive,
        );
        for (name, queue) in &self.queues {
            let name = name.escape_debug();
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "queue {name}: {} ready, {} unacked",
                queue.ready, queue.unacked
            );
        }
        text
    }
}
