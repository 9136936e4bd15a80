//! The broker: what kombu keeps in Redis, and what Celery's workers say of themselves.
//!
//! Nothing is written and no worker is asked: samples read lists and the in-flight set, and workers
//! send their heartbeats unasked.

mod failure;
mod heartbeats;
mod layout;
mod listener;
mod message;
mod sample;
mod server;

pub use self::failure::Failure;
pub use self::heartbeats::{LEAVING, SILENCE, Workers};
pub use self::layout::Layout;
pub use self::listener::Listener;
pub use self::sample::{InFlight, Reading, Sampler};
pub use self::server::Server;
