//! What Airflow allows: how long a task may wait, and how many may run.

use super::workers;
use std::time::Duration;

/// How long Airflow lets a queued task wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT`: the scheduler fails the task.
    pub queued_timeout: Duration,
    /// `AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME`: the task's token ends, counted from queueing, and
    /// the worker that takes it fails with "Signature has expired". None before Airflow 3.
    pub token: Option<Duration>,
}

/// How near the oldest message is to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Nothing waits, or not for long.
    Fine,
    /// It has waited for more than half of the limit.
    Late(Limit),
    /// It has waited beyond the limit: the task fails or has failed.
    Lost(Limit),
}

/// Which limit, by its setting, and its length.
pub type Limit = (&'static str, Duration);

impl Default for Limits {
    /// Airflow 3's own.
    fn default() -> Self {
        Self {
            queued_timeout: Duration::from_secs(600),
            token: Some(Duration::from_secs(600)),
        }
    }
}

impl Limits {
    /// Holds an age against the limit that ends first.
    ///
    /// | oldest message | urgency |
    /// |---|---|
    /// | none, or to half of the limit | fine |
    /// | to the limit | late |
    /// | beyond it | lost |
    pub fn judge(&self, oldest: Option<Duration>) -> Urgency {
        let queued = ("task_queued_timeout", self.queued_timeout);
        let limit = match self.token {
            Some(token) if token < self.queued_timeout => ("jwt_expiration_time", token),
            _ => queued,
        };
        match oldest {
            Some(age) if age > limit.1 => Urgency::Lost(limit),
            Some(age) if age > limit.1 / 2 => Urgency::Late(limit),
            _ => Urgency::Fine,
        }
    }
}

/// A warning where Airflow's `parallelism` (for each scheduler) never lets the workers fill up.
pub fn parallelism_caps(
    parallelism: u32,
    schedulers: u32,
    max_workers: u32,
    concurrency: u32,
) -> Option<String> {
    let runs = u64::from(parallelism) * u64::from(schedulers.max(1));
    let could = u64::from(max_workers) * u64::from(concurrency);
    // 0 is Airflow's word for no limit.
    if parallelism == 0 || runs >= could {
        return None;
    }
    let used = workers(runs, concurrency);
    Some(format!(
        "parallelism {parallelism} lets {runs} tasks run, which fills {used} of {max_workers} workers \
         with {concurrency} each: set AIRFLOW__CORE__PARALLELISM to {could} or more"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_held_against_the_limit_that_ends_first() {
        let seconds = Duration::from_secs;
        let queued = ("task_queued_timeout", seconds(600));
        let token = ("jwt_expiration_time", seconds(200));
        for (limit, age, urgency) in [
            (None, None, Urgency::Fine),
            (None, Some(300), Urgency::Fine),
            (None, Some(301), Urgency::Late(queued)),
            (None, Some(600), Urgency::Late(queued)),
            (None, Some(601), Urgency::Lost(queued)),
            (Some(600), Some(601), Urgency::Lost(queued)),
            (Some(900), Some(601), Urgency::Lost(queued)),
            (Some(200), Some(100), Urgency::Fine),
            (Some(200), Some(101), Urgency::Late(token)),
            (Some(200), Some(201), Urgency::Lost(token)),
        ] {
            let limits = Limits {
                queued_timeout: seconds(600),
                token: limit.map(seconds),
            };
            assert_eq!(limits.judge(age.map(seconds)), urgency, "{limit:?} {age:?}");
        }
    }

    #[test]
    fn airflows_own_parallelism_fills_two_of_ten_workers() {
        let warning = parallelism_caps(32, 1, 10, 16).expect("a warning");
        assert!(warning.contains("fills 2 of 10"), "{warning}");
        assert!(warning.contains("to 160 or more"), "{warning}");
        assert_eq!(parallelism_caps(160, 1, 10, 16), None);
        assert_eq!(parallelism_caps(80, 2, 10, 16), None);
        assert_eq!(parallelism_caps(0, 1, 10, 16), None);
    }
}
