//! What the machine is told.

use std::time::Duration;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed. Wanted about once a second.
    Tick,
    /// The agent protects this task until then.
    Granted(Duration),
    /// The agent refused with `DEPLOYMENT_BLOCKED`: more tasks are protected than are desired.
    Blocked,
    /// The agent refused for another reason, or did not answer in time.
    Denied,
    /// The agent protects this task no more.
    Freed,
    /// The agent refused to release, or did not answer: protection is unknown.
    NotFreed,
    /// The worker says that it cancelled. A blocking pop under way may still take a task.
    Cancelled,
    /// The worker says that it added its consumers.
    Added,
    /// What the worker says of itself.
    Seen(Look),
    /// The worker says that it shuts down.
    Leaves,
    /// The worker did not answer in time.
    Silent,
    /// The worker has just come up, or came up again: it consumes.
    Online,
    /// The connection to Redis is gone; the worker's may be too.
    Lost,
    /// The connection to Redis is there again.
    Back,
    /// Where this worker stands against the target.
    Standing(Verdict),
    /// Whether the revision that is wanted is another than this task's; none where nobody says.
    Outdated(Option<bool>),
}

/// What a worker says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// How much of what it should consume it does.
    pub consuming: Consuming,
    /// Tasks that are active, reserved or scheduled.
    pub tasks: u32,
}

/// How much of what a worker should consume it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consuming {
    /// No queue.
    Nothing,
    /// Some of its queues.
    Some,
    /// Each of its queues.
    All,
}

/// Where a worker stands against the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The target wants it.
    Stay,
    /// The target is below its rank.
    Leave,
    /// There is no target: nobody drains.
    Unknown,
}
