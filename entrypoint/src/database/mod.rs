//! Airflow's database: its URLs, what an answer of the server means, and a session once it answers.

pub mod policy;
mod roots;
mod sessions;
mod url;
pub mod wait;

pub use sessions::Reconnect;
pub(crate) use url::PARTS;
pub use url::{target, urls};
pub use wait::{no_refetch, wait};
