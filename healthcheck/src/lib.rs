//! Answers one question in a fraction of a millisecond: is this container healthy?
//!
//! There is no allocator: everything has a bounded size, and what may be longer is looked at as it
//! passes. All of it is safe but [`system`], and builds with std for its tests.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

pub mod assertion;
pub mod check;
pub mod deadline;
pub mod duration;
pub mod host;
pub mod http;
pub mod json;
pub mod options;
pub mod percent;
pub mod probe;
pub mod profile;
pub mod program;
pub mod status;
pub mod system;
pub mod text;
pub mod timestamp;
pub mod url;
