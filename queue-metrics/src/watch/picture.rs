//! From what the witnesses saw to a target for each group. Pure: the clock is an argument.

use crate::broker::{Layout, Reading, Workers, places};
use crate::demand::{Broker, Database, Demand, Groups, Oldest, Policy, Sample, Target, claimed};
use crate::witness::Counts;
use std::collections::HashMap;
use std::time::Duration;

/// What is known at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Picture {
    /// In the order in which they were named.
    pub groups: Vec<GroupPicture>,
    /// Each queue of each group; none where the broker was not seen.
    pub queues: Vec<QueuePicture>,
    /// Tasks that workers run, or the database knows of, and that the broker has no message of.
    pub missing: u64,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPicture {
    /// The dimension Service.
    pub name: String,
    /// How many workers are wanted.
    pub target: Target,
    /// What the broker showed, where it was seen.
    pub broker: Option<Broker>,
    /// What the database said, where it answered.
    pub database: Option<Database>,
    /// How long the oldest message has been seen to wait.
    pub oldest: Option<Duration>,
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePicture {
    /// Its name.
    pub name: String,
    /// Messages that wait, all priorities.
    pub ready: u64,
    /// Messages in flight.
    pub unacked: u64,
}

/// Which groups each worker serves. One that is not known may serve any.
pub type Homes = HashMap<String, Vec<usize>>;

/// What was seen at one instant, and when.
#[derive(Clone, Copy, Debug)]
pub struct Witnessed<'a> {
    /// On a clock that never goes back.
    pub at: Duration,
    /// None where Redis did not answer.
    pub broker: Option<(&'a Reading, &'a Workers)>,
    /// None where the database is not asked or did not answer.
    pub database: Option<&'a Counts>,
}

/// Remembers what targets are made of.
#[derive(Debug)]
pub struct Rounds {
    layout: Layout,
    policy: Policy,
    prefetch: u32,
    groups: Vec<Group>,
    /// The group of each list.
    of_list: HashMap<String, usize>,
}

#[derive(Debug)]
struct Group {
    name: String,
    /// Places in the layout.
    queues: Vec<usize>,
    demand: Demand,
    oldest: Oldest,
}

impl Rounds {
    /// One that has seen nothing. The layout is of the groups' queues, in their order.
    pub fn new(groups: &Groups, layout: Layout, policy: Policy, prefetch: u32) -> Self {
        let group = |(at, group): (usize, &crate::demand::Group)| Group {
            name: group.name.clone(),
            queues: places(&layout, groups, at),
            demand: Demand::new(policy),
            oldest: Oldest::new(),
        };
        let all: Vec<Group> = groups.iter().enumerate().map(group).collect();
        let lists = layout.queues.iter();
        let of_list = lists.flat_map(|(queue, lists)| {
            let group = groups.of(queue);
            let named = lists.iter().map(move |list| Some((list.clone(), group?)));
            named.flatten()
        });
        Self {
            of_list: of_list.collect(),
            groups: all,
            layout,
            policy,
            prefetch,
        }
    }

    /// Takes in what was seen. None where nobody saw anything.
    pub fn observe(&mut self, seen: Witnessed<'_>, homes: &Homes) -> Option<Picture> {
        let mut picture = Picture {
            missing: self.missing(&seen),
            ..Picture::default()
        };
        for at in 0..self.groups.len() {
            let broker = seen
                .broker
                .map(|(reading, workers)| self.broker(at, reading, workers, homes, seen.at));
            let group = &mut self.groups[at];
            let database = seen.database.map(|counts| database(counts, &group.queues));
            let target = group.demand.observe(&Sample {
                at: seen.at,
                broker,
                database,
            })?;
            let next = seen.broker.iter().flat_map(|(reading, _)| &reading.next);
            let next = next.filter(|(list, _)| self.of_list.get(list) == Some(&at));
            let next = next.map(|(list, id)| (list.as_str(), id.as_str()));
            // Without the broker nothing is known of its lists, and nothing forgotten.
            let oldest = match broker {
                Some(_) => group.oldest.observe(seen.at, next),
                None => None,
            };
            picture.groups.push(GroupPicture {
                name: group.name.clone(),
                target,
                broker,
                database,
                oldest,
            });
        }
        if let Some((reading, _)) = seen.broker {
            let counts = reading.ready.iter().zip(&reading.in_flight.queues);
            let names = self.layout.queues.iter().map(|(name, _)| name.clone());
            let queue = |(name, (&ready, &unacked))| QueuePicture {
                name,
                ready,
                unacked,
            };
            picture.queues = names.zip(counts).map(queue).collect();
        }
        Some(picture)
    }

    fn broker(
        &self,
        group: usize,
        reading: &Reading,
        workers: &Workers,
        homes: &Homes,
        at: Duration,
    ) -> Broker {
        let queues = &self.groups[group].queues;
        let serves = |name: &str| homes.get(name).is_none_or(|groups| groups.contains(&group));
        let own: Vec<(u64, bool)> = workers
            .each(at)
            .filter(|(name, ..)| serves(name))
            .map(|(_, active, alive)| (active, alive))
            .collect();
        let active = own.iter().map(|(active, _)| *active);
        let alive = own.iter().filter(|(_, alive)| *alive).count();
        Broker {
            ready: queues.iter().map(|&queue| reading.ready[queue]).sum(),
            in_flight: queues
                .iter()
                .map(|&queue| reading.in_flight.queues[queue])
                .sum(),
            claimed: claimed(active, self.policy.concurrency, self.prefetch),
            workers: u32::try_from(alive).unwrap_or(u32::MAX),
            draining: reading.draining.get(group).copied().unwrap_or(0),
        }
    }

    /// | witnesses | what should have a message |
    /// |---|---|
    /// | the broker | tasks that workers run, where they acknowledge late |
    /// | both | also what the database has queued or running, with late acknowledgement |
    fn missing(&self, seen: &Witnessed<'_>) -> u64 {
        let Some((reading, workers)) = seen.broker else {
            return 0;
        };
        if !self.policy.acks_late {
            return 0;
        }
        let in_flight: u64 = reading.in_flight.queues.iter().sum();
        let active: u64 = workers.active(seen.at).sum();
        let run = active.saturating_sub(in_flight + reading.in_flight.elsewhere);
        let ready: u64 = reading.ready.iter().sum();
        let known = seen.database.map(Counts::sum).unwrap_or_default();
        run.max((known.queued + known.running).saturating_sub(ready + in_flight))
    }
}

fn database(counts: &Counts, queues: &[usize]) -> Database {
    let mut sum = Database::default();
    for queue in queues.iter().filter_map(|&queue| counts.queues.get(queue)) {
        sum.queued = sum.queued.saturating_add(queue.queued);
        sum.running = sum.running.saturating_add(queue.running);
    }
    sum
}

#[cfg(test)]
mod tests;
