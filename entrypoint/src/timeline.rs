//! The phases before the service: each timed, logged, and shown in the status file.

use crate::failure::Failure;
use crate::names;
use agent::metrics::{Metric, Unit};
use agent::status::Status;
use std::time::{Duration, Instant};
use tracing::{debug, info};

/// A phase before the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// References and paths are replaced by parameters.
    Resolve,
    /// Files, Postgres and the broker are waited for.
    Wait,
    /// The schema is brought up to date.
    Migrate,
    /// The administrator is created.
    Admin,
    /// What the service needs is checked.
    Preflight,
}

/// What the phases took so far.
#[derive(Debug)]
pub struct Timeline {
    status: Status,
    /// A plain command's phases are nobody's concern.
    is_told: bool,
    current: Option<Phase>,
    done: Vec<(Phase, Duration)>,
}

impl Phase {
    /// As logs call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Wait => "wait",
            Self::Migrate => "migrate",
            Self::Admin => "admin",
            Self::Preflight => "preflight",
        }
    }

    /// As the status file calls what is under way.
    fn state(self) -> &'static str {
        match self {
            Self::Resolve => "resolving",
            Self::Wait => "waiting",
            Self::Migrate => "migrating",
            Self::Admin => "creating-admin",
            Self::Preflight => "checking",
        }
    }

    fn metric(self) -> &'static str {
        match self {
            Self::Resolve => names::RESOLVE_SECONDS,
            Self::Wait => names::WAIT_SECONDS,
            Self::Migrate => names::MIGRATE_SECONDS,
            Self::Admin => names::ADMIN_SECONDS,
            Self::Preflight => names::PREFLIGHT_SECONDS,
        }
    }
}

impl Timeline {
    /// Nothing has been done yet. Where `is_told` is false, phases are logged for debugging only.
    pub fn new(status: Status, is_told: bool) -> Self {
        Self {
            status,
            is_told,
            current: None,
            done: Vec::new(),
        }
    }

    /// Does the work of a phase. The status's health is left to the phases themselves: only one that
    /// migrates, or waits for another's migration, is healthy.
    ///
    /// # Errors
    /// The work's own.
    pub async fn phase<T>(
        &mut self,
        phase: Phase,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.current = Some(phase);
        self.status
            .update(|state| state.phase = phase.state().to_owned());
        debug!(phase = phase.name(), event = "phase", "phase begins");
        let began = Instant::now();
        let result = work.await;
        let took = began.elapsed();
        self.done.push((phase, took));
        if result.is_ok() {
            self.current = None;
            let (phase, seconds) = (phase.name(), rounded(took));
            match self.is_told {
                true => info!(phase, seconds, event = "phase_done", "phase done"),
                false => debug!(phase, seconds, event = "phase_done", "phase done"),
            }
        }
        result
    }

    /// The phase that is under way, or that failed.
    pub fn current(&self) -> Option<Phase> {
        self.current
    }

    /// Notes that a phase's work, done outside of it, failed.
    pub fn fails_in(&mut self, phase: Phase) {
        self.current = Some(phase);
    }

    /// What each phase took.
    pub fn metrics(&self) -> Vec<Metric> {
        let metric = |(phase, took): &(Phase, Duration)| Metric {
            name: phase.metric(),
            unit: Unit::Seconds,
            value: took.as_secs_f64(),
        };
        self.done.iter().map(metric).collect()
    }
}

/// Whole microseconds, which a person can read.
fn rounded(duration: Duration) -> f64 {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::exit::Exit;

    #[tokio::test]
    async fn each_phase_is_timed_and_the_failed_one_is_known() {
        let status = Status::disabled();
        let mut timeline = Timeline::new(status.clone(), true);
        let resolved = timeline.phase(Phase::Resolve, async { Ok(7) }).await;
        assert_eq!(resolved, Ok(7));
        assert_eq!(timeline.current(), None);
        let failure = Failure::new(Exit::Unavailable, "no answer");
        let failed: Result<(), Failure> = timeline
            .phase(Phase::Wait, async { Err(failure.clone()) })
            .await;
        assert_eq!(failed, Err(failure));
        assert_eq!(timeline.current(), Some(Phase::Wait));
        assert_eq!(status.state().phase, "waiting");
        let metrics = timeline.metrics();
        let names: Vec<&str> = metrics.iter().map(|metric| metric.name).collect();
        assert_eq!(names, ["ResolveSeconds", "WaitSeconds"]);
    }
}
