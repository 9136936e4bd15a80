//! The reader's side of releases: what `watch`, `once`, `plan` and `verify` make of a pointer.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

#[path = "follow/hold.rs"]
mod hold;
#[path = "follow/kill.rs"]
mod kill;
#[path = "follow/moto.rs"]
mod moto;
#[path = "follow/polls.rs"]
mod polls;
#[path = "follow/refuse.rs"]
mod refuse;
#[path = "follow/reporter.rs"]
mod reporter;
#[path = "follow/reports.rs"]
mod reports;
#[path = "follow/silence.rs"]
mod silence;
#[path = "follow/trees.rs"]
mod trees;

mod source_support;
mod support;
