//! What is published at once: one request, one line for each set of dimensions, or one scrape.

use std::time::SystemTime;

use super::{LOGS_DROPPED, Metric, Unit};

/// What a metric is about: exactly two dimensions, Environment and one other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimensions {
    environment: String,
    second: (&'static str, String),
}

/// What is published at once, as of one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    pub(super) at: SystemTime,
    pub(super) groups: Vec<(Dimensions, Vec<Metric>)>,
    pub(super) live: Option<&'static str>,
}

impl Publication {
    /// Nothing yet, as of now.
    pub fn new() -> Self {
        Self {
            at: SystemTime::now(),
            groups: Vec::new(),
            live: None,
        }
    }

    /// What alarms of less than a minute act on: CloudWatch keeps it by the second
    /// (`StorageResolution` 1). A put that waits is dated when it goes out, because such an alarm looks
    /// at its last period alone, and `age`, which every group has then, tells the seconds since now.
    pub fn live(mut self, age: &'static str) -> Self {
        self.live = Some(age);
        self
    }

    /// Adds what is about `dimensions`. Values that are not finite are left out.
    pub fn about(mut self, dimensions: Dimensions, metrics: &[Metric]) -> Self {
        let finite = |metric: &&Metric| metric.value.is_finite();
        let metrics = metrics.iter().filter(finite).copied().collect();
        self.groups.push((dimensions, metrics));
        self
    }

    /// Adds `LogsDropped` to what was added first, which is about the service.
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 lost lines are not told from one more"
    )]
    pub(super) fn with_logs_dropped(mut self, lines: u64) -> Self {
        if let Some((_, metrics)) = self.groups.first_mut() {
            metrics.push(Metric {
                name: LOGS_DROPPED,
                unit: Unit::Count,
                value: lines as f64,
            });
        }
        self
    }

    /// As it goes out now: what is live is dated now, and tells its age in every group of a service.
    pub(super) fn sent(mut self, now: SystemTime) -> Self {
        let Some(name) = self.live else {
            return self;
        };
        // A clock that was set back makes nothing younger than new.
        let age = now.duration_since(self.at).unwrap_or_default();
        let metric = Metric {
            name,
            unit: Unit::Seconds,
            value: age.as_secs_f64(),
        };
        for (dimensions, metrics) in &mut self.groups {
            if dimensions.is_service() {
                metrics.push(metric);
            }
        }
        self.at = now;
        self
    }
}

impl Default for Publication {
    fn default() -> Self {
        Self::new()
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

    fn is_service(&self) -> bool {
        self.second.0 == "Service"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_waited_tells_its_age_and_is_dated_when_it_goes() {
        let mut publication = Publication::new()
            .live("SampleAge")
            .about(Dimensions::service("prod", "workers"), &[])
            .about(Dimensions::queue("prod", "default"), &[]);
        publication.at = SystemTime::UNIX_EPOCH;
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(42);
        let sent = publication.clone().sent(later);
        assert_eq!(sent.at, later);
        let ages: Vec<Vec<f64>> = sent
            .groups
            .iter()
            .map(|(_, metrics)| metrics.iter().map(|metric| metric.value).collect())
            .collect();
        assert_eq!(ages, [vec![42.0], vec![]]);
        publication.live = None;
        assert_eq!(publication.clone().sent(later), publication);
    }
}
