//! A place for one ECS task after another, and what ECS, the target and bad luck do to it.

#![allow(unreachable_pub, reason = "a module of a test binary")]

mod tally;
mod trouble;

pub use self::tally::Tally;

use self::trouble::Trouble;
use super::protect::{Fleet, LONG, Task};
use agent::redis::{Pidbox, Target, connect};
use fastrand::Rng;
use std::time::{Duration, Instant};
use testkit::proxy::Proxy;
use tokio::task::JoinHandle;

/// Seconds that a task takes at most: some outlast the wait for the blocking pop.
const LONGEST: f64 = 3.0;
/// ECS stops what is unprotected after so long at the latest: what was released for a deployment comes
/// back only after the deny limit.
const STOPPED_AFTER: Duration = Duration::from_secs(5);
/// A worker that stays in one phase for so long, while nothing fails, is pinged by the one on call.
const CHECKED_AFTER: Duration = Duration::from_secs(8);

/// How far its worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits for `protect` to be healthy.
    Waits,
    /// Python comes up.
    Boots,
    Lives,
}

/// One ECS task, and after its end the next one.
pub struct Place {
    pub task: Task,
    index: usize,
    generation: usize,
    harsh: bool,
    stage: Stage,
    /// When something is done to it next.
    next: Instant,
    drains: usize,
    /// Something failed since it began to drain.
    failed: bool,
    /// Since when it is known to be released.
    released: Option<Instant>,
    /// The phase it is in, and since when.
    phase: (String, Instant),
    trouble: Trouble,
    /// Whether its worker is deaf, once that is known.
    checks: Option<JoinHandle<bool>>,
    /// Its worker's way to the broker, and `protect`'s.
    ways: [Proxy; 2],
}

impl Place {
    pub fn new(fleet: &Fleet, rng: &mut Rng, index: usize, harsh: bool) -> Self {
        Self::hire(fleet, rng, index, 0, harsh)
    }

    /// An ECS task starts: `protect` first.
    fn hire(fleet: &Fleet, rng: &mut Rng, index: usize, generation: usize, harsh: bool) -> Self {
        let name = format!("t{index}-{generation}");
        fleet.target(&name, 1);
        let ways = [(); 2].map(|()| Proxy::start(fleet.redis.port()));
        // While the agent fails, nobody is to work unprotected. After a deployment a worker waits as long
        // before it asks again.
        let deny_limit = if harsh { "10m" } else { "3s" };
        let task = Task::start(fleet, &name, &url(&ways[1]), deny_limit);
        let mut place = Self {
            task,
            index,
            generation,
            harsh,
            stage: Stage::Waits,
            next: Instant::now(),
            drains: 0,
            failed: false,
            released: None,
            phase: (String::new(), Instant::now()),
            trouble: Trouble::none(rng),
            checks: None,
            ways,
        };
        if harsh && place.starts_on_hold() && rng.bool() {
            // Its worker starts unprotected.
            place.refuse_at_first();
        }
        place
    }

    fn refuse_at_first(&mut self) {
        self.trouble.refuse(&self.task, Duration::from_secs(4));
    }

    /// Every other worker starts on the queue that nobody fills.
    fn starts_on_hold(&self) -> bool {
        (self.index + self.generation).is_multiple_of(2)
    }

    /// What happens now. Returns the ECS task that ended, if one did.
    pub async fn step(
        &mut self,
        fleet: &mut Fleet,
        rng: &mut Rng,
        tally: &mut Tally,
    ) -> Option<Task> {
        self.note(tally);
        self.trouble.end(&self.task, &self.ways);
        let stage = self.stage;
        match stage {
            Stage::Waits if self.task.healthy() => {
                let queue = match self.starts_on_hold() {
                    true => "trimtab.hold",
                    false => "default",
                };
                let (name, way) = (&self.task.name, url(&self.ways[0]));
                self.task.worker = Some(fleet.worker_by(&way, name, "threads", 2, queue));
                self.stage = Stage::Boots;
                self.next = Instant::now() + LONG;
            }
            Stage::Boots if fleet.is_ready(&self.task.name) => {
                self.stage = Stage::Lives;
                self.next = Instant::now() + Duration::from_millis(rng.u64(500..3_000));
                fleet.load(30, LONGEST);
            }
            Stage::Boots if self.next <= Instant::now() => panic!("{}", self.standing()),
            Stage::Waits | Stage::Boots => {}
            Stage::Lives if self.is_over(fleet, rng, tally).await => {
                return Some(self.replace(fleet, rng));
            }
            Stage::Lives if self.next <= Instant::now() => {
                self.next = Instant::now() + Duration::from_millis(rng.u64(100..1_000));
                self.order(fleet, rng);
            }
            Stage::Lives => {}
        }
        if self.harsh && self.stage == Stage::Lives && self.trouble.is_due() {
            let phase = self.phase.0.clone();
            self.failed |= phase == "draining" || phase == "releasing";
            let kind = self.trouble.begin(fleet, &mut self.task, &self.ways, rng);
            tally.failed(kind, &phase);
        }
        None
    }

    /// In words, where it does not get on.
    pub fn standing(&self) -> String {
        format!(
            "\n{} {:?}, {} for {:.0?}, fails: {}, reason: {:?}",
            self.task.name,
            self.stage,
            self.phase.0,
            self.phase.1.elapsed(),
            self.trouble.name(),
            self.task.status.state().reason
        )
    }

    fn note(&mut self, tally: &mut Tally) {
        let phase = self.task.phase();
        if self.phase.0 != phase {
            self.failed &= phase != "working";
            self.phase = (phase, Instant::now());
        }
        let history = self.task.agent.history();
        let drains = history.iter().filter(|(_, protected)| !protected).count();
        if drains > self.drains {
            tally.drains += drains - self.drains;
            tally.drains_in_trouble += usize::from(self.failed);
            self.drains = drains;
        }
    }

    /// Whether its worker is at its end: it shut down, ECS stopped it, or it was found deaf.
    async fn is_over(&mut self, fleet: &mut Fleet, rng: &mut Rng, tally: &mut Tally) -> bool {
        let pid = self.task.worker.unwrap();
        if self.phase.0 == "leaving" && fleet.is_gone(pid) {
            tally.left += 1;
            return true;
        }
        let unprotected = self.phase.0 == "released" && !self.task.agent.is_protected();
        let first = unprotected && self.released.is_none();
        self.released = unprotected.then(|| self.released.unwrap_or_else(Instant::now));
        let waited = self
            .released
            .is_some_and(|since| since.elapsed() > STOPPED_AFTER);
        if waited || (first && rng.f64() < 0.25) {
            // ECS stops what is unprotected without asking.
            fleet.signal(pid, "SIGKILL");
            tally.stopped += 1;
            return true;
        }
        if self.harsh && self.is_deaf(fleet).await {
            fleet.signal(pid, "SIGKILL");
            tally.deaf += 1;
            return true;
        }
        false
    }

    /// Whether its worker was found to answer nobody. One whose connection is cut while it answers a
    /// command of remote control may never listen, work or end again (seen with Celery 5.6): `protect`
    /// keeps it protected, because nobody can tell what it does, and whoever is on call stops it.
    async fn is_deaf(&mut self, fleet: &Fleet) -> bool {
        match &mut self.checks {
            Some(checks) if checks.is_finished() => {
                let deaf = checks.await.unwrap();
                self.checks = None;
                self.phase.1 = Instant::now();
                deaf && self.trouble.is_over()
            }
            Some(_) => false,
            None => {
                if self.phase.1.elapsed() > CHECKED_AFTER && self.trouble.is_over() {
                    let worker = format!("celery@{}", self.task.name);
                    self.checks = Some(tokio::spawn(answers_nobody(fleet.redis.url(), worker)));
                }
                false
            }
        }
    }

    /// The next ECS task; returns the one that ended, `protect` with it.
    fn replace(&mut self, fleet: &Fleet, rng: &mut Rng) -> Task {
        self.task.keeping.abort();
        let next = Self::hire(fleet, rng, self.index, self.generation + 1, self.harsh);
        std::mem::replace(self, next).task
    }

    /// A scale-in, a deployment, or the end of either, mostly where it makes a difference.
    fn order(&mut self, fleet: &Fleet, rng: &mut Rng) {
        let name = &self.task.name;
        let leave = match self.phase.0.as_str() {
            "working" => rng.f64() < 0.8,
            "released" => rng.f64() < 0.2,
            _ if rng.f64() < 0.8 => return,
            _ => rng.bool(),
        };
        match (leave, rng.f64() < 0.3) {
            (true, true) => drop(self.task.wanted.send_replace(Some(true))),
            (true, false) => fleet.target(name, 0),
            (false, _) => {
                fleet.target(name, 1);
                self.task.wanted.send_replace(Some(false));
            }
        }
        // With one that waits, most are taken by a blocking pop that was under way.
        fleet.load([1, 30][rng.usize(0..2)], LONGEST);
    }
}

async fn answers_nobody(url: String, worker: String) -> bool {
    let target = Target::parse(&url).unwrap();
    for _ in 0..3 {
        let Ok(mut connection) = connect(&target, LONG).await else {
            continue;
        };
        let (limit, unique) = (Duration::from_secs(2), format!("{:x}", fastrand::u64(..)));
        let pidbox = Pidbox::default();
        let none = serde_json::json!({});
        let pong = pidbox.ask(&mut connection, &worker, "ping", none, limit, &unique);
        if matches!(pong.await, Ok(Some(_))) {
            return false;
        }
    }
    true
}

fn url(way: &Proxy) -> String {
    format!("redis://127.0.0.1:{}/0", way.port())
}
