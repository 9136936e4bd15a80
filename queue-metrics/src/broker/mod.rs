//! The broker: what kombu keeps in Redis, and what Celery's workers say of themselves.
//!
//! Samples read lists and the in-flight set, and workers send their heartbeats unasked. Only where
//! there are several groups is each worker asked once which queues it consumes.

mod failure;
mod heartbeats;
mod home;
mod layout;
mod listener;
mod message;
mod sample;
mod server;

pub use self::failure::Failure;
pub use self::heartbeats::{LEAVING, SILENCE, Workers, online};
pub use self::home::{Asker, places};
pub use self::layout::{Layout, draining_key, target_key, workers_key};
pub use self::listener::Listener;
pub(crate) use self::sample::unix_seconds;
pub use self::sample::{InFlight, Reading, Sampler};
pub use self::server::Server;
