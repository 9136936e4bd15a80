//! CloudWatch's API: one `PutMetricData` a publication, from a task of its own.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::DisplayErrorContext;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time;

use super::{Dimensions, Metric, Publication, Unit};
use crate::backoff::backoff;
use crate::lines;

/// The first wait after a put that failed, retries included, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(super) struct CloudWatch {
    newest: watch::Sender<Numbered>,
    /// The number of the publication that went out last.
    done: watch::Receiver<u64>,
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
        let (told, done) = watch::channel(0);
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
            done,
            hurry,
        })
    }

    pub(super) fn publish(&self, publication: Publication) {
        self.newest.send_modify(|newest| {
            newest.number += 1;
            newest.publication = Some(Arc::new(publication));
        });
    }

    pub(super) async fn flush(&self, limit: Duration) {
        let number = self.newest.borrow().number;
        let mut done = self.done.clone();
        self.hurry.notify_one();
        // Past the limit what is left is lost, and the log says why it did not go out.
        let _ = time::timeout(limit, done.wait_for(|done| *done >= number)).await;
    }
}

struct Sender {
    client: Client,
    namespace: String,
    /// Lost lines of log that CloudWatch was told of.
    told_lost: u64,
    /// Why puts fail at the moment.
    failure: Option<String>,
}

impl Sender {
    async fn keep_putting(
        mut self,
        mut wanted: watch::Receiver<Numbered>,
        told: watch::Sender<u64>,
        hurry: Arc<Notify>,
    ) {
        let waits = || backoff(FIRST_WAIT, LONGEST_WAIT, u64::from(std::process::id()));
        let mut wait = waits();
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
                if self.put(&publication).await {
                    wait = waits();
                    told.send_replace(number);
                    break;
                }
                let pause = pin!(time::sleep(wait.next().unwrap_or(LONGEST_WAIT)));
                tokio::select! {
                    () = pause => {}
                    () = hurry.notified() => {}
                }
            }
        }
    }

    async fn put(&mut self, publication: &Publication) -> bool {
        let lost = lines::dropped();
        let publication = publication
            .clone()
            .with_logs_dropped(lost.saturating_sub(self.told_lost));
        let put = self.client.put_metric_data().namespace(&self.namespace);
        match put.set_metric_data(Some(data(&publication))).send().await {
            Ok(_) => {
                self.told_lost = lost;
                if self.failure.take().is_some() {
                    tracing::info!(event = "metrics_published", "metrics are published again");
                }
                true
            }
            Err(error) => {
                let code = aws_sdk_cloudwatch::error::ProvideErrorMetadata::code(&error);
                // Without a code it never got an answer; the texts of such errors hold ports and times.
                let kind = code.unwrap_or("no answer").to_owned();
                if self.failure.as_ref() != Some(&kind) {
                    let reason = DisplayErrorContext(&error).to_string();
                    tracing::warn!(
                        event = "metrics_unpublished",
                        kind,
                        reason,
                        "metrics are not published"
                    );
                    self.failure = Some(kind);
                }
                false
            }
        }
    }
}

fn data(publication: &Publication) -> Vec<MetricDatum> {
    let at = DateTime::from(publication.at);
    let groups = publication.groups.iter();
    groups
        .flat_map(|(dimensions, metrics)| {
            metrics
                .iter()
                .map(move |metric| datum(at, dimensions, metric))
        })
        .collect()
}

fn datum(at: DateTime, dimensions: &Dimensions, metric: &Metric) -> MetricDatum {
    let mut datum = MetricDatum::builder()
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
