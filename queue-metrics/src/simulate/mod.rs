//! Replays a load against scaling policies: a model of queue, CloudWatch, ECS and workers around the
//! real decision code of [`crate::demand`] and [`crate::protect`].
//!
//! The clock moves by a second, the finest time that any rule here has. Randomness comes from the
//! scenario's seed: the same scenario gives the same figures, and every policy the same tasks.
//!
//! What is left out: a Fargate that has no capacity, a scheduler that is slow, tasks that fail.

mod alarms;
mod command;
mod fleet;
mod load;
mod model;
mod plot;
mod policy;
mod report;
mod scenario;
#[cfg(test)]
mod tests;

pub use self::command::answer;
pub use self::load::{Arrival, arrivals};
pub use self::model::{Outcome, Point, run};
pub use self::plot::svg;
pub use self::policy::Kind;
pub use self::report::{json, summary, table};
pub use self::scenario::{SHIPPED, Scenario, StartOn};
