//! What `once` answers.

use crate::broker::{Layout, Reading, Workers, places};
use crate::demand::{Database, Groups, Policy, claimed, workers};
use crate::watch::Homes;
use crate::witness::Counts;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// What was seen, as `--output json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Workers wanted, without a hold: all groups together.
    pub workers_target: u32,
    /// Messages that wait.
    pub ready: u64,
    /// Tasks that run.
    pub busy: u64,
    /// Messages in flight that no worker claimed.
    pub orphaned: u64,
    /// Messages in flight.
    pub unacked: u64,
    /// Workers that were heard.
    pub workers_alive: u32,
    /// Seconds, a lower bound: Celery's messages carry no time. None where nothing waits.
    pub oldest_task_age: Option<u64>,
    /// By name.
    pub queues: BTreeMap<String, Queue>,
    /// By name, where groups were named.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, GroupReport>,
    /// What the database says, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseReport>,
}

/// One queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// Messages that wait.
    pub ready: u64,
    /// Messages in flight.
    pub unacked: u64,
}

/// One group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupReport {
    /// Workers wanted, without a hold.
    pub workers_target: u32,
    /// Messages that wait.
    pub ready: u64,
    /// Tasks that run.
    pub busy: u64,
    /// Messages in flight that no worker claimed.
    pub orphaned: u64,
    /// Messages in flight.
    pub unacked: u64,
    /// Workers that were heard and serve it.
    pub workers_alive: u32,
}

/// Task instances in the queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DatabaseReport {
    /// That are queued.
    pub queued: u64,
    /// That run.
    pub running: u64,
}

/// Everything that was seen.
pub(super) struct Seen<'a> {
    pub(super) layout: &'a Layout,
    pub(super) groups: &'a Groups,
    pub(super) grouped: bool,
    pub(super) policy: Policy,
    pub(super) prefetch: u32,
    pub(super) before: &'a Reading,
    pub(super) after: &'a Reading,
    pub(super) workers: &'a Workers,
    pub(super) homes: &'a Homes,
    pub(super) counts: Option<&'a Counts>,
    pub(super) at: Duration,
    pub(super) age: Option<Duration>,
}

impl Seen<'_> {
    pub(super) fn report(&self) -> Report {
        let groups: Vec<(String, GroupReport)> = self
            .groups
            .iter()
            .enumerate()
            .map(|(at, group)| (group.name.clone(), self.group(at)))
            .collect();
        let sum = |of: fn(&GroupReport) -> u64| groups.iter().map(|(_, group)| of(group)).sum();
        let targets = groups.iter().map(|(_, group)| group.workers_target);
        let names = self.layout.queues.iter().map(|(name, _)| name.clone());
        let counts = self.after.ready.iter().zip(&self.after.in_flight.queues);
        Report {
            workers_target: targets.fold(0, u32::saturating_add),
            ready: sum(|group| group.ready),
            busy: sum(|group| group.busy),
            orphaned: sum(|group| group.orphaned),
            unacked: sum(|group| group.unacked),
            workers_alive: self.workers.alive(self.at),
            oldest_task_age: self.age.map(|age| age.as_secs()),
            queues: names
                .zip(counts.map(|(&ready, &unacked)| Queue { ready, unacked }))
                .collect(),
            groups: match self.grouped {
                true => groups.into_iter().collect(),
                false => BTreeMap::new(),
            },
            database: self.counts.map(|counts| {
                let Database { queued, running } = counts.sum();
                DatabaseReport { queued, running }
            }),
        }
    }

    /// | acknowledgement | busy | orphaned |
    /// |---|---|---|
    /// | late | in flight but for orphans | in flight all the while, and claimed by nobody |
    /// | early | in flight, and what heartbeats claim | cannot be seen |
    ///
    /// With the database the target is of the larger of ready and queued, and of what it says runs.
    fn group(&self, group: usize) -> GroupReport {
        let Policy {
            concurrency,
            min,
            max,
            acks_late,
            ..
        } = self.policy;
        let queues = places(self.layout, self.groups, group);
        let sum = |counts: &[u64]| queues.iter().filter_map(|&queue| counts.get(queue)).sum();
        let ready: u64 = sum(&self.after.ready);
        let unacked: u64 = sum(&self.after.in_flight.queues);
        let serves = |name: &str| {
            self.homes
                .get(name)
                .is_none_or(|groups| groups.contains(&group))
        };
        let own: Vec<(u64, bool)> = self
            .workers
            .each(self.at)
            .filter(|(name, ..)| serves(name))
            .map(|(_, active, alive)| (active, alive))
            .collect();
        let claimed = claimed(
            own.iter().map(|(active, _)| *active),
            concurrency,
            self.prefetch,
        );
        // What was taken since the last heartbeat is claimed by nobody yet, and no orphan.
        let before = &self.before.in_flight.tags;
        let stayed = self
            .after
            .in_flight
            .tags
            .iter()
            .filter(|(tag, queue)| queues.contains(queue) && before.contains_key(*tag))
            .count() as u64;
        let (busy, orphaned) = match acks_late {
            true => {
                let orphaned = unacked.saturating_sub(claimed).min(stayed);
                (unacked - orphaned, orphaned)
            }
            false => (unacked.saturating_add(claimed), 0),
        };
        let (waiting, running) = match self.counts {
            Some(counts) => {
                let known = queues.iter().filter_map(|&queue| counts.queues.get(queue));
                let queued: u64 = known.clone().map(|queue| queue.queued).sum();
                (ready.max(queued), known.map(|queue| queue.running).sum())
            }
            None => (ready, busy),
        };
        let alive = own.iter().filter(|(_, alive)| *alive).count();
        GroupReport {
            workers_target: workers(waiting.saturating_add(running), concurrency).clamp(min, max),
            ready,
            busy,
            orphaned,
            unacked,
            workers_alive: u32::try_from(alive).unwrap_or(u32::MAX),
        }
    }
}

impl Report {
    /// For people. Names of queues are escaped: a terminal obeys some characters.
    pub(super) fn text(&self) -> String {
        let age = match self.oldest_task_age {
            Some(age) => format!("{age} s or more"),
            None => "none waits".to_owned(),
        };
        let mut text = format!(
            "workers target  {}\nready           {}\nbusy            {}\norphaned        {}\nunacked         {}\nworkers alive   {}\noldest task     {age}\n",
            self.workers_target,
            self.ready,
            self.busy,
            self.orphaned,
            self.unacked,
            self.workers_alive,
        );
        // Writing to a String cannot fail.
        if let Some(DatabaseReport { queued, running }) = self.database {
            let _ = writeln!(text, "database        {queued} queued, {running} running");
        }
        for (name, group) in &self.groups {
            let _ = writeln!(
                text,
                "group {name}: target {}, {} ready, {} busy, {} orphaned, {} workers",
                group.workers_target, group.ready, group.busy, group.orphaned, group.workers_alive
            );
        }
        for (name, queue) in &self.queues {
            let name = name.escape_debug();
            let _ = writeln!(
                text,
                "queue {name}: {} ready, {} unacked",
                queue.ready, queue.unacked
            );
        }
        text
    }
}
