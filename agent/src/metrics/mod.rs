//! Metrics: what an agent publishes, and the sinks it may go to.
//!
//! A publication never blocks the agent. Every one has exactly the dimensions Environment and Service
//! (or Environment and Queue), since alarms name the exact set, and `LogsDropped` with it.

mod cloudwatch;
mod emf;
mod settings;

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;

use self::cloudwatch::CloudWatch;
use self::emf::Emf;
pub(crate) use self::settings::OWN_NAME;
pub use self::settings::{MetricsSettings, Sink};

/// The metric that each publication has: lines of log and of EMF that were lost since the last one.
pub const LOGS_DROPPED: &str = "LogsDropped";

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name, `SyncLag`.
    pub name: &'static str,
    /// What the value counts.
    pub unit: Unit,
    /// The value; one that is not finite is left out.
    pub value: f64,
}

/// What a value counts, in CloudWatch's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Time.
    Seconds,
    /// Time.
    Milliseconds,
    /// A number of things.
    Count,
    /// Data.
    Bytes,
    /// A share of a hundred.
    Percent,
    /// A number by itself.
    None,
}

/// What a metric is about: exactly two dimensions, Environment and one other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimensions {
    environment: String,
    second: (&'static str, String),
}

/// Where this agent's metrics go. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics {
    dimensions: Dimensions,
    sink: Started,
}

#[derive(Clone, Debug)]
enum Started {
    None,
    Emf(Emf),
    CloudWatch(CloudWatch),
}

/// What is published at once: one request, or one line for each set of dimensions.
#[derive(Clone, Debug, PartialEq)]
struct Publication {
    at: SystemTime,
    groups: Vec<(Dimensions, Vec<Metric>)>,
}

impl Metrics {
    /// Starts the sink of `settings`. `cloudwatch` takes `sdk` and a tokio runtime that lives on.
    ///
    /// # Errors
    /// One line (exit 64): the sink cannot be used here.
    pub fn start(settings: &MetricsSettings, sdk: Option<&SdkConfig>) -> Result<Self, String> {
        let sink = match settings.metrics {
            Sink::None => Started::None,
            Sink::Emf => Started::Emf(Emf::start(&settings.namespace)?),
            Sink::Cloudwatch => {
                let sdk =
                    sdk.ok_or("--metrics cloudwatch needs AWS, which this command does not use")?;
                Started::CloudWatch(CloudWatch::start(sdk, &settings.namespace)?)
            }
            Sink::Prometheus => {
                return Err(
                    "--metrics prometheus is not served by this program yet: use emf or cloudwatch"
                        .to_owned(),
                );
            }
        };
        let dimensions = Dimensions::service(&settings.environment, &settings.service);
        Ok(Self { dimensions, sink })
    }

    /// Metrics that go nowhere.
    pub fn none() -> Self {
        Self {
            dimensions: Dimensions::service("default", "none"),
            sink: Started::None,
        }
    }

    /// Publishes what is about the service. Returns at once.
    pub fn publish(&self, metrics: &[Metric]) {
        self.publish_with_queues(metrics, &[]);
    }

    /// Publishes what is about the service and what is about each queue, together. Returns at once.
    pub fn publish_with_queues(&self, metrics: &[Metric], queues: &[(&str, &[Metric])]) {
        let service = (self.dimensions.clone(), metrics);
        let queues = queues.iter().map(|(queue, metrics)| {
            (
                Dimensions::queue(&self.dimensions.environment, queue),
                *metrics,
            )
        });
        let groups = std::iter::once(service).chain(queues);
        let finite = |metrics: &[Metric]| {
            metrics
                .iter()
                .filter(|metric| metric.value.is_finite())
                .copied()
                .collect()
        };
        let groups = groups
            .map(|(dimensions, metrics)| (dimensions, finite(metrics)))
            .collect();
        let publication = Publication {
            at: SystemTime::now(),
            groups,
        };
        match &self.sink {
            Started::None => {}
            Started::Emf(emf) => emf.publish(publication),
            Started::CloudWatch(cloudwatch) => cloudwatch.publish(publication),
        }
    }

    /// Waits until what was published has gone out, at most `limit`.
    pub async fn flush(&self, limit: Duration) {
        match &self.sink {
            Started::None => {}
            Started::Emf(emf) => emf.flush(limit).await,
            Started::CloudWatch(cloudwatch) => cloudwatch.flush(limit).await,
        }
    }
}

impl Dimensions {
    /// {Environment, Service}.
    pub fn service(environment: &str, service: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            second: ("Service", service.to_owned()),
        }
    }

    /// {Environment, Queue}.
    pub fn queue(environment: &str, queue: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            second: ("Queue", queue.to_owned()),
        }
    }

    /// Name and value of both.
    pub fn pairs(&self) -> [(&'static str, &str); 2] {
        [
            ("Environment", &self.environment),
            (self.second.0, &self.second.1),
        ]
    }
}

impl Unit {
    /// CloudWatch's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "Seconds",
            Self::Milliseconds => "Milliseconds",
            Self::Count => "Count",
            Self::Bytes => "Bytes",
            Self::Percent => "Percent",
            Self::None => "None",
        }
    }
}

impl Publication {
    /// Adds `LogsDropped` to what is about the service.
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 lost lines are not told from one more"
    )]
    fn with_logs_dropped(mut self, lines: u64) -> Self {
        if let Some((_, metrics)) = self.groups.first_mut() {
            metrics.push(Metric {
                name: LOGS_DROPPED,
                unit: Unit::Count,
                value: lines as f64,
            });
        }
        self
    }
}
