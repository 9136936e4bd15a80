//! What can be set, and how long things take.

use std::time::Duration;

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `--deny-limit`: how long a worker waits for protection before it works without.
    pub deny_limit: Duration,
    /// How long the rest takes.
    pub pace: Pace,
}

impl Rules {
    /// With the usual pace.
    pub const fn new(deny_limit: Duration) -> Self {
        Self {
            deny_limit,
            pace: Pace::USUAL,
        }
    }
}

/// How long things take. No option changes it: a value so that hundreds of drains of real workers fit
/// into a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two ticks.
    pub tick: Duration,
    /// How long a verdict must last, so that a heartbeat that is a moment old drains nobody.
    pub steady: Duration,
    /// Between two calls to the agent.
    pub renewal: Duration,
    /// The same after one that failed, where protection is waited for.
    pub retry: Duration,
    /// A call to the agent that was given up may still be carried out for this long.
    pub late: Duration,
    /// Between two looks at a worker that does as it should.
    pub check: Duration,
    /// Between two looks at one that is waited for.
    pub look: Duration,
    /// The same while it runs tasks.
    pub busy_look: Duration,
    /// For how long a worker may leave unanswered what it is asked, before people are told.
    pub silent: Duration,
    /// ECS ends a task whose dependencies are not healthy within a few minutes.
    pub healthy_after: Duration,
}

impl Pace {
    /// What it is outside tests.
    pub const USUAL: Self = Self {
        tick: Duration::from_secs(1),
        steady: Duration::from_secs(10),
        renewal: Duration::from_secs(60),
        retry: Duration::from_secs(10),
        late: Duration::from_secs(30),
        check: Duration::from_secs(30),
        look: Duration::from_secs(1),
        busy_look: Duration::from_secs(5),
        silent: Duration::from_secs(60),
        healthy_after: Duration::from_secs(60),
    };
}
