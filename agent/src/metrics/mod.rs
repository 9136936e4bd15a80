//! Metrics: what an agent publishes, and the sinks it may go to.
//!
//! A publication never blocks the agent. Every one has exactly the dimensions Environment and Service
//! (or Environment and Queue), since alarms name the exact set, and `LogsDropped` with it.

mod cloudwatch;
mod delivery;
mod emf;
#[cfg(feature = "prometheus")]
mod prometheus;
mod publication;
mod settings;

use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use tokio::sync::watch;

use self::cloudwatch::CloudWatch;
pub use self::delivery::Delivery;
use self::emf::Emf;
#[cfg(feature = "prometheus")]
use self::prometheus::Prometheus;
pub use self::publication::{Dimensions, Publication};
pub(crate) use self::settings::OWN_NAME;
pub use self::settings::{MetricsSettings, Sink};
use crate::status::Status;

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

/// Where this agent's metrics go. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics {
    environment: String,
    service: String,
    sink: Started,
}

#[derive(Clone, Debug)]
enum Started {
    None,
    Emf(Emf),
    CloudWatch(CloudWatch),
    #[cfg(feature = "prometheus")]
    Prometheus(Prometheus),
}

impl Metrics {
    /// Starts the sink of `settings`. `cloudwatch` takes `sdk` and a tokio runtime that lives on, and
    /// `prometheus` such a runtime.
    ///
    /// # Errors
    /// One line (exit 64): the sink cannot be used here.
    pub fn start(settings: &MetricsSettings, sdk: Option<&SdkConfig>) -> Result<Self, String> {
        Self::start_beside(settings, sdk, None)
    }

    /// As [`Metrics::start`]; `prometheus` serves at `/healthz` what `status` says.
    ///
    /// # Errors
    /// One line (exit 64): the sink cannot be used here.
    pub fn start_beside(
        settings: &MetricsSettings,
        sdk: Option<&SdkConfig>,
        status: Option<&Status>,
    ) -> Result<Self, String> {
        let sink = match settings.metrics {
            Sink::None => Started::None,
            Sink::Emf => Started::Emf(Emf::start(&settings.namespace)?),
            Sink::Cloudwatch => {
                let sdk =
                    sdk.ok_or("--metrics cloudwatch needs AWS, which this command does not use")?;
                Started::CloudWatch(CloudWatch::start(sdk, &settings.namespace)?)
            }
            #[cfg(feature = "prometheus")]
            Sink::Prometheus => Started::Prometheus(Prometheus::start(settings, status)?),
            #[cfg(not(feature = "prometheus"))]
            Sink::Prometheus => {
                let _ = status;
                return Err(
                    "--metrics prometheus is not served by this program: use emf or cloudwatch"
                        .to_owned(),
                );
            }
        };
        Ok(Self {
            environment: settings.environment.clone(),
            service: settings.service.clone(),
            sink,
        })
    }

    /// Metrics that go nowhere.
    pub fn none() -> Self {
        Self {
            environment: "default".to_owned(),
            service: "none".to_owned(),
            sink: Started::None,
        }
    }

    /// The dimensions of what is about a service, `--service` by itself.
    pub fn service(&self, name: Option<&str>) -> Dimensions {
        Dimensions::service(&self.environment, name.unwrap_or(&self.service))
    }

    /// The dimensions of what is about a queue.
    pub fn queue(&self, name: &str) -> Dimensions {
        Dimensions::queue(&self.environment, name)
    }

    /// Publishes what is about the service. Returns at once.
    pub fn publish(&self, metrics: &[Metric]) {
        self.send(Publication::new().about(self.service(None), metrics));
    }

    /// Publishes all of it together. Returns at once. Where an earlier one has not gone out yet, the
    /// newer takes its place.
    pub fn send(&self, publication: Publication) {
        match &self.sink {
            Started::None => {}
            Started::Emf(emf) => emf.publish(publication),
            Started::CloudWatch(cloudwatch) => cloudwatch.publish(publication),
            #[cfg(feature = "prometheus")]
            Started::Prometheus(prometheus) => prometheus.publish(publication),
        }
    }

    /// Takes back what has not gone out, or is still served: nobody knows any more whether it is true.
    pub fn withdraw(&self) {
        match &self.sink {
            Started::None | Started::Emf(_) => {}
            Started::CloudWatch(cloudwatch) => cloudwatch.withdraw(),
            #[cfg(feature = "prometheus")]
            Started::Prometheus(prometheus) => prometheus.withdraw(),
        }
    }

    /// How delivering stands, as it changes.
    pub fn deliveries(&self) -> watch::Receiver<Delivery> {
        match &self.sink {
            Started::CloudWatch(cloudwatch) => cloudwatch.deliveries(),
            _ => {
                let delivery = Delivery {
                    accepted: Some(Instant::now()),
                    ..Delivery::default()
                };
                watch::channel(delivery).1
            }
        }
    }

    /// Waits until what was published has gone out, at most `limit`.
    pub async fn flush(&self, limit: Duration) {
        match &self.sink {
            Started::None => {}
            Started::Emf(emf) => emf.flush(limit).await,
            Started::CloudWatch(cloudwatch) => cloudwatch.flush(limit).await,
            #[cfg(feature = "prometheus")]
            Started::Prometheus(_) => {}
        }
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
