//! Protection beside one worker: it takes tasks only while its ECS task is protected.
//!
//! [`Machine`] decides, and is pure: it takes events and answers with actions. [`Keeper`] acts: it asks
//! the ECS agent and the worker's remote control, and returns exactly one event for each action; a call
//! that runs into its time limit is an event too, and an answer that comes later is dropped.
//!
//! One window is left open. ECS ends a task whose container waits for a dependency for minutes, so that
//! after 60 s without protection the worker may start, and a worker of Celery consumes from its first
//! moment: it says that it comes up, then in one turn of its loop begins to listen and asks for a task.
//! No message can wait for it (kombu's remote control is Redis's publish and subscribe, without a
//! mailbox), so it is told to stop as soon as Redis counts one listener more. What it takes in those
//! milliseconds runs unprotected until protection is granted: up to as many tasks as it has slots (2 of
//! 2, 9 to 16 of 16 with a full queue and Celery 5.6). A worker that is started with a queue
//! that nobody fills (`--queues trimtab.hold`), beside `protect --queues` with those that it is to
//! serve, leaves no window: it is given its queues once it is protected.

mod actions;
mod board;
mod events;
mod keeper;
mod machine;
mod plan;
mod remote;
mod revision;
mod run;
mod standing;
mod wire;

#[cfg(test)]
mod rows;
#[cfg(test)]
mod simulation;

pub use self::actions::Action;
pub use self::board::{Board, View};
pub use self::events::{Consuming, Event, Look, Verdict};
pub use self::keeper::Keeper;
pub use self::machine::{ADDS, MARGIN, Machine, POP, Pace, Rules, State, Why};
pub use self::plan::{Inside, Plan};
pub use self::remote::Remote;
pub use self::revision::Wanted;
pub use self::run::run;
pub use self::standing::{Hint, verdict};
pub use self::wire::{Heard, Standing, Wire};
