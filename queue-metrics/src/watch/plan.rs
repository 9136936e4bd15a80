//! What `watch` needs to know, from its settings and Airflow's.

use crate::broker::Layout;
use crate::demand::{Groups, Limits, Policy, parallelism_caps};
use crate::settings::{Airflow, Watch};
use crate::witness::Witness;
use agent::redis::Target;
use agent::settings::{Environment, show_duration};
use std::time::Duration;

/// The longest wait for one answer of the broker or the database.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const PARALLELISM: &str = "AIRFLOW__CORE__PARALLELISM";

/// Everything that `watch` needs, checked before the first connection.
#[derive(Debug)]
pub struct Plan {
    pub(super) target: Target,
    pub(super) layout: Layout,
    pub(super) prefix: String,
    pub(super) groups: Groups,
    pub(super) policy: Policy,
    pub(super) prefetch: u32,
    pub(super) limits: Limits,
    pub(super) interval: Duration,
    pub(super) witness: Option<Witness>,
    warnings: Vec<String>,
}

impl Plan {
    /// # Errors
    /// One line that names the setting.
    pub fn new(settings: &Watch, environment: &Environment) -> Result<Self, String> {
        let airflow = Airflow::read(environment)?;
        let groups = settings.queues.groups(&settings.metrics.service)?;
        let target = settings.broker.target(environment)?;
        let keys = settings.broker.keys(&airflow);
        let policy = settings.target.policy(&airflow)?;
        let witness = settings.witness.connect(environment, &groups)?;
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        Ok(Self {
            layout: Layout::new(&keys, target.database, groups.queues())
                .with_groups(&keys, groups.iter().map(|group| group.name.as_str())),
            target,
            prefix: keys.prefix,
            policy,
            prefetch: airflow.claimed_prefetch(),
            limits: Limits {
                queued_timeout: seconds(airflow.queued_timeout),
                token: Some(seconds(airflow.token)),
            },
            interval: settings.interval,
            warnings: warnings(&airflow, &policy, &groups, environment),
            groups,
            witness,
        })
    }

    /// For one answer: a sample never takes longer than the time to the next one.
    pub(super) fn limit(&self) -> Duration {
        self.interval.min(LONGEST_WAIT)
    }

    pub(super) fn announce(&self) {
        let groups: Vec<String> = self
            .groups
            .iter()
            .map(|group| format!("{}={}", group.name, group.queues.join(",")))
            .collect();
        tracing::info!(
            event = "watching",
            broker = %self.target,
            database = self.target.database,
            groups = groups.join(";"),
            min_workers = self.policy.min,
            max_workers = self.policy.max,
            worker_concurrency = self.policy.concurrency,
            hold = show_duration(self.policy.hold),
            interval = show_duration(self.interval),
            acks_late = self.policy.acks_late,
            second_witness = self.witness.as_ref().map(|witness| witness.place().to_string()),
            "watching"
        );
        for warning in &self.warnings {
            tracing::warn!(
                event = "airflow_settings",
                warning,
                "Airflow's settings limit what is seen or done"
            );
        }
    }
}

fn warnings(
    airflow: &Airflow,
    policy: &Policy,
    groups: &Groups,
    environment: &Environment,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let count = u32::try_from(groups.iter().count()).unwrap_or(u32::MAX);
    let most = policy.max.saturating_mul(count);
    if let Some(mut warning) = parallelism_caps(airflow.parallelism, 1, most, policy.concurrency) {
        if environment.value(PARALLELISM).is_none() {
            warning.push_str(" (it is not set here: if the scheduler has it, set it here too)");
        }
        warnings.push(warning);
    }
    if !policy.acks_late {
        warnings.push(
            "with task_acks_late=False a message is gone when its task starts: running tasks are seen by heartbeats alone, and orphans, prefetched tasks apart from running ones, and messages that were lost cannot be seen".to_owned(),
        );
    }
    warnings
}
