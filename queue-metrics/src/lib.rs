//! How many Celery workers are wanted, for autoscaling from zero, and protection for those that work.
//!
//! What decides is pure, with values and the clock as arguments: [`demand`] turns samples into a
//! target, [`protect`] turns events into actions, and [`simulate`] replays loads against both.

pub mod broker;
pub mod demand;
pub mod metrics;
pub mod once;
pub mod program;
pub mod protect;
pub mod settings;
pub mod simulate;
pub mod watch;
pub mod witness;
