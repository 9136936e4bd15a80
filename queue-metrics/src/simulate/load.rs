//! The tasks of a scenario.

use super::scenario::{Burst, Load, Runs, Scenario};
use fastrand::Rng;
use std::time::Duration;

/// A task: when it is queued and how long it runs, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// Seconds after the start.
    pub at: u32,
    /// Seconds, at least one.
    pub runs: u32,
}

/// The 95th percentile of the normal distribution.
const Z95: f64 = 1.644_853_6;

/// All tasks, in the order in which they come.
pub fn arrivals(scenario: &Scenario) -> Vec<Arrival> {
    let mut rng = Rng::with_seed(scenario.seed);
    let mut all = Vec::new();
    for load in &scenario.load {
        poisson(load, scenario.length, &mut rng, &mut all);
    }
    for burst in &scenario.burst {
        bursts(burst, scenario.length, &mut rng, &mut all);
    }
    all.sort_unstable();
    all
}

fn poisson(load: &Load, length: Duration, rng: &mut Rng, all: &mut Vec<Arrival>) {
    let until = load.until.unwrap_or(length).min(length).as_secs_f64();
    let mut at = load.from.as_secs_f64();
    if load.per_hour <= 0.0 {
        return;
    }
    loop {
        at += -(1.0 - rng.f64()).ln() * 3_600.0 / load.per_hour;
        if at >= until {
            return;
        }
        all.push(Arrival {
            at: whole(at),
            runs: runs(load.runs, rng),
        });
    }
}

fn bursts(burst: &Burst, length: Duration, rng: &mut Rng, all: &mut Vec<Arrival>) {
    let mut at = burst.at;
    while at < length {
        for _ in 0..burst.tasks {
            let after = rng.f64() * burst.over.as_secs_f64();
            all.push(Arrival {
                at: whole(at.as_secs_f64() + after),
                runs: runs(burst.runs, rng),
            });
        }
        match burst.every {
            Some(every) => at += every,
            None => return,
        }
    }
}

fn runs(runs: Runs, rng: &mut Rng) -> u32 {
    let median = runs.median.as_secs_f64();
    let sigma = (runs.p95.as_secs_f64() / median).ln() / Z95;
    // Box and Muller's way from two even numbers to a normal one.
    let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
    whole(median * (sigma * normal).exp()).max(1)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds within a week; a cast takes what is beyond to the nearest end"
)]
fn whole(seconds: f64) -> u32 {
    seconds.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_come_as_often_and_run_as_long_as_the_scenario_says() {
        let scenario = Scenario::parse(
            "title='t'\nseed=7\nlength='100h'\n[[load]]\nper_hour=100\nruns={median='60s',p95='300s'}",
        )
        .expect("valid");
        let tasks = arrivals(&scenario);
        assert!((9_700..10_300).contains(&tasks.len()), "{}", tasks.len());
        let mut runs: Vec<u32> = tasks.iter().map(|task| task.runs).collect();
        runs.sort_unstable();
        assert!(
            (57..63).contains(&runs[runs.len() / 2]),
            "{}",
            runs[runs.len() / 2]
        );
        let p95 = runs[runs.len() * 95 / 100];
        assert!((275..325).contains(&p95), "{p95}");
        assert_eq!(tasks, arrivals(&scenario), "the seed decides");
    }

    #[test]
    fn a_burst_comes_again_and_within_its_time() {
        let scenario = Scenario::parse(
            "title='t'\nseed=7\nlength='3h'\n[[burst]]\nat='30m'\nevery='1h'\ntasks=10\nover='2m'\nruns={median='9s',p95='9s'}",
        )
        .expect("valid");
        let tasks = arrivals(&scenario);
        assert_eq!(tasks.len(), 30);
        assert!(
            tasks
                .iter()
                .all(|task| task.at % 3_600 >= 1_800 && task.at % 3_600 <= 1_920)
        );
        assert!(tasks.iter().all(|task| task.runs == 9));
    }
}
