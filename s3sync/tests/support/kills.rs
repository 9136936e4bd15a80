//! `kill -9` at random instants: how many, which instants, and the one where most can go wrong.

use super::{Bench, DEADLINE};
use fastrand::Rng;
use std::time::{Duration, Instant};
use testkit::process::Process;

/// As many as `TRIMTAB_KILLS` says, `default` without it, and at most `most`: a scene's kills cost more
/// than those of the program alone.
pub(crate) fn count(default: u32, most: u32) -> u32 {
    number("TRIMTAB_KILLS").map_or(default, |kills| kills.min(u64::from(most)) as u32)
}

/// The seed of this run, others each time: `TRIMTAB_SEED` has another's again. Failures name it.
pub(crate) fn seed() -> u64 {
    number("TRIMTAB_SEED").unwrap_or_else(|| fastrand::u64(..))
}

/// A number from the environment.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} must be a number and is {text:?}")))
}

/// Up to so many microseconds.
pub(crate) fn pause(random: &mut Rng, most: u64) {
    std::thread::sleep(Duration::from_micros(random.u64(0..most)));
}

/// Waits until a generation is being made, or the process is over.
pub(crate) fn until_making(bench: &Bench, process: &mut Process) {
    let begun = Instant::now();
    while process.is_running() && begun.elapsed() < DEADLINE && !is_making(bench) {
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn is_making(bench: &Bench) -> bool {
    let entries = |path| std::fs::read_dir(path).into_iter().flatten().flatten();
    entries(bench.state().join("staging"))
        .flat_map(|epoch| entries(epoch.path()))
        .any(|entry| entry.file_name().to_string_lossy().ends_with(".making"))
}
