//! The service: started, watched, and stopped.

use crate::command::Service;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::health::witness::Outside;
use crate::health::{self, plan, row};
use crate::oom;
use crate::phases::{Prepared, Story};
use crate::supervise::{self, Launch, Scope, Signals, SpawnError, StopPlan};
use crate::variables::Variables;
use agent::metrics::Sink;
use std::time::Duration;

/// How long the phases' metrics may hold up the service's own: a newer publication replaces one that
/// is not out yet.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

impl Story<'_> {
    /// Runs the command until it has ended, and what it left behind too.
    pub(crate) async fn serve(
        &self,
        variables: Variables,
        prepared: Prepared,
        mut signals: Signals,
        oom: &oom::Watch,
    ) -> Ending {
        let Some(command) = self.command else {
            return Ending::Done;
        };
        if let Some(signal) = self.stop.asked() {
            let why = format!("{signal} came before the service was started");
            return Ending::Phase(None, Failure::stopped(signal.number(), why));
        }
        let mut launch = Launch::new(
            command.program.clone(),
            command.args.clone(),
            variables.owned(),
        );
        launch.foreground = true;
        // What was fetched is the service's now.
        drop(variables);
        let mut child = match self.children.spawn(launch) {
            Ok(child) => child,
            Err(SpawnError::NotFound(_)) => return self.not_found(command),
            Err(error) => return Ending::NotStarted(error.code(), error.to_string()),
        };
        agent::footprint::release_memory();
        let plan = StopPlan {
            scope: scope(self.settings.run.signal_scope, command.service),
            rewrites: self.settings.run.signal_rewrite.clone(),
            grace: self.settings.run.stop_grace,
        };
        let served = supervise::run(self.children, &mut signals, &mut child, &plan);
        let outcome = match command.service {
            Some(service) => {
                let Prepared {
                    config,
                    release,
                    target,
                    metrics,
                } = prepared;
                let host = row::host_names().swap_remove(0);
                let watched = plan::watched(service, &command.args, &config, release, &host);
                let broker = config.text("celery", "broker_url");
                let witness = Outside::new(target, broker);
                drop(config);
                let watch = health::Watch {
                    watched,
                    witness,
                    status: self.status,
                    metrics: self.metrics,
                    beside: match self.settings.metrics.metrics {
                        Sink::Prometheus => metrics,
                        _ => Vec::new(),
                    },
                    stop: self.stop,
                    oom,
                    pace: health::Pace::default(),
                };
                // It takes this moment for the service's start.
                let watch = watch.run();
                let watch = async {
                    self.metrics.flush(FLUSH_LIMIT).await;
                    watch.await
                };
                tokio::select! {
                    biased;
                    outcome = served => outcome,
                    never = watch => match never {},
                }
            }
            None => {
                self.status.update(|state| {
                    "running".clone_into(&mut state.phase);
                    state.healthy = true;
                });
                served.await
            }
        };
        Ending::Service(outcome)
    }
}

/// Who gets the signals: Celery's pool processes take a SIGTERM as their end, and drop their task.
fn scope(configured: Option<Scope>, service: Option<Service>) -> Scope {
    match (configured, service) {
        (Some(scope), _) => scope,
        (None, Some(Service::CeleryWorker)) => Scope::Main,
        (None, _) => Scope::Group,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_celery_worker_keeps_signals_from_its_children() {
        for (configured, service, expected) in [
            (None, None, Scope::Group),
            (None, Some(Service::Scheduler), Scope::Group),
            (None, Some(Service::CeleryFlower), Scope::Group),
            (None, Some(Service::CeleryWorker), Scope::Main),
            (
                Some(Scope::Group),
                Some(Service::CeleryWorker),
                Scope::Group,
            ),
            (Some(Scope::Main), Some(Service::Scheduler), Scope::Main),
        ] {
            assert_eq!(
                scope(configured, service),
                expected,
                "{configured:?} {service:?}"
            );
        }
    }
}
