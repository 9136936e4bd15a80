//! HTTP as far as a health check needs it: one GET, one answer, no TLS.

mod request;
mod response;

pub use request::{LARGEST, LONGEST_TARGET, request};
pub use response::{Event, Problem, Response};
