//! What fails of one ECS task, one thing at a time: its agent, its ways to the broker, its `protect`.

use super::super::protect::{Fleet, Task};
use fastrand::Rng;
use std::time::{Duration, Instant};
use testkit::ecs::Behaviour;
use testkit::proxy::{Fault, Proxy};

/// Milliseconds from one to the next: a drain takes about five seconds, so that most meet one.
const PAUSE: std::ops::Range<u64> = 1_000..4_000;
/// Milliseconds that one lasts.
const LASTS: std::ops::Range<u64> = 200..2_500;

const SILENT: &str = "broker says nothing";

/// What is failing, or when something does next.
#[derive(Debug)]
pub struct Trouble {
    failing: Option<(&'static str, Instant)>,
    next: Instant,
    pause: Duration,
}

impl Trouble {
    pub fn none(rng: &mut Rng) -> Self {
        let pause = Duration::from_millis(rng.u64(PAUSE));
        Self {
            failing: None,
            next: Instant::now() + pause,
            pause,
        }
    }

    pub fn is_over(&self) -> bool {
        self.failing.is_none()
    }

    pub fn is_due(&self) -> bool {
        self.is_over() && self.next <= Instant::now()
    }

    /// What fails.
    pub fn name(&self) -> &'static str {
        self.failing.map_or("nothing", |(what, _)| what)
    }

    /// The agent fails for so long.
    pub fn refuse(&mut self, task: &Task, lasts: Duration) {
        let error = Behaviour::Fail(500, "ServerException".to_owned());
        task.agent.behave(error);
        self.failing = Some(("agent fails", Instant::now() + lasts));
    }

    /// Begins another one, and says which.
    pub fn begin(
        &mut self,
        fleet: &Fleet,
        task: &mut Task,
        [workers, protects]: &[Proxy; 2],
        rng: &mut Rng,
    ) -> &'static str {
        let lasts = Duration::from_millis(rng.u64(LASTS));
        self.pause = Duration::from_millis(rng.u64(PAUSE));
        let what = match rng.u32(0..10) {
            0 => {
                task.agent.behave(Behaviour::HangUp);
                "agent hangs up"
            }
            1 => {
                self.refuse(task, lasts);
                "agent fails"
            }
            2 => {
                task.agent.behave(Behaviour::Garbage(200));
                "agent answers garbage"
            }
            3 => {
                let delay = Duration::from_millis(rng.u64(300..1_500));
                task.agent.delay(delay);
                "agent is slow"
            }
            4 | 5 => {
                task.keep_anew(fleet);
                "protect is killed"
            }
            6 => {
                workers.cut();
                "worker is cut off"
            }
            7 => {
                protects.cut();
                "protect is cut off"
            }
            8 => {
                for way in [workers, protects] {
                    way.fault(Fault::Refuse);
                    way.cut();
                }
                "broker is away"
            }
            _ => {
                workers.fault(Fault::SilentAfter(0));
                protects.fault(Fault::SilentAfter(0));
                SILENT
            }
        };
        self.failing = Some((what, Instant::now() + lasts));
        what
    }

    /// Ends what has lasted long enough.
    pub fn end(&mut self, task: &Task, ways: &[Proxy; 2]) {
        let Some((what, _)) = self.failing.take_if(|(_, until)| *until <= Instant::now()) else {
            return;
        };
        task.agent.behave(Behaviour::Grant);
        task.agent.delay(Duration::ZERO);
        for way in ways {
            way.fault(Fault::None);
            if what == SILENT {
                // What was not said is not said later: such a connection only breaks.
                way.cut();
            }
        }
        self.next = Instant::now() + self.pause;
    }
}
