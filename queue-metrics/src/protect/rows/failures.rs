//! Each failure in each state, for two minutes, and the end of it.
//!
//! | fails | asking | working | draining | releasing | released | exposed | leaving |
//! |---|---|---|---|---|---|---|---|
//! | the agent refuses, or does not answer | stays | stays | stays | stays | stays | stays | stays |
//! | it refuses with `DEPLOYMENT_BLOCKED` | stays | draining | stays | stays | stays | stays | stays |
//! | the worker does not answer | working | stays | stays | released | stays | working | stays |
//! | Redis is away | working | stays | stays | released | stays | working | stays |
//! | the worker dies, another comes up and takes a task | working | stays | stays | draining | draining | working | stays |
//! | `protect` dies | working | stays | stays | released | released | working | draining |
//! | and then all is well again | working | working | released | released | released | working | stays |
//!
//! In none of them protection is given back while a task runs, or a worker given its queues while it is
//! not protected. The agent answers where it is not what fails, so that what waited for it goes on. Two
//! end otherwise: who drained because of `DEPLOYMENT_BLOCKED` is released, and works again only after the
//! deny limit; and the successor of a `protect` that died in leaving does not know that it was: it drains.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    AgentDenies,
    AgentBlocks,
    WorkerSilent,
    RedisAway,
    WorkerAnew,
    ProtectDies,
}

/// An agent, a worker and Redis around the machine.
struct World {
    bench: Bench,
    /// How the agent refuses to protect; it then fails to release too.
    refusal: Option<Event>,
    redis: bool,
    answers: bool,
    consuming: Consuming,
    tasks: u32,
    protected: bool,
    /// What is told to whoever comes after a `protect` that died.
    wish: Option<Event>,
}

impl World {
    fn new(refusal: Option<Event>) -> Self {
        let mut world = Self {
            bench: Bench::new(),
            refusal,
            redis: true,
            answers: true,
            consuming: Consuming::Nothing,
            tasks: 0,
            protected: false,
            wish: None,
        };
        world.live(60);
        world
    }

    fn working() -> Self {
        let mut world = Self::new(None);
        world.is("working");
        world.tasks = 1;
        world
    }

    fn draining() -> Self {
        let mut world = Self::working();
        world.wish(LEAVE);
        world.live(15);
        world.is("draining");
        world
    }

    fn releasing() -> Self {
        let mut world = Self::draining();
        (world.tasks, world.refusal) = (0, Some(Event::Denied));
        world.live(15);
        world.is("releasing");
        world.refusal = None;
        world
    }

    fn in_state(name: &str) -> Self {
        let world = match name {
            "asking" => Self::new(Some(Event::Denied)),
            "working" => Self::working(),
            "draining" => Self::draining(),
            "releasing" => Self::releasing(),
            "released" => {
                let mut world = Self::releasing();
                world.live(15);
                world
            }
            "exposed" => {
                let mut world = Self::new(Some(Event::Denied));
                world.live(DENY);
                world.tasks = 1;
                world
            }
            _ => {
                let mut world = Self::working();
                world.tell(Event::Lost);
                world.tell(Event::Back);
                world.wish(OUTDATED);
                world.live(30);
                world.answers = false;
                world
            }
        };
        world.is(name);
        world
    }

    fn fail(&mut self, failure: Failure) {
        self.refusal = None;
        match failure {
            Failure::AgentDenies => self.refusal = Some(Event::Denied),
            Failure::AgentBlocks => self.refusal = Some(Event::Blocked),
            Failure::WorkerSilent => self.answers = false,
            Failure::RedisAway => {
                self.redis = false;
                self.tell(Event::Lost);
            }
            Failure::WorkerAnew => {
                (self.consuming, self.tasks) = (Consuming::All, 1);
                self.tell(Event::Online);
            }
            Failure::ProtectDies => {
                let now = Duration::from_secs(self.bench.now);
                self.bench.machine = Machine::new(now, Rules::new(Duration::from_secs(DENY)));
                if let Some(wish) = self.wish {
                    self.tell(wish);
                }
            }
        }
        self.live(120);
    }

    fn recover(&mut self) {
        if !self.redis {
            self.redis = true;
            self.tell(Event::Back);
        }
        self.refusal = None;
        // One that shuts down says nothing more.
        self.answers |= !matches!(self.bench.machine.state(), State::Leaving);
        self.tasks = 0;
        self.live(200);
    }

    fn wish(&mut self, wish: Event) {
        self.wish = Some(wish);
        self.tell(wish);
    }

    fn tell(&mut self, event: Event) {
        self.bench.asked.clear();
        self.bench.tell(event);
        self.serve();
    }

    fn live(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.bench.wait(1);
            self.serve();
        }
    }

    fn serve(&mut self) {
        while !self.bench.asked.is_empty() {
            let action = self.bench.asked.remove(0);
            let answer = self.answer(action);
            self.bench.tell(answer);
        }
    }

    fn answer(&mut self, action: Action) -> Event {
        match (action, self.refusal) {
            (Action::Protect, Some(refusal)) => return refusal,
            (Action::Protect, None) => {
                self.protected = true;
                return Event::Granted(Duration::from_secs(self.bench.now + LEASE));
            }
            (Action::Release, Some(_)) => return Event::NotFreed,
            (Action::Release, None) => {
                assert_eq!(self.tasks, 0, "a task runs");
                self.protected = false;
                return Event::Freed;
            }
            _ if !self.answers || !self.redis => return Event::Silent,
            _ => {}
        }
        match action {
            Action::Add => {
                let exposed = self.bench.machine.unprotected();
                assert!(self.protected || exposed, "it is not protected");
                self.consuming = Consuming::All;
                Event::Added
            }
            Action::Cancel => {
                self.consuming = Consuming::Nothing;
                Event::Cancelled
            }
            Action::Shutdown => Event::Leaves,
            _ => seen(self.consuming, self.tasks),
        }
    }

    fn is(&self, name: &str) {
        assert_eq!(self.name(), name);
    }

    fn name(&self) -> String {
        let state = format!("{:?}", self.bench.machine.state());
        let name = state.split('(').next().unwrap_or_default();
        name.to_lowercase()
    }
}

const STATES: [&str; 7] = [
    "asking",
    "working",
    "draining",
    "releasing",
    "released",
    "exposed",
    "leaving",
];
/// In the end.
const WELL: [&str; 7] = [
    "working", "working", "released", "released", "released", "working", "leaving",
];

fn leads_to(failure: Failure, states: [&str; 7]) {
    for ((from, to), well) in STATES.into_iter().zip(states).zip(WELL) {
        let mut world = World::in_state(from);
        world.fail(failure);
        assert_eq!(world.name(), to, "{failure:?} in {from}");
        world.recover();
        let well = match (failure, from) {
            (Failure::AgentBlocks, "working") | (Failure::ProtectDies, "leaving") => "released",
            _ => well,
        };
        assert_eq!(world.name(), well, "after {failure:?} in {from}");
    }
}

#[test]
fn an_agent_that_refuses_or_does_not_answer_changes_no_state() {
    leads_to(Failure::AgentDenies, STATES);
}

#[test]
fn an_agent_that_refuses_because_of_a_deployment_drains_who_works() {
    let [asking, _, rest @ ..] = STATES;
    let [draining, releasing, released, exposed, leaving] = rest;
    leads_to(
        Failure::AgentBlocks,
        [
            asking, draining, draining, releasing, released, exposed, leaving,
        ],
    );
}

#[test]
fn a_worker_that_does_not_answer_is_neither_released_while_it_may_run_a_task_nor_given_work() {
    for failure in [Failure::WorkerSilent, Failure::RedisAway] {
        leads_to(
            failure,
            [
                "working", "working", "draining", "released", "released", "working", "leaving",
            ],
        );
    }
}

#[test]
fn a_worker_that_takes_the_place_of_a_dead_one_is_protected_whatever_it_took() {
    leads_to(
        Failure::WorkerAnew,
        [
            "working", "working", "draining", "draining", "draining", "working", "leaving",
        ],
    );
}

#[test]
fn the_successor_of_a_protect_that_died_goes_on_from_what_it_finds() {
    leads_to(
        Failure::ProtectDies,
        [
            "working", "working", "draining", "released", "released", "working", "draining",
        ],
    );
}
