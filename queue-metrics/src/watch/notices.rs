//! What the log tells of states that last: when they begin, change and end.

use super::lasting::{Lasting, Turn};
use super::picture::{GroupPicture, Picture};
use crate::broker::{Failure, Server};
use crate::demand::{Limits, Urgency};
use agent::exit::Exit;
use agent::redis::Target;
use std::collections::HashMap;
use std::time::Duration;

/// Messages must be missed for so long before that is told: a task is queued in the database a moment
/// before its message is, and its message is gone a moment before its run has ended there.
const MISSED_AFTER: Duration = Duration::from_secs(60);
/// One line that all is well.
const STEADY_EVERY: Duration = Duration::from_secs(3600);

/// The states, as they were told last.
#[derive(Debug)]
pub(super) struct Notices {
    limits: Limits,
    broker: Lasting<Failure>,
    database: Lasting<Failure>,
    hint: Lasting<Failure>,
    risk: Lasting<Vec<String>>,
    missing: Lasting<()>,
    missed_since: Option<Duration>,
    orphans: HashMap<String, Lasting<u64>>,
    urgency: HashMap<String, Lasting<Urgency>>,
    targets: HashMap<String, u32>,
    run_id: Option<String>,
    /// Other processes that have answered for the broker since the start.
    pub(super) restarts: u64,
    told: Duration,
}

impl Notices {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            broker: Lasting::default(),
            database: Lasting::default(),
            hint: Lasting::default(),
            risk: Lasting::default(),
            missing: Lasting::default(),
            missed_since: None,
            orphans: HashMap::new(),
            urgency: HashMap::new(),
            targets: HashMap::new(),
            run_id: None,
            restarts: 0,
            told: Duration::ZERO,
        }
    }

    pub(super) fn broker(&mut self, at: Duration, failure: Option<&Failure>) {
        let turn = self.broker.turn(at, failure.cloned());
        match (turn, failure) {
            (Some(Turn::Ends(lasted)), _) => {
                let seconds = lasted.as_secs();
                tracing::info!(event = "broker_back", seconds, "the broker answers again");
            }
            // Somebody must act: it will not pass by itself.
            (Some(_), Some(failure)) if failure.exit != Exit::Unavailable => tracing::error!(
                event = "broker_refuses",
                reason = failure.why,
                "the broker cannot be read, and nothing is published from it"
            ),
            (Some(_), Some(failure)) => tracing::warn!(
                event = "broker_away",
                reason = failure.why,
                "the broker cannot be read, and nothing is published from it"
            ),
            _ => {}
        }
    }

    pub(super) fn database(&mut self, at: Duration, failure: Option<&Failure>) {
        match (self.database.turn(at, failure.cloned()), failure) {
            (Some(Turn::Ends(lasted)), _) => {
                let seconds = lasted.as_secs();
                tracing::info!(
                    event = "database_back",
                    seconds,
                    "the database answers again"
                );
            }
            (Some(_), Some(failure)) => tracing::warn!(
                event = "database_away",
                reason = failure.why,
                "the database cannot be read: the broker alone is believed"
            ),
            _ => {}
        }
    }

    /// The target that `protect` reads could not be written.
    pub(super) fn hint(&mut self, at: Duration, failure: Option<&Failure>) {
        match (self.hint.turn(at, failure.cloned()), failure) {
            (Some(Turn::Ends(_)), _) => {
                tracing::info!(
                    event = "target_left",
                    "the target is left in the broker again"
                );
            }
            (Some(_), Some(failure)) => tracing::warn!(
                event = "target_not_left",
                reason = failure.why,
                "the target cannot be left in the broker: no surplus worker drains"
            ),
            _ => {}
        }
    }

    /// Whether another process answers than before.
    pub(super) fn server(&mut self, at: Duration, place: &Target, server: &Server) {
        let known = self.run_id.replace(server.run_id.clone());
        let another = known.is_some_and(|known| known != server.run_id);
        if another {
            self.restarts += 1;
            tracing::warn!(
                event = "broker_restarted",
                broker = %place,
                restarts = self.restarts,
                "another process answers for the broker: messages may be lost, and workers may go on counting tasks that ended"
            );
        }
        let warnings = server.warnings();
        let risk = (!warnings.is_empty()).then(|| warnings.clone());
        match self.risk.turn(at, risk) {
            Some(Turn::Ends(_)) => {
                tracing::info!(event = "broker_risk_over", broker = %place, "the broker loses no messages by its settings");
            }
            Some(_) => {
                for warning in warnings {
                    tracing::warn!(event = "broker_risk", broker = %place, warning, "the broker may lose messages");
                }
            }
            None => {}
        }
    }

    /// Workers that went silent without a goodbye.
    pub(super) fn silent(&self, workers: Vec<(String, u64)>) {
        for (worker, tasks) in workers {
            tracing::warn!(
                event = "worker_silent",
                worker,
                tasks,
                "a worker sends no heartbeats any more and did not say goodbye"
            );
        }
    }

    pub(super) fn picture(&mut self, at: Duration, picture: &Picture) {
        let mut changed = false;
        for group in &picture.groups {
            changed |= self.target(group);
            self.orphaned(at, group);
            self.late(at, group);
        }
        self.missed(at, picture.missing);
        if changed {
            self.told = at;
        }
        if at.saturating_sub(self.told) >= STEADY_EVERY {
            self.told = at;
            let targets: u32 = picture
                .groups
                .iter()
                .map(|group| group.target.workers)
                .sum();
            tracing::info!(
                event = "steady",
                targets,
                "all is well, and no target has changed for an hour"
            );
        }
    }

    fn target(&mut self, group: &GroupPicture) -> bool {
        let target = &group.target;
        let before = self.targets.insert(group.name.clone(), target.workers);
        if before == Some(target.workers) {
            return false;
        }
        tracing::info!(
            event = "target",
            group = group.name,
            workers_target = target.workers,
            before,
            waiting = target.waiting,
            busy = target.busy,
            orphaned = target.orphaned,
            workers_alive = group.broker.map(|seen| seen.workers),
            "the target is another one"
        );
        true
    }

    fn orphaned(&mut self, at: Duration, group: &GroupPicture) {
        let orphaned = group.target.orphaned;
        let lasting = self.orphans.entry(group.name.clone()).or_default();
        match lasting.turn(at, (orphaned > 0).then_some(orphaned)) {
            Some(Turn::Ends(lasted)) => tracing::info!(
                event = "orphans_gone",
                group = group.name,
                seconds = lasted.as_secs(),
                "no message in flight is without a worker"
            ),
            Some(_) => tracing::warn!(
                event = "orphans",
                group = group.name,
                orphaned,
                "no live worker holds these messages in flight: they count no more, and the broker gives them back after the visibility timeout"
            ),
            None => {}
        }
    }

    fn late(&mut self, at: Duration, group: &GroupPicture) {
        let urgency = self.limits.judge(group.oldest);
        let lasting = self.urgency.entry(group.name.clone()).or_default();
        let seconds = group.oldest.unwrap_or_default().as_secs();
        match (
            lasting.turn(at, (urgency != Urgency::Fine).then_some(urgency)),
            urgency,
        ) {
            (Some(Turn::Ends(_)), _) => tracing::info!(
                event = "tasks_in_time",
                group = group.name,
                "no task waits for long any more"
            ),
            (Some(_), Urgency::Late((setting, limit))) => tracing::warn!(
                event = "task_late",
                group = group.name,
                seconds,
                setting,
                limit_seconds = limit.as_secs(),
                "the oldest task has waited for more than half of what Airflow allows"
            ),
            (Some(_), Urgency::Lost((setting, limit))) => tracing::error!(
                event = "task_lost",
                group = group.name,
                seconds,
                setting,
                limit_seconds = limit.as_secs(),
                "the oldest task has waited for longer than Airflow allows, and fails"
            ),
            _ => {}
        }
    }

    fn missed(&mut self, at: Duration, missing: u64) {
        self.missed_since = match (missing, self.missed_since) {
            (0, _) => None,
            (_, since) => since.or(Some(at)),
        };
        let lost = self
            .missed_since
            .is_some_and(|since| at.saturating_sub(since) >= MISSED_AFTER);
        match self.missing.turn(at, lost.then_some(())) {
            Some(Turn::Ends(_)) => {
                tracing::info!(
                    event = "messages_found",
                    "each known task has its message again"
                );
            }
            Some(_) => tracing::warn!(
                event = "messages_lost",
                missing,
                "tasks are known that the broker has no message of: it was flushed, failed over, restarted without its data or evicted them"
            ),
            None => {}
        }
    }

    /// Why the broker is not read, and since when.
    pub(super) fn broker_away(&self) -> Option<(Duration, &Failure)> {
        self.broker.state()
    }

    pub(super) fn database_away(&self) -> Option<(Duration, &Failure)> {
        self.database.state()
    }

    pub(super) fn hint_refused(&self) -> Option<(Duration, &Failure)> {
        self.hint.state()
    }

    pub(super) fn messages_lost(&self) -> bool {
        self.missing.state().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lost_only_when_they_are_missed_for_a_minute_without_a_break() {
        let mut notices = Notices::new(Limits::default());
        for (at, missing, lost) in [
            (0, 2, false),
            (59, 1, false),
            (60, 1, true),
            (61, 0, false),
            (62, 1, false),
            (121, 1, false),
            (122, 1, true),
        ] {
            let picture = Picture {
                missing,
                ..Picture::default()
            };
            notices.picture(Duration::from_secs(at), &picture);
            assert_eq!(notices.messages_lost(), lost, "at {at} s");
        }
    }
}
