//! The workers of the model, each with the real machine of `protect` where the policy has it.

use super::policy::Kind;
use super::scenario::{Service, StartOn};
use crate::protect::{Action, Consuming, Event, Hint, Look, Machine, Rules, verdict};
use fastrand::Rng;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(2_880 * 60);
const RULES: Rules = Rules::new(Duration::from_secs(600));

/// When a worker that shuts down by itself is killed.
const NEVER: u32 = u32::MAX;
/// How often `protect` says that its worker drains.
const SAID_EVERY: u32 = 5;

/// One worker.
pub(super) struct Worker {
    name: String,
    pub(super) old: bool,
    pub(super) ready_at: u32,
    pub(super) up: bool,
    /// `Some` is the queue that nobody fills.
    consuming: Consuming,
    /// A blocking pop that was under way when the consumers were cancelled.
    popping_until: u32,
    machine: Option<Machine>,
    answers: Vec<Event>,
    protected: bool,
    /// Told to stop; killed then.
    pub(super) stop: Option<(u32, Cause)>,
    /// It works without protection, which it was refused: after the deny limit, and where it comes up
    /// with its queues until the first cancel.
    pub(super) exposed: bool,
    /// When each task ends, and which it is.
    pub(super) running: Vec<(u32, usize)>,
}

/// Why a worker was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    ScaleIn,
    Deployment,
    Spot,
}

/// All workers, and what ECS does with them.
pub(super) struct Fleet {
    pub(super) workers: Vec<Worker>,
    pub(super) desired: u32,
    /// Workers that drain for a deployment, as they last said.
    pub(super) draining: u32,
    kind: Kind,
    service: Service,
    rng: Rng,
    born: usize,
}

impl Worker {
    /// Whether it takes a task now.
    pub(super) fn takes(&self, now: u32, slots: usize) -> bool {
        self.up
            && self.stop.is_none()
            && (self.consuming == Consuming::All || now < self.popping_until)
            && self.running.len() < slots
    }

    /// By itself: ECS counts it, and starts no other in its place, until it is gone.
    fn shuts_down(&self) -> bool {
        self.stop.is_some_and(|(kill, _)| kill == NEVER)
    }

    fn answer(&mut self, now: u32, action: Action, blocked: bool) -> Event {
        match action {
            Action::Protect if blocked => Event::Blocked,
            Action::Protect => {
                self.protected = true;
                Event::Granted(seconds(now) + LEASE)
            }
            Action::Release => {
                self.protected = false;
                Event::Freed
            }
            _ if !self.up => Event::Silent,
            Action::Cancel => {
                if self.consuming == Consuming::All {
                    self.popping_until = now + 1;
                }
                self.consuming = Consuming::Nothing;
                Event::Cancelled
            }
            Action::Add => {
                self.consuming = Consuming::All;
                Event::Added
            }
            Action::Look => Event::Seen(Look {
                consuming: self.consuming,
                tasks: u32::try_from(self.running.len()).unwrap_or(u32::MAX),
            }),
            Action::Shutdown => {
                self.consuming = Consuming::Nothing;
                self.stop.get_or_insert((NEVER, Cause::ScaleIn));
                Event::Leaves
            }
        }
    }
}

impl Fleet {
    pub(super) fn new(kind: Kind, service: &Service, seed: u64) -> Self {
        Self {
            workers: Vec::new(),
            desired: service.min,
            draining: 0,
            kind,
            service: service.clone(),
            rng: Rng::with_seed(seed ^ 0x5eed),
            born: 0,
        }
    }

    pub(super) fn live(&self) -> u32 {
        count(
            self.workers
                .iter()
                .filter(|worker| worker.up && worker.stop.is_none())
                .count(),
        )
    }

    pub(super) fn deploy(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.old = true);
    }

    /// Each worker gets its signal with the chance.
    pub(super) fn reclaim(&mut self, now: u32, chance: f64) {
        let kill = now + count(self.service.stop_timeout.as_secs() as usize);
        for worker in self
            .workers
            .iter_mut()
            .filter(|worker| worker.up && worker.stop.is_none())
        {
            if self.rng.f64() < chance {
                worker.stop = Some((kill, Cause::Spot));
            }
        }
    }

    /// One second of ECS: starts what is missing, stops what is too many and unprotected.
    pub(super) fn ecs(&mut self, now: u32) {
        let kill = now + count(self.service.stop_timeout.as_secs() as usize);
        let staying =
            |worker: &&Worker| !worker.old && (worker.stop.is_none() || worker.shuts_down());
        let current = count(self.workers.iter().filter(staying).count());
        for _ in current..self.desired {
            self.start(now);
        }
        let replaced = count(
            self.workers
                .iter()
                .filter(|worker| !worker.old && worker.up && worker.stop.is_none())
                .count(),
        ) >= self.desired;
        let surplus = current.saturating_sub(self.desired) as usize;
        let mut order: Vec<usize> = (0..self.workers.len()).collect();
        self.rng.shuffle(&mut order);
        // What does not run yet goes first.
        order.sort_by_key(|index| self.workers[*index].up);
        if self.kind.is_ideal() {
            order.sort_by_key(|index| self.workers[*index].running.len());
        }
        let mut surplus_left = surplus;
        for index in order {
            let ideal = self.kind.is_ideal();
            let worker = &mut self.workers[index];
            if worker.stop.is_some() {
                continue;
            }
            let leaves = if worker.old {
                replaced
            } else {
                surplus_left > 0
            };
            if ideal && worker.up {
                worker.consuming = match leaves {
                    true => Consuming::Nothing,
                    false => Consuming::All,
                };
            }
            if leaves {
                surplus_left -= usize::from(!worker.old);
            }
            let guarded = worker.protected || (ideal && !worker.running.is_empty());
            if leaves && !guarded {
                let cause = if worker.old {
                    Cause::Deployment
                } else {
                    Cause::ScaleIn
                };
                worker.stop = Some((kill, cause));
            } else if leaves && !ideal && !worker.old {
                // Protected: ECS stops another one, if it finds one.
                surplus_left += 1;
            }
        }
    }

    fn start(&mut self, now: u32) {
        let (from, to) = self.service.start;
        let ready_at = now + self.rng.u32(from..=to);
        self.born += 1;
        let machine = self.kind.protects();
        let takes_at_once = self.service.start_on == StartOn::Queues;
        self.workers.push(Worker {
            name: format!("celery@{:04}", self.born),
            old: false,
            ready_at,
            up: false,
            consuming: Consuming::Nothing,
            popping_until: 0,
            // The sidecar is there a little before its worker, which waits for it.
            machine: machine.then(|| Machine::new(seconds(ready_at.saturating_sub(5)), RULES)),
            answers: Vec::new(),
            protected: false,
            stop: None,
            exposed: machine && takes_at_once,
            running: Vec::new(),
        });
    }

    /// One second of every worker: come up, be protected, drain.
    pub(super) fn drive(&mut self, now: u32, redis: Option<bool>, target: Option<u32>) {
        let live: Vec<(String, u64)> = self
            .workers
            .iter()
            .filter(|worker| worker.up && worker.stop.is_none() && worker.machine.is_some())
            .map(|worker| (worker.name.clone(), worker.running.len() as u64))
            .collect();
        let mut protected = count(
            self.workers
                .iter()
                .filter(|worker| worker.protected)
                .count(),
        );
        let hint = target.map(|workers_target| Hint { workers_target });
        for worker in &mut self.workers {
            let before = worker.protected;
            let healthy = worker
                .machine
                .as_ref()
                .is_none_or(|machine| machine.healthy(seconds(now)));
            let comes_up = !worker.up && now >= worker.ready_at && healthy;
            if comes_up {
                let held = worker.machine.is_some() && self.service.start_on == StartOn::Hold;
                worker.up = true;
                worker.consuming = match held {
                    true => Consuming::Some,
                    false => Consuming::All,
                };
            }
            let Some(mut machine) = worker.machine.take() else {
                continue;
            };
            if now + 5 >= worker.ready_at && worker.stop.is_none() {
                let mut events = std::mem::take(&mut worker.answers);
                events.extend(comes_up.then_some(Event::Online));
                events.extend(redis.map(|up| if up { Event::Back } else { Event::Lost }));
                let ranked = live.iter().map(|(name, active)| (name.as_str(), *active));
                events.push(Event::Standing(verdict(&worker.name, ranked, hint)));
                events.push(Event::Outdated(Some(worker.old)));
                for event in events {
                    for action in machine.step(seconds(now), event) {
                        let more = protected + u32::from(!worker.protected);
                        let answer = worker.answer(now, action, more > self.desired);
                        worker.answers.push(answer);
                    }
                }
            }
            worker.exposed = (machine.unprotected() || worker.exposed) && !worker.protected;
            worker.machine = Some(machine);
            protected = protected + u32::from(worker.protected) - u32::from(before);
        }
        if now.is_multiple_of(SAID_EVERY) {
            let drains = |worker: &&Worker| {
                let machine = worker.machine.as_ref();
                worker.stop.is_none()
                    && machine.is_some_and(|machine| machine.state().drains_for_deployment())
            };
            self.draining = count(self.workers.iter().filter(drains).count());
        }
    }

    /// The worker that gets the next task: each that takes one is as likely.
    pub(super) fn pick(&mut self, now: u32) -> Option<usize> {
        let slots = self.service.concurrency as usize;
        let takers: Vec<usize> = (0..self.workers.len())
            .filter(|index| self.workers[*index].takes(now, slots))
            .collect();
        let picked = (!takers.is_empty()).then(|| takers[self.rng.usize(0..takers.len())])?;
        // The blocking pop that was under way takes one.
        self.workers[picked].popping_until = 0;
        Some(picked)
    }
}

pub(super) fn seconds(now: u32) -> Duration {
    Duration::from_secs(now.into())
}

pub(super) fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}
