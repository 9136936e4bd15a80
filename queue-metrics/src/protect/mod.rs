//! Protection beside one worker: it takes tasks only while its ECS task is protected.
//!
//! Pure: [`Machine`] takes events and answers with actions. What acts asks the ECS agent and the
//! worker's remote control, and returns exactly one event for each action; a call that runs into its
//! time limit is an event too, and an answer that comes later is dropped.

mod actions;
mod events;
mod machine;
mod standing;

#[cfg(test)]
mod rows;
#[cfg(test)]
mod simulation;

pub use self::actions::Action;
pub use self::events::{Consuming, Event, Look, Verdict};
pub use self::machine::{
    ADDS, HEALTHY_AFTER, LATE, MARGIN, Machine, POP, Rules, STEADY, State, Why,
};
pub use self::standing::{Hint, hint_key, verdict};
