//! A scenario: what comes, what breaks, and what the service is like. TOML.

use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// The scenarios that the program carries, by name.
pub const SHIPPED: [(&str, &str); 7] = [
    ("steady", include_str!("../../scenarios/steady.toml")),
    (
        "morning-burst",
        include_str!("../../scenarios/morning-burst.toml"),
    ),
    ("long-tail", include_str!("../../scenarios/long-tail.toml")),
    ("flapping", include_str!("../../scenarios/flapping.toml")),
    (
        "spot-storm",
        include_str!("../../scenarios/spot-storm.toml"),
    ),
    (
        "redis-outage",
        include_str!("../../scenarios/redis-outage.toml"),
    ),
    (
        "deployment-at-noon",
        include_str!("../../scenarios/deployment-at-noon.toml"),
    ),
];

/// What is replayed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One line for the head of the table.
    pub title: String,
    /// Where randomness begins.
    pub seed: u64,
    /// How long tasks come. What is left is worked off after it.
    #[serde(deserialize_with = "duration")]
    pub length: Duration,
    /// The service.
    #[serde(default)]
    pub service: Service,
    /// Tasks that come at random, evenly.
    #[serde(default)]
    pub load: Vec<Load>,
    /// Tasks that come together.
    #[serde(default)]
    pub burst: Vec<Burst>,
    /// Times without Redis.
    #[serde(default)]
    pub outage: Vec<Outage>,
    /// New revisions.
    #[serde(default)]
    pub deployment: Vec<Deployment>,
    /// Reclaims of Fargate Spot.
    #[serde(default)]
    pub spot: Vec<Spot>,
}

/// What the service is like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// Tasks that a worker runs.
    pub concurrency: u32,
    /// The target's least.
    pub min: u32,
    /// The target's most.
    pub max: u32,
    /// How long the target holds.
    #[serde(deserialize_with = "duration")]
    pub hold: Duration,
    /// Between samples.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    /// From a desired count to a worker that is up, seconds, from and to: measured 53 to 62.
    pub start: (u32, u32),
    /// What a worker beside `protect` consumes when it comes up.
    pub start_on: StartOn,
    /// From the stop signal to the kill: at most 120 s on Fargate.
    #[serde(deserialize_with = "duration")]
    pub stop_timeout: Duration,
    /// Dollars for an hour of a worker: 2 vCPU and 8 GB in us-east-1.
    pub worker_hour: f64,
}

/// What a worker beside `protect` consumes when it comes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartOn {
    /// A queue that nobody fills, as documented: `protect` adds the others once it is protected.
    Hold,
    /// The queues that it is to serve: it takes tasks until a cancel reaches it, protected or not.
    Queues,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            concurrency: 16,
            min: 0,
            max: 10,
            hold: Duration::from_secs(300),
            interval: Duration::from_secs(5),
            start: (53, 62),
            start_on: StartOn::Hold,
            stop_timeout: Duration::from_secs(120),
            worker_hour: 0.117,
        }
    }
}

/// Tasks that come at random, evenly.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// From when.
    #[serde(default, deserialize_with = "duration")]
    pub from: Duration,
    /// Until when; the end without it.
    #[serde(default, deserialize_with = "optional")]
    pub until: Option<Duration>,
    /// How many an hour on average.
    pub per_hour: f64,
    /// How long each runs.
    pub runs: Runs,
}

/// Tasks that come together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// When.
    #[serde(deserialize_with = "duration")]
    pub at: Duration,
    /// How many.
    pub tasks: u32,
    /// Spread over this time.
    #[serde(default, deserialize_with = "duration")]
    pub over: Duration,
    /// Again and again; once without it.
    #[serde(default, deserialize_with = "optional")]
    pub every: Option<Duration>,
    /// How long each runs.
    pub runs: Runs,
}

/// How long tasks run: lognormal, which task durations resemble.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    /// Half of them are shorter.
    #[serde(deserialize_with = "duration")]
    pub median: Duration,
    /// One in twenty is longer.
    #[serde(deserialize_with = "duration")]
    pub p95: Duration,
}

/// A time without Redis.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// When it begins.
    #[serde(deserialize_with = "duration")]
    pub at: Duration,
    /// How long it lasts.
    #[serde(deserialize_with = "duration")]
    pub lasts: Duration,
}

/// A new revision.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// When.
    #[serde(deserialize_with = "duration")]
    pub at: Duration,
}

/// Reclaims of Fargate Spot: a signal, and the end after the stop timeout.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spot {
    /// From when.
    #[serde(deserialize_with = "duration")]
    pub from: Duration,
    /// Until when.
    #[serde(deserialize_with = "duration")]
    pub until: Duration,
    /// How often each worker is reclaimed, an hour.
    pub per_worker_hour: f64,
}

impl Scenario {
    /// A shipped scenario by its name.
    pub fn shipped(name: &str) -> Option<&'static str> {
        let found = SHIPPED.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| *text)
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// One line that says where it is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].lines().count().max(1));
            format!("line {line}: {}", error.message().replace('\n', ", "))
        })?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Whether it makes sense; asked again after a change.
    ///
    /// # Errors
    /// Says what it takes.
    pub fn check(&self) -> Result<(), String> {
        let Service {
            concurrency,
            min,
            max,
            start,
            ..
        } = self.service;
        let week = Duration::from_secs(7 * 86_400);
        let runs = self.load.iter().map(|load| load.runs);
        let mut runs = runs.chain(self.burst.iter().map(|burst| burst.runs));
        let wrong = [
            (
                self.length.is_zero() || self.length > week,
                "length is from 1s to 168h",
            ),
            (concurrency == 0, "service.concurrency is at least 1"),
            (
                min > max || max == 0 || max > 200,
                "service.max is from service.min, at least 1, to 200",
            ),
            (
                start.0 > start.1,
                "service.start is two seconds, the smaller one first",
            ),
            (
                self.service.interval < Duration::from_secs(1),
                "service.interval is at least 1s",
            ),
            (
                runs.any(|runs| runs.median.is_zero() || runs.p95 < runs.median),
                "runs.median is above 0s, and runs.p95 not below it",
            ),
            (
                self.burst
                    .iter()
                    .any(|burst| burst.every.is_some_and(|every| every.is_zero())),
                "burst.every is above 0s",
            ),
            (
                self.load
                    .iter()
                    .any(|load| !(0.0..=1e6).contains(&load.per_hour)),
                "load.per_hour is from 0 to 1000000",
            ),
        ];
        match wrong.iter().find(|(wrong, _)| *wrong) {
            Some((_, why)) => Err((*why).to_owned()),
            None => Ok(()),
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    agent::settings::duration(&text).map_err(serde::de::Error::custom)
}

fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_scenario_is_valid() {
        for (name, text) in SHIPPED {
            if let Err(why) = Scenario::parse(text) {
                panic!("{name}: {why}");
            }
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let text = "title = \"t\"\nseed = 1\nlength = \"soon\"\n";
        let why = Scenario::parse(text).expect_err("refused");
        assert!(why.starts_with("line 3: a duration is"), "{why}");
        let why = Scenario::parse("title = \"t\"\nseed = 1\nlength = \"1h\"\nbusrt = 1\n");
        assert!(why.expect_err("refused").contains("busrt"));
        let none = "title = \"t\"\nseed = 1\nlength = \"1h\"\nservice = { max = 0 }\n";
        assert!(
            Scenario::parse(none)
                .expect_err("refused")
                .contains("service.max")
        );
    }
}
