//! CloudWatch's API: one `PutMetricData` a publication, from a task of its own.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::{DisplayErrorContext, SdkError};
use aws_sdk_cloudwatch::operation::put_metric_data::PutMetricDataError;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time;

use super::{Delivery, Dimensions, Metric, Publication, Unit};
use crate::backoff::backoff;
use crate::lines;

/// The first wait after a put that failed, retries included, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest where somebody scales on it.
const LONGEST_LIVE_WAIT: Duration = Duration::from_secs(5);

/// The most metrics that one request may hold.
const REQUEST_LIMIT: usize = 1000;

#[derive(Clone, Debug)]
pub(super) struct CloudWatch {
    newest: watch::Sender<Numbered>,
    delivery: watch::Receiver<Delivery>,
    hurry: Arc<Notify>,
}

/// The newest publication and its number. One that a newer replaces while a put is under way or fails
/// is not sent: what it measured is in the newer.
#[derive(Clone, Debug, Default)]
struct Numbered {
    number: u64,
    publication: Option<Arc<Publication>>,
}

impl CloudWatch {
    pub(super) fn start(sdk: &SdkConfig, namespace: &str) -> Result<Self, String> {
        let runtime = Handle::try_current()
            .map_err(|_| "--metrics cloudwatch needs a tokio runtime".to_owned())?;
        let (newest, wanted) = watch::channel(Numbered::default());
        let (told, delivery) = watch::channel(Delivery::default());
        let hurry = Arc::new(Notify::new());
        let sender = Sender {
            client: Client::new(sdk),
            namespace: namespace.to_owned(),
            told_lost: 0,
            failure: None,
        };
        runtime.spawn(sender.keep_putting(wanted, told, Arc::clone(&hurry)));
        Ok(Self {
            newest,
            delivery,
            hurry,
        })
    }

    pub(super) fn publish(&self, publication: Publication) {
        self.newest.send_modify(|newest| {
            newest.number += 1;
            newest.publication = Some(Arc::new(publication));
        });
    }

    /// What is under way still goes out.
    pub(super) fn withdraw(&self) {
        self.newest.send_modify(|newest| newest.publication = None);
    }

    pub(super) fn deliveries(&self) -> watch::Receiver<Delivery> {
        self.delivery.clone()
    }

    pub(super) async fn flush(&self, limit: Duration) {
        let newest = self.newest.borrow().clone();
        if newest.publication.is_none() {
            return;
        }
        let mut delivery = self.delivery.clone();
        self.hurry.notify_one();
        // Past the limit what is left is lost, and the log says why it did not go out.
        let arrived = delivery.wait_for(|delivery| delivery.number >= newest.number);
        let _ = time::timeout(limit, arrived).await;
    }
}

struct Sender {
    client: Client,
    namespace: String,
    /// Lost lines of log that CloudWatch was told of.
    told_lost: u64,
    /// What kind of failure puts meet at the moment.
    failure: Option<String>,
}

impl Sender {
    async fn keep_putting(
        mut self,
        mut wanted: watch::Receiver<Numbered>,
        told: watch::Sender<Delivery>,
        hurry: Arc<Notify>,
    ) {
        let seed = u64::from(std::process::id());
        let mut wait = backoff(FIRST_WAIT, LONGEST_WAIT, seed);
        // Ends with the last handle on these metrics.
        while wanted.changed().await.is_ok() {
            loop {
                let Numbered {
                    number,
                    publication,
                } = wanted.borrow_and_update().clone();
                let Some(publication) = publication else {
                    break;
                };
                match self.put(&publication).await {
                    Ok(()) => {
                        wait = backoff(FIRST_WAIT, LONGEST_WAIT, seed);
                        told.send_replace(Delivery {
                            number,
                            accepted: Some(Instant::now()),
                            failing: None,
                        });
                        break;
                    }
                    Err(kind) => told.send_modify(|delivery| delivery.failing = Some(kind)),
                }
                let longest = match publication.live {
                    Some(_) => LONGEST_LIVE_WAIT,
                    None => LONGEST_WAIT,
                };
                let pause = pin!(time::sleep(wait.next().unwrap_or(longest).min(longest)));
                tokio::select! {
                    () = pause => {}
                    () = hurry.notified() => {}
                }
            }
        }
    }

    /// One request, but for more metrics than one takes.
    async fn put_all(&self, publication: &Publication) -> Result<(), SdkError<PutMetricDataError>> {
        let mut left = data(publication);
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(REQUEST_LIMIT));
            let put = self.client.put_metric_data().namespace(&self.namespace);
            put.set_metric_data(Some(left)).send().await?;
            left = rest;
        }
        Ok(())
    }

    /// Puts, and says in a few words what went wrong.
    async fn put(&mut self, publication: &Publication) -> Result<(), Arc<str>> {
        let lost = lines::dropped();
        let publication = publication
            .clone()
            .with_logs_dropped(lost.saturating_sub(self.told_lost))
            .sent(SystemTime::now());
        match self.put_all(&publication).await {
            Ok(()) => {
                self.told_lost = lost;
                if self.failure.take().is_some() {
                    tracing::info!(event = "metrics_published", "metrics are published again");
                }
                Ok(())
            }
            Err(error) => {
                let kind = kind(&error);
                if self.failure.as_ref() != Some(&kind) {
                    let reason = DisplayErrorContext(&error).to_string();
                    tracing::warn!(
                        event = "metrics_unpublished",
                        kind,
                        reason,
                        "metrics are not published"
                    );
                    self.failure = Some(kind.clone());
                }
                Err(kind.into())
            }
        }
    }
}

fn kind(error: &SdkError<PutMetricDataError>) -> String {
    let code = aws_sdk_cloudwatch::error::ProvideErrorMetadata::code(error);
    // Without a code it never got an answer; the texts of such errors hold ports and times.
    code.unwrap_or("no answer").to_owned()
}

fn data(publication: &Publication) -> Vec<MetricDatum> {
    let at = DateTime::from(publication.at);
    let resolution = publication.live.map(|_| 1);
    let groups = publication.groups.iter();
    groups
        .flat_map(|(dimensions, metrics)| {
            metrics
                .iter()
                .map(move |metric| datum(at, resolution, dimensions, metric))
        })
        .collect()
}

fn datum(
    at: DateTime,
    resolution: Option<i32>,
    dimensions: &Dimensions,
    metric: &Metric,
) -> MetricDatum {
    let mut datum = MetricDatum::builder()
        .set_storage_resolution(resolution)
        .metric_name(metric.name)
        .timestamp(at)
        .unit(unit(metric.unit))
        .value(metric.value);
    for (name, value) in dimensions.pairs() {
        datum = datum.dimensions(Dimension::builder().name(name).value(value).build());
    }
    datum.build()
}

fn unit(unit: Unit) -> StandardUnit {
    match unit {
        Unit::Seconds => StandardUnit::Seconds,
        Unit::Milliseconds => StandardUnit::Milliseconds,
        Unit::Count => StandardUnit::Count,
        Unit::Bytes => StandardUnit::Bytes,
        Unit::Percent => StandardUnit::Percent,
        Unit::None => StandardUnit::None,
    }
}
