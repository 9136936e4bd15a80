//! What the checks look at, as values.

use super::finding::{Finding, Level};
use crate::airflow::config::{self, Config};
use crate::airflow::version::Version;
use crate::command::Service;
use crate::variables::Variables;

/// A service that is about to start, and what it will find.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What starts.
    pub service: Service,
    /// The Airflow that is installed; none where that is not known, and what depends on it is not
    /// checked then.
    pub release: Option<Version>,
    /// Airflow's settings, read before any command of Airflow's ran.
    pub config: &'a Config,
    /// The service's variables.
    pub variables: &'a Variables,
    /// `ENTRYPOINT_SIMPLE_AUTH=allow`.
    pub simple_auth_allowed: bool,
}

impl Subject<'_> {
    /// Whether Airflow is known to be at least this.
    pub(super) fn at_least(&self, major: u32, minor: u32, patch: u32) -> bool {
        let release = Version::new(major, minor, patch);
        self.release.is_some_and(|installed| installed >= release)
    }

    /// Whether Airflow is known to be older than this.
    pub(super) fn before(&self, major: u32, minor: u32, patch: u32) -> bool {
        let release = Version::new(major, minor, patch);
        self.release.is_some_and(|installed| installed < release)
    }

    pub(super) fn is_celery(&self) -> bool {
        matches!(self.service, Service::CeleryWorker | Service::CeleryFlower)
    }

    /// The executors that are configured, one or several; none where that is not known.
    pub(super) fn executors(&self) -> Option<String> {
        let default = if self.at_least(3, 0, 0) {
            "LocalExecutor"
        } else {
            "SequentialExecutor"
        };
        match self.config.setting("core", "executor") {
            config::Setting::Value(executors) => Some(executors),
            config::Setting::Elsewhere => None,
            config::Setting::Unset => Some(default.to_owned()),
        }
    }

    /// Whether tasks go through Celery.
    pub(super) fn uses_celery(&self) -> bool {
        let celery = |executors: String| executors.contains("Celery");
        self.executors().is_some_and(celery)
    }

    /// Whether this service speaks to Celery's broker and result backend.
    pub(super) fn speaks_to_celery(&self) -> bool {
        self.is_celery() || (self.service == Service::Scheduler && self.uses_celery())
    }

    /// A finding about a setting, under the name of its variable.
    pub(super) fn finding(&self, level: Level, section: &str, key: &str, why: &str) -> Finding {
        Finding::new(level, config::variable(section, key), why)
    }
}
