//! One policy against one scenario, second by second.

use super::fleet::{Cause, Fleet, count};
use super::load::{Arrival, arrivals};
use super::policy::{Kind, Policy, View};
use super::scenario::Scenario;
use std::collections::{BTreeMap, VecDeque};

/// A killed task is queued again when Airflow's scheduler has missed its heartbeat.
const MISSED: u32 = 300;
/// So often a task is tried; one that a policy kills again and again must not fill the figures.
const TRIES: u8 = 3;
/// What is still there so long after the last task came is not waited for.
const AFTERMATH: u32 = 12 * 3_600;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The policy.
    pub kind: Kind,
    /// Seconds from queued to started, of each task, in order of size.
    pub waits: Vec<u32>,
    /// Seconds of all workers, from their start on.
    pub worker_seconds: u64,
    /// Tasks that scale-in killed.
    pub killed_by_scale_in: u32,
    /// Tasks that a deployment killed.
    pub killed_by_deployment: u32,
    /// Those of both on workers that were refused protection: taken after the deny limit, or, where a
    /// worker comes up with its queues, before the first cancel.
    pub killed_unprotected: u32,
    /// Tasks that Fargate Spot killed.
    pub killed_by_spot: u32,
    /// How often the desired count changed.
    pub scalings: u32,
    /// Seconds until the last worker of the old revision was gone, for each deployment; none where one
    /// was not within the time.
    pub deployments: Vec<Option<u32>>,
    /// Tasks that never started.
    pub unstarted: u32,
    /// How it went, once a minute and at each change of the desired count.
    pub points: Vec<Point>,
}

/// How it was at one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Seconds after the start.
    pub at: u32,
    /// Tasks that wait.
    pub ready: u32,
    /// Tasks that run.
    pub running: u32,
    /// The desired count.
    pub desired: u32,
    /// Workers that are up.
    pub workers: u32,
}

/// Replays the scenario under the policy.
pub fn run(scenario: &Scenario, kind: Kind) -> Outcome {
    let mut world = World::new(scenario, kind);
    let length = u32::try_from(scenario.length.as_secs()).unwrap_or(u32::MAX);
    let mut now = 0;
    while now < length || (world.is_busy() && now < length.saturating_add(AFTERMATH)) {
        world.second(now);
        now += 1;
    }
    world.finish(now)
}

struct World<'a> {
    scenario: &'a Scenario,
    tasks: Vec<Arrival>,
    next: usize,
    queue: VecDeque<usize>,
    /// Killed tasks, by when they are queued again.
    again: BTreeMap<u32, Vec<usize>>,
    /// How often each task was started.
    started: Vec<u8>,
    fleet: Fleet,
    policy: Policy,
    redis: bool,
    orphans: u32,
    deploying: Vec<(u32, Option<u32>)>,
    outcome: Outcome,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, kind: Kind) -> Self {
        let tasks = arrivals(scenario);
        Self {
            scenario,
            next: 0,
            queue: VecDeque::new(),
            again: BTreeMap::new(),
            started: vec![0; tasks.len()],
            fleet: Fleet::new(kind, &scenario.service, scenario.seed),
            policy: Policy::new(kind, &scenario.service, &tasks),
            redis: true,
            orphans: 0,
            deploying: Vec::new(),
            outcome: Outcome {
                kind,
                waits: Vec::with_capacity(tasks.len()),
                worker_seconds: 0,
                killed_by_scale_in: 0,
                killed_by_deployment: 0,
                killed_unprotected: 0,
                killed_by_spot: 0,
                scalings: 0,
                deployments: Vec::new(),
                unstarted: 0,
                points: Vec::new(),
            },
            tasks,
        }
    }

    fn is_busy(&self) -> bool {
        let running = self
            .fleet
            .workers
            .iter()
            .any(|worker| !worker.running.is_empty());
        running || !self.queue.is_empty() || !self.again.is_empty() || self.next < self.tasks.len()
    }

    fn second(&mut self, now: u32) {
        let changed = self.weather(now);
        self.end_tasks(now);
        self.queue_tasks(now);
        let running = self.running();
        let desired = self.policy.step(&View {
            now,
            redis: self.redis,
            ready: count(self.queue.len()),
            running,
            workers: self.fleet.live(),
            draining: self.fleet.draining,
            orphans: self.orphans,
            desired: self.fleet.desired,
        });
        let moved = desired.is_some_and(|desired| desired != self.fleet.desired);
        if let Some(desired) = desired.filter(|_| moved) {
            self.fleet.desired = desired;
            self.outcome.scalings += 1;
        }
        self.fleet.ecs(now);
        let target = self.policy.target().filter(|_| self.redis);
        self.fleet.drive(now, changed, target);
        self.start_tasks(now);
        self.outcome.worker_seconds += self.fleet.workers.len() as u64;
        if moved || now.is_multiple_of(60) {
            self.outcome.points.push(Point {
                at: now,
                ready: count(self.queue.len()),
                running: self.running(),
                desired: self.fleet.desired,
                workers: self.fleet.live(),
            });
        }
    }

    fn running(&self) -> u32 {
        count(
            self.fleet
                .workers
                .iter()
                .map(|worker| worker.running.len())
                .sum(),
        )
    }

    /// Outages, deployments and reclaims. Whether Redis went or came back.
    fn weather(&mut self, now: u32) -> Option<bool> {
        let at = u64::from(now);
        if self
            .scenario
            .deployment
            .iter()
            .any(|deployment| deployment.at.as_secs() == at)
        {
            self.fleet.deploy();
            self.deploying.push((now, None));
        }
        if !self.fleet.workers.iter().any(|worker| worker.old) {
            for (since, took) in &mut self.deploying {
                took.get_or_insert(now - *since);
            }
        }
        for spot in &self.scenario.spot {
            if (spot.from.as_secs()..spot.until.as_secs()).contains(&at) {
                self.fleet.reclaim(now, spot.per_worker_hour / 3_600.0);
            }
        }
        let down = self.scenario.outage.iter().any(|outage| {
            (outage.at.as_secs()..(outage.at + outage.lasts).as_secs()).contains(&at)
        });
        let changed = (down == self.redis).then_some(!down);
        self.redis = !down;
        changed
    }

    fn end_tasks(&mut self, now: u32) {
        let mut killed = Vec::new();
        for worker in &mut self.fleet.workers {
            worker.running.retain(|(end, _)| *end > now);
            if let Some((kill, cause)) = worker.stop
                && (now >= kill || !worker.up)
            {
                if worker.exposed && cause != Cause::Spot {
                    self.outcome.killed_unprotected += count(worker.running.len());
                }
                killed.extend(worker.running.drain(..).map(|(_, task)| (task, cause)));
            }
        }
        // A worker that was told to stop is gone once it has nothing to run.
        self.fleet
            .workers
            .retain(|worker| worker.stop.is_none() || !worker.running.is_empty());
        for (task, cause) in killed {
            match cause {
                Cause::ScaleIn => self.outcome.killed_by_scale_in += 1,
                Cause::Deployment => self.outcome.killed_by_deployment += 1,
                Cause::Spot => self.outcome.killed_by_spot += 1,
            }
            self.orphans += 1;
            if self.started[task] < TRIES {
                self.again.entry(now + MISSED).or_default().push(task);
            }
        }
    }

    fn queue_tasks(&mut self, now: u32) {
        while self.tasks.get(self.next).is_some_and(|task| task.at <= now) {
            self.queue.push_back(self.next);
            self.next += 1;
        }
        while let Some(entry) = self.again.first_entry().filter(|entry| *entry.key() <= now) {
            self.queue.extend(entry.remove());
        }
    }

    fn start_tasks(&mut self, now: u32) {
        while self.redis && !self.queue.is_empty() {
            let Some(worker) = self.fleet.pick(now) else {
                return;
            };
            let Some(task) = self.queue.pop_front() else {
                return;
            };
            let arrival = self.tasks[task];
            self.started[task] += 1;
            if self.started[task] == 1 {
                self.outcome.waits.push(now - arrival.at);
            }
            self.fleet.workers[worker]
                .running
                .push((now + arrival.runs, task));
        }
    }

    fn finish(mut self, now: u32) -> Outcome {
        self.weather(now);
        self.outcome.waits.sort_unstable();
        self.outcome.deployments = self.deploying.iter().map(|(_, took)| *took).collect();
        self.outcome.unstarted =
            count(self.started.iter().filter(|started| **started == 0).count());
        self.outcome
    }
}

impl Outcome {
    /// The wait that so many percent of the tasks do not exceed, in seconds; 0 without tasks.
    pub fn wait(&self, percent: usize) -> u32 {
        let rank = (self.waits.len() * percent).div_ceil(100).max(1);
        self.waits.get(rank - 1).copied().unwrap_or(0)
    }

    /// Hours of all workers.
    #[expect(clippy::cast_precision_loss, reason = "2^53 seconds are not reached")]
    pub fn worker_hours(&self) -> f64 {
        self.worker_seconds as f64 / 3_600.0
    }

    /// Tasks killed by what a policy answers for: scale-in and deployments.
    pub fn killed(&self) -> u32 {
        self.killed_by_scale_in + self.killed_by_deployment
    }
}
