//! A small ECS with workers that go wrong at random, around the real machine.
//!
//! The clock moves by half a second. Calls take time, fail, and some that were given up are carried out
//! later. What is asserted is of the world, not of the machine.

use super::*;
use fastrand::Rng;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(500);
const RULES: Rules = Rules::new(Duration::from_secs(600));
const LEASE: Duration = Duration::from_secs(2_880 * 60);
const SLOTS: usize = 4;

/// How the world is.
#[derive(Clone, Copy)]
struct Nature {
    /// Share of calls to the agent that fail, half of them without an answer.
    agent_fails: f64,
    /// Share of remote-control commands without an answer.
    worker_fails: f64,
    /// Redis goes away about so often.
    redis_cut: Option<Duration>,
    /// Whether a deployment writes the revision that it wants.
    revisions: bool,
    /// Tasks that come each second.
    load: f64,
}

const KIND: Nature = Nature {
    agent_fails: 0.0,
    worker_fails: 0.0,
    redis_cut: None,
    revisions: true,
    load: 0.5,
};
const HARSH: Nature = Nature {
    agent_fails: 0.15,
    worker_fails: 0.15,
    redis_cut: Some(Duration::from_secs(240)),
    ..KIND
};

struct Worker {
    name: String,
    machine: Machine,
    old: bool,
    protected: bool,
    /// Applied when its time comes: calls that the caller gave up.
    late: Vec<(Duration, bool)>,
    running: Vec<Duration>,
    /// Counted although ended.
    stale: u32,
    up: bool,
    consuming: bool,
    /// A blocking pop that was under way when the consumers were cancelled.
    popping_until: Duration,
    touched: bool,
    first_cancel: Option<Duration>,
    stuck: bool,
    leaving: bool,
    pending: Vec<(Duration, Option<Action>, Event)>,
    was_exposed: bool,
}

struct World {
    rng: Rng,
    nature: Nature,
    now: Duration,
    workers: Vec<Worker>,
    desired: usize,
    target: u32,
    waiting: usize,
    redis_down_until: Duration,
    redis_up: bool,
    deploying: bool,
    born: usize,
    killed: usize,
    exposed_runs: usize,
    taken_at_boot: usize,
    finished: usize,
}

impl World {
    fn new(seed: u64, nature: Nature, workers: usize) -> Self {
        let mut world = Self {
            rng: Rng::with_seed(seed),
            nature,
            now: Duration::ZERO,
            workers: Vec::new(),
            desired: workers,
            target: u32::try_from(workers).expect("few"),
            waiting: 0,
            redis_down_until: Duration::ZERO,
            redis_up: true,
            deploying: false,
            born: 0,
            killed: 0,
            exposed_runs: 0,
            taken_at_boot: 0,
            finished: 0,
        };
        world.staff();
        world
    }

    fn staff(&mut self) {
        let current = self.workers.iter().filter(|worker| !worker.old).count();
        for _ in current..self.desired {
            self.born += 1;
            self.workers.push(Worker {
                name: format!("celery@{:03}", self.born),
                machine: Machine::new(self.now, RULES),
                old: false,
                protected: false,
                late: Vec::new(),
                running: Vec::new(),
                stale: 0,
                up: false,
                consuming: false,
                popping_until: Duration::ZERO,
                touched: false,
                first_cancel: None,
                stuck: false,
                leaving: false,
                pending: Vec::new(),
                was_exposed: false,
            });
        }
    }

    fn deploy(&mut self) {
        self.deploying = true;
        self.workers.iter_mut().for_each(|worker| worker.old = true);
        self.staff();
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            self.tick();
        }
    }

    /// Runs until it holds, or says that it did not within the time.
    fn until(&mut self, seconds: u64, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end && !holds(self) {
            self.tick();
        }
        holds(self)
    }

    fn tick(&mut self) {
        self.now += TICK;
        let was_up = self.redis_up;
        if let Some(mean) = self.nature.redis_cut
            && self.redis_up
            && self.rng.f64() < TICK.as_secs_f64() / mean.as_secs_f64()
        {
            self.redis_down_until = self.now + Duration::from_secs(self.rng.u64(1..40));
        }
        self.redis_up = self.now >= self.redis_down_until;
        if self.rng.f64() < self.nature.load * TICK.as_secs_f64() {
            self.waiting += 1;
        }
        self.ecs();
        let live: Vec<(String, u64)> = self
            .workers
            .iter()
            .filter(|worker| worker.up && !worker.leaving)
            .map(|worker| (worker.name.clone(), worker.running.len() as u64))
            .collect();
        let protected = self
            .workers
            .iter()
            .filter(|worker| worker.protected)
            .count();
        for index in 0..self.workers.len() {
            let mut worker = self.workers.swap_remove(index);
            self.work(&mut worker, was_up);
            self.drive(&mut worker, &live, protected, was_up);
            self.workers.push(worker);
            let last = self.workers.len() - 1;
            self.workers.swap(index, last);
        }
        self.check();
    }

    /// Stops what is unprotected and too many, old ones first, once as many new ones run.
    fn ecs(&mut self) {
        let (now, killed) = (self.now, &mut self.killed);
        let new = self
            .workers
            .iter()
            .filter(|worker| !worker.old && worker.up)
            .count();
        let desired = self.desired;
        let mut surplus = self
            .workers
            .iter()
            .filter(|worker| !worker.old)
            .count()
            .saturating_sub(desired);
        self.workers.retain(|worker| {
            let goes = !worker.protected
                && if worker.old {
                    new >= desired.min(1)
                } else {
                    surplus > 0
                };
            if goes {
                surplus -= usize::from(!worker.old);
                *killed += if worker.was_exposed {
                    0
                } else {
                    worker.running.len()
                };
                assert!(
                    worker.running.is_empty() || worker.was_exposed,
                    "{now:?} {} killed",
                    worker.name
                );
            }
            // A worker that shut down ends its ECS task.
            !goes && (!worker.leaving || !worker.running.is_empty())
        });
        if self.deploying && !self.workers.iter().any(|worker| worker.old) {
            self.deploying = false;
        }
        self.staff();
    }

    fn work(&mut self, worker: &mut Worker, was_up: bool) {
        if !worker.up && worker.machine.healthy(self.now) {
            worker.up = true;
            worker.consuming = true;
        }
        let before = worker.running.len();
        worker.running.retain(|end| *end > self.now);
        self.finished += before - worker.running.len();
        if was_up && !self.redis_up {
            if self.rng.f64() < 0.3 {
                worker.stale += u32::try_from(worker.running.len()).expect("few");
            }
            worker.stuck |= worker.touched && self.rng.f64() < 0.3;
        }
        let takes = (worker.consuming && !worker.stuck) || self.now < worker.popping_until;
        if takes
            && worker.up
            && !worker.leaving
            && self.redis_up
            && worker.running.len() < SLOTS
            && self.waiting > 0
            && self.rng.f64() < 0.5
        {
            self.waiting -= 1;
            // It comes up with its consumers on, 60 s after protection was first refused: what it takes
            // before the first cancel is the one gap that the rule leaves.
            let first = !worker.touched || worker.first_cancel == Some(worker.popping_until);
            if !worker.protected && first && worker.machine.state() == State::Asking {
                worker.was_exposed = true;
                self.taken_at_boot += 1;
            }
            let seconds = self.rng.u64(1..60);
            worker.running.push(self.now + Duration::from_secs(seconds));
        }
    }

    fn drive(
        &mut self,
        worker: &mut Worker,
        live: &[(String, u64)],
        protected: usize,
        was_up: bool,
    ) {
        let mut events = vec![Event::Tick];
        if was_up != self.redis_up {
            events.push(if self.redis_up {
                Event::Back
            } else {
                Event::Lost
            });
        }
        for (at, protect) in std::mem::take(&mut worker.late) {
            match at <= self.now {
                true => worker.protected = protect,
                false => worker.late.push((at, protect)),
            }
        }
        let hint = self.redis_up.then_some(Hint {
            workers_target: self.target,
        });
        let live = live.iter().map(|(name, active)| (name.as_str(), *active));
        events.push(Event::Standing(verdict(&worker.name, live, hint)));
        let outdated = self.nature.revisions.then_some(worker.old);
        events.push(Event::Outdated(outdated));
        for (at, action, event) in std::mem::take(&mut worker.pending) {
            match at <= self.now {
                true => events.push(self.answer(worker, action, event)),
                false => worker.pending.push((at, action, event)),
            }
        }
        for event in events {
            for action in worker.machine.step(self.now, event) {
                self.act(worker, action, protected);
            }
        }
    }

    fn check(&mut self) {
        for worker in &mut self.workers {
            worker.was_exposed |= worker.machine.state() == State::Exposed;
            if worker.protected && worker.machine.state() == State::Working {
                worker.was_exposed = false;
            }
            if !worker.running.is_empty() && !worker.protected {
                assert!(
                    worker.was_exposed,
                    "{:?} {} runs unprotected in {:?}",
                    self.now,
                    worker.name,
                    worker.machine.state()
                );
                self.exposed_runs += 1;
            }
        }
    }
}

mod calls;
mod runs;
