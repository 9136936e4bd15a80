//! From a sample to the number of workers wanted.
//!
//! ```text
//! tasks   = waiting + running
//! need    = tasks / concurrency, rounded up, within the minimum and the maximum
//! workers = the most that was needed within the hold, and those that drain for a deployment;
//!           while restarting also the live workers
//! ```
//!
//! | witnesses | waiting | running |
//! |---|---|---|
//! | broker | messages ready | in flight but for orphans |
//! | broker, restarting | messages ready | everything in flight |
//! | broker and database | the larger of ready and queued | what the database says is running |
//! | broker and database, restarting | the larger of ready and queued | the larger of in flight and running |
//! | database | queued | running |
//! | none | | nothing is said: a number that nobody saw is never published |
//!
//! With early acknowledgement running tasks are not in flight: then what the workers' heartbeats claim
//! comes on top of it, and nothing is known of orphans.
//!
//! **Draining** workers end what they run and take nothing new, so that what waits needs others beside
//! them; and ECS protects no more tasks than are desired, so that with them left out of the target their
//! successors would be refused protection until they are gone. They count until then, without a hold.
//!
//! **Restarting** is the time of one hold after the first sample, and after a gap of [`GAP`] without
//! the broker: which workers live and what they run is told by heartbeats that were not heard.

mod age;
mod groups;
mod limits;
mod orphans;
mod window;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use self::age::Oldest;
pub use self::groups::{Group, Groups};
pub use self::limits::{Limit, Limits, Urgency, parallelism_caps};
use self::orphans::Unclaimed;
pub use self::orphans::{NAMED_AFTER, claimed};
use self::window::Highest;
use std::time::Duration;

/// Without the broker for longer, what the heartbeats told is forgotten: three times the silence
/// after which a worker counts as gone.
pub const GAP: Duration = Duration::from_secs(30);

/// Celery's workers send a heartbeat every 2 s: after this long each that lives was heard.
pub const HEARD: Duration = Duration::from_secs(5);

/// The rules of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Tasks that a worker runs, at least one.
    pub concurrency: u32,
    /// The target's least.
    pub min: u32,
    /// The target's most.
    pub max: u32,
    /// How long the target holds before it falls.
    pub hold: Duration,
    /// Whether a message stays in flight until its task has ended.
    pub acks_late: bool,
}

/// What was seen at one instant of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sample {
    /// When, on a clock that never goes back.
    pub at: Duration,
    /// None where Redis did not answer.
    pub broker: Option<Broker>,
    /// None where the database is not asked or did not answer.
    pub database: Option<Database>,
}

/// The broker's side: Redis and the workers' heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Broker {
    /// Messages in the group's queues, all priorities.
    pub ready: u64,
    /// Messages in flight (`unacked`) that came from the group's queues.
    pub in_flight: u64,
    /// Messages that live workers hold by their heartbeats, see [`claimed`].
    pub claimed: u64,
    /// Live workers.
    pub workers: u32,
    /// Those of them that drain for a deployment, and are protected as long as it takes.
    pub draining: u32,
}

/// Airflow's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Database {
    /// Task instances in the group's queues that are queued.
    pub queued: u64,
    /// Task instances in the group's queues that are running.
    pub running: u64,
}

/// How many workers are wanted, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// `WorkersTarget`.
    pub workers: u32,
    /// What this sample alone asks for, within minimum and maximum.
    pub need: u32,
    /// Tasks that wait.
    pub waiting: u64,
    /// `TasksBusy`: tasks that run, or may.
    pub busy: u64,
    /// `TasksOrphaned`: messages in flight that no live worker has claimed for [`NAMED_AFTER`].
    pub orphaned: u64,
    /// Whether everything in flight still counts as busy.
    pub restarting: bool,
    /// Whether every live worker had the time to be heard. Before that the target may be too low, and
    /// is not to be published.
    pub settled: bool,
}

/// What one group remembers of its samples. Its size is bounded by the maximum, not by the time.
#[derive(Clone, Debug)]
pub struct Demand {
    policy: Policy,
    needs: Highest,
    unclaimed: Unclaimed,
    /// The broker's first sample after the start or a gap, and its latest.
    seen: Option<(Duration, Duration)>,
}

impl Demand {
    /// One that has seen nothing.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            needs: Highest::new(policy.hold),
            unclaimed: Unclaimed::default(),
            seen: None,
        }
    }

    /// Takes a sample in. None where neither witness answered.
    pub fn observe(&mut self, sample: &Sample) -> Option<Target> {
        let Policy { min, max, .. } = self.policy;
        let seen = sample.broker.map(|broker| self.see(sample.at, &broker));
        let (waiting, busy) = match (seen, sample.database) {
            (None, None) => return None,
            (Some(seen), None) => (seen.ready, seen.busy),
            (None, Some(database)) => (database.queued, database.running),
            (Some(seen), Some(database)) => {
                let waiting = seen.ready.max(database.queued);
                match seen.restarting {
                    true => (waiting, seen.busy.max(database.running)),
                    false => (waiting, database.running),
                }
            }
        };
        let need = workers(waiting.saturating_add(busy), self.policy.concurrency).clamp(min, max);
        let held = self.needs.observe(sample.at, need);
        let floor = seen.map_or(0, |seen| if seen.restarting { seen.workers } else { 0 });
        let draining = sample.broker.map_or(0, |broker| broker.draining);
        Some(Target {
            workers: held.saturating_add(draining).max(floor).min(max),
            need,
            waiting,
            busy,
            orphaned: seen.map_or(0, |seen| seen.orphaned),
            restarting: seen.is_some_and(|seen| seen.restarting),
            settled: seen.is_none_or(|seen| seen.settled),
        })
    }

    fn see(&mut self, at: Duration, broker: &Broker) -> Seen {
        let since = match self.seen {
            Some((since, latest)) if at.saturating_sub(latest) <= GAP => since,
            _ => {
                self.unclaimed = Unclaimed::default();
                at
            }
        };
        self.seen = Some((since, at));
        let age = at.saturating_sub(since);
        let restarting = age < self.policy.hold;
        let (busy, orphaned) = match self.policy.acks_late {
            false => (broker.in_flight.saturating_add(broker.claimed), 0),
            true => {
                let unclaimed = broker.in_flight.saturating_sub(broker.claimed);
                let orphaned = self.unclaimed.observe(at, unclaimed);
                match restarting {
                    true => (broker.in_flight, orphaned),
                    false => (broker.in_flight - orphaned, orphaned),
                }
            }
        };
        Seen {
            ready: broker.ready,
            busy,
            orphaned,
            workers: broker.workers,
            restarting,
            settled: age >= HEARD,
        }
    }
}

/// What the broker's side comes to.
#[derive(Clone, Copy)]
struct Seen {
    ready: u64,
    busy: u64,
    orphaned: u64,
    workers: u32,
    restarting: bool,
    settled: bool,
}

/// Workers for so many tasks; `once` uses it as it is, without a hold.
pub fn workers(tasks: u64, concurrency: u32) -> u32 {
    u32::try_from(tasks.div_ceil(u64::from(concurrency.max(1)))).unwrap_or(u32::MAX)
}
