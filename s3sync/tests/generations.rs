//! `--layout generations`: readers find whole trees, whatever happens to the writer.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod support;

#[path = "generations/bench.rs"]
mod bench;
#[path = "generations/durable.rs"]
mod durable;
#[path = "generations/keep.rs"]
mod keep;
#[path = "generations/kill.rs"]
mod kill;
#[path = "generations/kill_releases.rs"]
mod kill_releases;
#[path = "generations/kill_steps.rs"]
mod kill_steps;
#[path = "generations/landing.rs"]
mod landing;
#[path = "generations/links.rs"]
mod links;
#[path = "generations/mending.rs"]
mod mending;
#[path = "generations/readers.rs"]
mod readers;
#[path = "generations/releases.rs"]
mod releases;
