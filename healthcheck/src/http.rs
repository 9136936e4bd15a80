//! HTTP as far as a health check needs it: one GET, one answer, no TLS.

mod request;
mod response;

pub use request::{LONGEST_TARGET, Request};
pub use response::{Event, Problem, Response};
