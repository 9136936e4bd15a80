//! Answers one question in a fraction of a millisecond: is this container healthy?
//!
//! There is no allocator: everything has a bounded size, and what may be longer is looked at as it
//! passes. All of it is safe but [`system`], and builds with std for its tests.
//!
//! Size decides four things that look odd. `#[inline(never)]` stands where a function of one caller is
//! smaller alone, as its large caller has no registers left for it. `#[repr(C)]` puts small fields
//! before large arrays, where an instruction reaches them with one byte of offset and not four. What
//! begins empty is a constant of zeros only, which one instruction makes in place. Lists of words are one
//! text, read line by line, as a table of texts has 16 bytes more for each.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

pub mod assertion;
pub mod check;
pub mod deadline;
pub mod document;
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
