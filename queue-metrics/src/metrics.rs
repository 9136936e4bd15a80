//! The metrics of `watch` and `protect`, each described in docs/queue-metrics.md.

use crate::watch::Picture;
use agent::metrics::{Metric, Metrics, Publication, Unit};

/// The desired count itself: hold, minimum and maximum are in it.
pub const WORKERS_TARGET: &str = "WorkersTarget";
/// Messages that wait in the group's queues, all priorities.
pub const TASKS_READY: &str = "TasksReady";
/// Tasks that run, or may.
pub const TASKS_BUSY: &str = "TasksBusy";
/// Messages in flight that no live worker has claimed for 30 s.
pub const TASKS_ORPHANED: &str = "TasksOrphaned";
/// Seconds for which the oldest message has been seen to wait; 0 where none does.
pub const OLDEST_TASK_AGE: &str = "OldestTaskAge";
/// Workers whose heartbeat was heard within 10 s.
pub const WORKERS_ALIVE: &str = "WorkersAlive";
/// Seconds since the sample; its absence is the alarm.
pub const SAMPLE_AGE: &str = "SampleAge";
/// Messages that wait in one queue; with the dimension Queue.
pub const QUEUE_READY: &str = "QueueReady";
/// 1 while a worker takes tasks without its ECS task being protected, else 0; `protect`'s.
pub const WORKER_UNPROTECTED: &str = "WorkerUnprotected";
/// 1 while a worker does not answer `protect`, else 0; `protect`'s.
pub const WORKER_SILENT: &str = "WorkerSilent";

/// What `watch` publishes of a picture: what was not seen is left out.
pub fn publication(picture: &Picture, metrics: &Metrics) -> Publication {
    let mut publication = Publication::new().live(SAMPLE_AGE);
    for group in &picture.groups {
        let target = &group.target;
        let mut values = vec![
            count(WORKERS_TARGET, u64::from(target.workers)),
            count(TASKS_BUSY, target.busy),
        ];
        if let Some(seen) = &group.broker {
            values.push(count(TASKS_READY, seen.ready));
            values.push(count(TASKS_ORPHANED, target.orphaned));
            values.push(count(WORKERS_ALIVE, u64::from(seen.workers)));
            values.push(Metric {
                name: OLDEST_TASK_AGE,
                unit: Unit::Seconds,
                value: group.oldest.unwrap_or_default().as_secs_f64(),
            });
        }
        publication = publication.about(metrics.service(Some(&group.name)), &values);
    }
    for queue in &picture.queues {
        let ready = [count(QUEUE_READY, queue.ready)];
        publication = publication.about(metrics.queue(&queue.name), &ready);
    }
    publication
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 tasks are not told from one more"
)]
fn count(name: &'static str, value: u64) -> Metric {
    Metric {
        name,
        unit: Unit::Count,
        value: value as f64,
    }
}
