//! Every option of every command, once.

use crate::demand::{Group, Groups};
use agent::redis::Target;
use agent::settings::{Environment, MetricsSettings, OutputSettings, StatusSettings, duration};
use clap::{Args, Parser, Subcommand};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

mod airflow;

pub use self::airflow::{Airflow, Keys};

/// The prefix of the variables.
pub const PREFIX: &str = "QUEUE_METRICS_";

/// The version and the commit that it was built from.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TRIMTAB_COMMIT"), ")");

/// How many Celery workers are wanted, and protection for those that work.
#[derive(Parser, Clone, Debug)]
#[command(name = "queue-metrics", version = VERSION, disable_help_subcommand = true)]
pub struct Settings {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Samples the broker and publishes how many workers are wanted, for ever
    Watch(Box<Watch>),
    /// Takes one sample, and reports on stdout
    Once(Box<Once>),
    /// Replays a load against scaling policies; a table, JSON or a plot
    Simulate(Simulate),
    /// Keeps the ECS task of one worker protected while it takes tasks
    Protect(Box<Protect>),
}

/// `watch`
#[derive(Args, Clone, Debug)]
#[command(mut_arg("metrics", |metrics| metrics.default_value("cloudwatch")))]
#[expect(missing_docs, reason = "each part documents itself")]
pub struct Watch {
    #[command(flatten)]
    pub broker: Broker,
    #[command(flatten)]
    pub queues: Queues,
    #[command(flatten)]
    pub target: TargetSettings,
    /// Between samples
    #[arg(long, help_heading = "Timing", value_name = "DURATION", default_value = "5s", value_parser = interval)]
    pub interval: Duration,
    #[command(flatten)]
    pub witness: Witness,
    #[command(flatten)]
    pub status: StatusSettings,
    #[command(flatten)]
    pub metrics: MetricsSettings,
}

/// `once`
#[derive(Args, Clone, Debug)]
#[expect(missing_docs, reason = "each part documents itself")]
pub struct Once {
    #[command(flatten)]
    pub broker: Broker,
    #[command(flatten)]
    pub queues: Queues,
    #[command(flatten)]
    pub target: TargetSettings,
    /// How long it listens to the workers' heartbeats before it answers
    #[arg(long, help_heading = "Timing", value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub observe: Duration,
    #[command(flatten)]
    pub witness: Witness,
    #[command(flatten)]
    pub output: OutputSettings,
    #[command(flatten)]
    pub metrics: MetricsSettings,
}

/// `simulate`
#[derive(Args, Clone, Debug)]
pub struct Simulate {
    /// A TOML file, or one of steady, morning-burst, long-tail, flapping, spot-storm, redis-outage,
    /// deployment-at-noon; or all: each of these with ten seeds, in one table
    #[arg(value_name = "SCENARIO")]
    pub scenario: String,
    /// Writes the plot to this file, as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Where randomness begins [default: the scenario's]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// How long the target holds before it falls [default: the scenario's, or 5m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub hold: Option<Duration>,
    /// Least workers [default: the scenario's, or 0]
    #[arg(long, value_name = "COUNT")]
    pub min_workers: Option<u32>,
    /// Most workers [default: the scenario's, or 10]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=200))]
    pub max_workers: Option<u32>,
    /// Tasks that a worker runs [default: the scenario's, or 16]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub worker_concurrency: Option<u32>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "it documents itself")]
    pub output: OutputSettings,
}

/// `protect`
#[derive(Args, Clone, Debug)]
#[expect(missing_docs, reason = "each part documents itself")]
pub struct Protect {
    #[command(flatten)]
    pub broker: Broker,
    #[command(flatten)]
    pub queues: Queues,
    /// The worker's name in Celery (default: celery@ and the host's name)
    #[arg(long, help_heading = "Protection", value_name = "NAME", value_parser = worker)]
    pub worker: Option<String>,
    /// How long the worker waits for protection before it works without
    #[arg(long, help_heading = "Protection", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub deny_limit: Duration,
    /// ssm://PARAMETER that names the task definition a deployment wants; another than its own makes
    /// the worker drain
    #[arg(long, help_heading = "Protection", value_name = "ssm://NAME", value_parser = revision)]
    pub wanted_revision: Option<String>,
    #[command(flatten)]
    pub status: StatusSettings,
    #[command(flatten)]
    pub metrics: MetricsSettings,
}

/// Where the broker is and how kombu names its keys.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Broker")]
pub struct Broker {
    /// redis:// or rediss:// [default: AIRFLOW__CELERY__BROKER_URL]
    #[arg(long, value_name = "URL", hide_env_values = true, value_parser = secret)]
    pub broker_url: Option<Secret>,
    /// Certificates to trust instead of the compiled-in ones
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Kombu's steps of priority [default: Airflow's, or 0,3,6,9]
    #[arg(long, value_name = "STEPS", value_delimiter = ',')]
    pub priority_steps: Vec<u8>,
    /// Between a queue's name and a step [default: Airflow's, or \x06\x16]
    #[arg(long, value_name = "TEXT")]
    pub separator: Option<String>,
    /// Before every key [default: Airflow's, or none]
    #[arg(long, value_name = "TEXT")]
    pub key_prefix: Option<String>,
}

/// What is looked at.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Queues")]
pub struct Queues {
    /// The queues of --service; each is published, zero included [default: default, without --group]
    #[arg(long, value_name = "QUEUE", value_delimiter = ',', value_parser = queue)]
    pub queues: Vec<String>,
    /// NAME=queue,queue: a service with queues of its own; in the variable groups are parted by ;
    #[arg(long, value_name = "NAME=QUEUE,QUEUE", value_delimiter = ';')]
    pub group: Vec<Group>,
}

impl Queues {
    /// # Errors
    /// Names the queue or the group that is there twice.
    pub fn groups(&self, service: &str) -> Result<Groups, String> {
        Groups::new(service, &self.queues, &self.group)
    }
}

/// What the target is made of.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Target")]
pub struct TargetSettings {
    /// Tasks that a worker runs [default: AIRFLOW__CELERY__WORKER_CONCURRENCY, or 16]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub worker_concurrency: Option<u32>,
    /// The target's least
    #[arg(long, value_name = "COUNT", default_value = "0")]
    pub min_workers: u32,
    /// The target's most
    #[arg(long, value_name = "COUNT", default_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_workers: u32,
    /// How long the target holds before it falls
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub hold: Duration,
}

impl TargetSettings {
    /// The rules, with Airflow's settings where no option says otherwise.
    ///
    /// # Errors
    /// Says which two settings contradict each other.
    pub fn policy(&self, airflow: &Airflow) -> Result<crate::demand::Policy, String> {
        if self.min_workers > self.max_workers {
            return Err(format!(
                "--min-workers {} is more than --max-workers {}",
                self.min_workers, self.max_workers
            ));
        }
        Ok(crate::demand::Policy {
            concurrency: self.worker_concurrency.unwrap_or(airflow.concurrency),
            min: self.min_workers,
            max: self.max_workers,
            hold: self.hold,
            acks_late: airflow.acks_late,
        })
    }
}

/// Airflow's database as the second witness.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Second witness")]
pub struct Witness {
    /// Ask Airflow's database too, by QUEUE_METRICS_DATABASE_URL or Airflow's own connection
    #[arg(long)]
    pub database: bool,
    /// Airflow's database [default: AIRFLOW__DATABASE__SQL_ALCHEMY_CONN with --database]
    #[arg(long, hide = true, hide_env_values = true, value_parser = secret)]
    pub database_url: Option<Secret>,
}

impl Witness {
    /// The second witness for these groups; none where the database is not asked.
    ///
    /// # Errors
    /// `--database` without a URL, or a URL that cannot be used.
    pub fn connect(
        &self,
        environment: &Environment,
        groups: &Groups,
    ) -> Result<Option<crate::witness::Witness>, String> {
        let Some(url) = self.url(environment)? else {
            return Ok(None);
        };
        let executors = environment.value("AIRFLOW__CORE__EXECUTOR");
        let queues = groups.queues().map(str::to_owned);
        crate::witness::Witness::new(url.expose(), executors, queues).map(Some)
    }

    /// The database's URL; none where it is not asked.
    ///
    /// # Errors
    /// `--database` without a URL.
    pub fn url(&self, environment: &Environment) -> Result<Option<Secret>, String> {
        let airflows = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN";
        match (&self.database_url, environment.value(airflows)) {
            (Some(url), _) => Ok(Some(url.clone())),
            (None, _) if !self.database => Ok(None),
            (None, Some(url)) => Ok(Some(Secret(url.to_owned()))),
            (None, None) => Err(format!(
                "--database needs QUEUE_METRICS_DATABASE_URL or {airflows}"
            )),
        }
    }
}

impl Broker {
    /// The broker's URL.
    ///
    /// # Errors
    /// There is none.
    pub fn url(&self, environment: &Environment) -> Result<Secret, String> {
        let airflows = "AIRFLOW__CELERY__BROKER_URL";
        match (&self.broker_url, environment.value(airflows)) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(url)) => Ok(Secret(url.to_owned())),
            (None, None) => Err(format!("set QUEUE_METRICS_BROKER_URL or {airflows}")),
        }
    }

    /// Where the broker is, and how to get in.
    ///
    /// # Errors
    /// There is no URL, or one that cannot be used.
    pub fn target(&self, environment: &Environment) -> Result<Target, String> {
        let url = self.url(environment)?;
        let mut target = Target::parse(url.expose())
            .map_err(|error| format!("the broker's URL cannot be used: {error}"))?;
        if let (Some(tls), Some(file)) = (&mut target.tls, &self.ca_file) {
            tls.root = Some(file.clone());
        }
        Ok(target)
    }

    /// How kombu names its keys, with Airflow's settings where no option says otherwise.
    pub fn keys(&self, airflow: &Airflow) -> Keys {
        let known = &airflow.keys;
        Keys {
            steps: match self.priority_steps.is_empty() {
                true => known.steps.clone(),
                false => self.priority_steps.clone(),
            },
            separator: self
                .separator
                .clone()
                .unwrap_or_else(|| known.separator.clone()),
            prefix: self
                .key_prefix
                .clone()
                .unwrap_or_else(|| known.prefix.clone()),
        }
    }
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value, for whoever connects with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret(text.to_owned()))
}

fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        interval if (Duration::from_secs(1)..=Duration::from_secs(20)).contains(&interval) => {
            Ok(interval)
        }
        // Beyond 30 s without a sample all heartbeats are distrusted.
        _ => Err("it takes 1s to 20s".to_owned()),
    }
}

fn queue(text: &str) -> Result<String, String> {
    match text.is_empty() {
        true => Err("a queue has a name".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn worker(text: &str) -> Result<String, String> {
    match text.split_once('@') {
        Some((name, host)) if !name.is_empty() && !host.is_empty() => Ok(text.to_owned()),
        _ => Err("a worker is NAME@HOST, such as celery@ip-10-0-0-1".to_owned()),
    }
}

fn revision(text: &str) -> Result<String, String> {
    match text.strip_prefix("ssm://") {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err("it takes ssm:// and a parameter's name".to_owned()),
    }
}

#[cfg(test)]
mod tests;
