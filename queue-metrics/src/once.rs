//! `once`: listens to the workers for a while, reads the broker, and answers.

mod report;

pub use self::report::{GroupReport, Queue, Report};

use self::report::Seen;
use crate::broker::{Asker, Failure, Layout, Listener, Reading, Sampler, Workers};
use crate::demand::{Groups, Oldest, Policy};
use crate::program::Ending;
use crate::settings::{Airflow, Once};
use crate::watch::Homes;
use crate::witness::{Counts, Witness};
use agent::exit::Exit;
use agent::redis::{Target, connect};
use agent::settings::{Environment, Output};
use std::time::Duration;
use tokio::time::Instant;

/// For a connection, and for each answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A worker sends a heartbeat every 2 s; who listens for less would call its tasks orphans.
const SHORTEST: Duration = Duration::from_secs(3);
/// For all workers together to say which queues they consume.
const ASKING: Duration = Duration::from_secs(10);

/// What `once` needs to know, from its settings and Airflow's.
#[derive(Debug)]
pub struct Plan {
    target: Target,
    prefix: String,
    layout: Layout,
    groups: Groups,
    /// Whether groups were named.
    grouped: bool,
    policy: Policy,
    prefetch: u32,
    witness: Option<Witness>,
    observe: Duration,
    output: Output,
}

/// Everything that can be wrong before the first connection.
///
/// # Errors
/// One line that names the setting.
pub fn plan(settings: &Once, environment: &Environment) -> Result<Plan, String> {
    if settings.observe < SHORTEST {
        return Err("--observe takes 3s or more: workers send a heartbeat every 2 s".to_owned());
    }
    let airflow = Airflow::read(environment)?;
    let target = settings.broker.target(environment)?;
    let groups = settings.queues.groups(&settings.metrics.service)?;
    let keys = settings.broker.keys(&airflow);
    let witness = settings.witness.connect(environment, &groups)?;
    Ok(Plan {
        layout: Layout::new(&keys, target.database, groups.queues()),
        prefix: keys.prefix,
        target,
        grouped: !settings.queues.group.is_empty(),
        groups,
        policy: settings.target.policy(&airflow)?,
        prefetch: airflow.claimed_prefetch(),
        witness,
        observe: settings.observe,
        output: settings.output.output,
    })
}

/// Listens, reads, and answers with the text for stdout.
///
/// # Errors
/// When the broker or the database, where it is to be asked, cannot be read.
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

async fn observe(mut plan: Plan) -> Result<Report, Failure> {
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
    let counts: Option<Counts> = match &mut plan.witness {
        Some(witness) => Some(witness.read(TIMEOUT).await?),
        None => None,
    };
    let homes = homes(&plan, &workers, at).await;
    let seen = Seen {
        layout: &plan.layout,
        groups: &plan.groups,
        grouped: plan.grouped,
        policy: plan.policy,
        prefetch: plan.prefetch,
        before: &before,
        after: &after,
        workers: &workers,
        homes: &homes,
        counts: counts.as_ref(),
        at,
        age,
    };
    Ok(seen.report())
}

/// Which groups the workers that were heard serve, where there are several.
async fn homes(plan: &Plan, workers: &Workers, at: Duration) -> Homes {
    let mut homes = Homes::new();
    if plan.groups.iter().count() < 2 {
        return homes;
    }
    let asker = Asker::new(&plan.target, &plan.prefix, &plan.groups);
    let asking = async {
        for (worker, ..) in workers.each(at) {
            // One that does not tell may serve any.
            if let Ok(Some(groups)) = asker.ask(worker).await {
                homes.insert(worker.to_owned(), groups);
            }
        }
    };
    let _ = tokio::time::timeout(ASKING, asking).await;
    homes
}

fn names(reading: &Reading) -> impl Iterator<Item = (&str, &str)> {
    let next = reading.next.iter();
    next.map(|(list, id)| (list.as_str(), id.as_str()))
}
