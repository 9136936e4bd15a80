//! CloudWatch's embedded metric format: JSON lines on stdout, of which the awslogs driver's log group
//! makes metrics, without a call to the `monitoring` endpoint.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{Dimensions, Metric, Publication};
use crate::lines::{self, Lines};

/// The most metrics that one line may declare.
const LINE_LIMIT: usize = 100;

#[derive(Clone, Debug)]
pub(super) struct Emf {
    namespace: Arc<str>,
    lines: Lines,
    /// Lost lines that were published.
    told: Arc<AtomicU64>,
}

impl Emf {
    pub(super) fn start(namespace: &str) -> Result<Self, String> {
        let lines = Lines::to("emf", io::stdout())
            .map_err(|error| format!("stdout cannot be written: {error}"))?;
        Ok(Self {
            namespace: namespace.into(),
            lines,
            told: Arc::default(),
        })
    }

    pub(super) fn publish(&self, publication: Publication) {
        let lost = lines::dropped();
        let told = self.told.load(Ordering::Relaxed);
        let publication = publication
            .with_logs_dropped(lost.saturating_sub(told))
            .sent(SystemTime::now());
        let mut all_sent = true;
        for line in rendered(&self.namespace, &publication) {
            all_sent &= self.lines.send(line);
        }
        if all_sent {
            self.told.store(lost, Ordering::Relaxed);
        }
    }

    pub(super) async fn flush(&self, limit: Duration) {
        let lines = self.lines.clone();
        // A thread of the pool would hold up the runtime's end.
        let (done, written) = tokio::sync::oneshot::channel();
        let waiting = std::thread::Builder::new().spawn(move || done.send(lines.flush(limit)));
        if waiting.is_ok() {
            let _ = written.await;
        }
    }
}

/// The lines of a publication, each with its line feed.
fn rendered(namespace: &str, publication: &Publication) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for (dimensions, metrics) in &publication.groups {
        for metrics in metrics.chunks(LINE_LIMIT) {
            let line = line(namespace, publication, dimensions, metrics);
            lines.push(format!("{line}\n").into_bytes());
        }
    }
    lines
}

fn line(
    namespace: &str,
    publication: &Publication,
    dimensions: &Dimensions,
    metrics: &[Metric],
) -> Value {
    let milliseconds = publication
        .at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let declared = metrics.iter().map(|metric| {
        let mut declared = json!({"Name": metric.name, "Unit": metric.unit.name()});
        if publication.live.is_some() {
            declared["StorageResolution"] = json!(1);
        }
        declared
    });
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": u64::try_from(milliseconds).unwrap_or(u64::MAX),
            "CloudWatchMetrics": [{
                "Namespace": namespace,
                "Dimensions": [dimensions.pairs().map(|(name, _)| name)],
                "Metrics": declared.collect::<Vec<_>>(),
            }],
        }),
    );
    for (name, value) in dimensions.pairs() {
        line.insert(name.to_owned(), json!(value));
    }
    for metric in metrics {
        line.insert(metric.name.to_owned(), json!(metric.value));
    }
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use super::super::{LOGS_DROPPED, Unit};
    use super::*;

    fn metric(name: &'static str, value: f64) -> Metric {
        Metric {
            name,
            unit: Unit::Seconds,
            value,
        }
    }

    fn publication(metrics: Vec<Metric>) -> Publication {
        let service = Dimensions::service("prod", "s3sync");
        let at = UNIX_EPOCH + Duration::from_millis(1_750_000_000_123);
        Publication {
            at,
            groups: vec![(service, metrics)],
            live: None,
        }
    }

    #[test]
    fn a_publication_is_one_line_of_the_specification() {
        let lines = rendered(
            "Trimtab",
            &publication(vec![metric("SyncLag", 1.5)]).with_logs_dropped(3),
        );
        assert_eq!(lines.len(), 1);
        let text = std::str::from_utf8(&lines[0]).unwrap();
        assert_eq!(text.find('\n'), Some(text.len() - 1));
        let expected = json!({
            "_aws": {
                "Timestamp": 1_750_000_000_123_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "Trimtab",
                    "Dimensions": [["Environment", "Service"]],
                    "Metrics": [{"Name": "SyncLag", "Unit": "Seconds"}, {"Name": LOGS_DROPPED, "Unit": "Count"}],
                }],
            },
            "Environment": "prod",
            "Service": "s3sync",
            "SyncLag": 1.5,
            "LogsDropped": 3.0,
        });
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), expected);
    }

    #[test]
    fn each_queue_has_a_line_and_dimensions_of_its_own() {
        let mut publication = publication(vec![]);
        for queue in ["default", "high"] {
            publication.groups.push((
                Dimensions::queue("prod", queue),
                vec![metric("QueueReady", 2.0)],
            ));
        }
        let lines = rendered("Trimtab", &publication.with_logs_dropped(0));
        let lines: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 3);
        for (line, queue) in lines[1..].iter().zip(["default", "high"]) {
            let declared = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(declared["Dimensions"], json!([["Environment", "Queue"]]));
            assert_eq!(
                (&line["Queue"], &line["Service"]),
                (&json!(queue), &Value::Null)
            );
            assert_eq!(line["LogsDropped"], Value::Null);
        }
    }

    #[test]
    fn what_is_live_is_declared_by_the_second() {
        let mut publication = publication(vec![metric("WorkersTarget", 1.0)]);
        publication.live = Some("SampleAge");
        let sent = publication.at + Duration::from_secs(2);
        let lines = rendered("Trimtab", &publication.sent(sent));
        let line: Value = serde_json::from_slice(&lines[0]).unwrap();
        let declared = &line["_aws"]["CloudWatchMetrics"][0]["Metrics"];
        assert_eq!(
            declared[0],
            json!({"Name": "WorkersTarget", "Unit": "Seconds", "StorageResolution": 1})
        );
        assert_eq!(line["SampleAge"], json!(2.0));
        assert_eq!(line["_aws"]["Timestamp"], json!(1_750_000_002_123_u64));
    }

    #[test]
    fn no_line_declares_more_than_a_hundred_metrics() {
        let lines = rendered("Trimtab", &publication(vec![metric("SyncLag", 1.0); 250]));
        let declared = lines.iter().map(|line| {
            let line: Value = serde_json::from_slice(line).unwrap();
            line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
                .as_array()
                .unwrap()
                .len()
        });
        assert_eq!(declared.collect::<Vec<_>>(), [100, 100, 50]);
    }
}
