//! Steady changes and random faults for long, with memory, descriptors and threads flat.
//!
//! `TRIMTAB_SOAK_SECONDS` says for how long (15, which only exercises the test), `TRIMTAB_SEED` makes
//! another run's changes and faults.

#![allow(clippy::print_stdout, reason = "a long run shows how far it is")]

mod churn;
mod support;

use churn::faults::weather;
use churn::{
    ARGUMENTS, Churn, Reader, in_background, is_equal, number, seed, staged, while_changing,
};
use fastrand::Rng;
use std::time::{Duration, Instant};
use support::{Bench, DEADLINE};
use testkit::process::{Signal, Usage};

/// `mc mirror --watch` misses changes after days (mc #2105).
#[test]
fn memory_descriptors_and_threads_stay_flat_and_a_signal_ends_it_cleanly() {
    let (seconds, seed) = (number("TRIMTAB_SOAK_SECONDS", 15), seed());
    let bench = Bench::new();
    let mut random = Rng::with_seed(seed);
    let mut churn = Churn::begin(&bench, random.u64(..));
    bench.s3.faults().seed(random.u64(..));
    let mut reader = Reader::default();
    let arguments = [
        &["--scrub-interval", "2s", "--deep-scrub-interval", "10s"],
        ARGUMENTS,
    ]
    .concat();
    let mut process = bench.watch_settled(&arguments);
    let (mut samples, mut told) = (Vec::new(), Instant::now());
    let end = Instant::now() + Duration::from_secs(seconds);
    in_background(
        || reader.look_often(&bench),
        || {
            while_changing(&bench, &mut churn, 50..600, || {
                while Instant::now() < end {
                    samples.extend(weather(&bench, &mut random, end, || process.usage()));
                    assert!(process.is_running(), "{}", process.stderr());
                    // The server's memory is not what is looked at here.
                    bench.s3.reset_requests();
                    if told.elapsed() > Duration::from_secs(60) {
                        told = Instant::now();
                        println!("{:?}", samples.last());
                    }
                }
                assert!(process.signal(Signal::TERM));
                assert_eq!(process.exit_code(DEADLINE), 0, "{}", process.stderr());
            });
        },
    );
    assert_eq!(staged(&bench), Vec::<String>::new());
    println!("{} files read", reader.reads);
    // A short run still warms up, and its thirds are a few seconds each: a burst of files in flight, a
    // connection and a staged file for each of 16, decides their medians.
    let (memory, descriptors, threads) = match seconds {
        ..300 => (8 << 10, 2 * 16 + 16, 16),
        _ => (2 << 10, 8, 4),
    };
    flat(&samples, "resident KiB", memory, |usage| {
        usage.resident >> 10
    });
    flat(&samples, "descriptors", descriptors, |usage| {
        usage.descriptors as u64
    });
    flat(&samples, "threads", threads, |usage| usage.threads as u64);
    bench.s3.faults().clear();
    churn::converges(&bench);
    is_equal(&bench);
}

/// Compares the medians of the first and the last third: at most a twentieth more, and `slack`.
fn flat(samples: &[Usage], what: &str, slack: u64, of: impl Fn(&Usage) -> u64) {
    let median = |samples: &[Usage]| {
        let mut values: Vec<u64> = samples.iter().map(&of).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    let third = samples.len() / 3;
    assert!(third > 0, "only {} samples", samples.len());
    let (first, last) = (
        median(&samples[..third]),
        median(&samples[samples.len() - third..]),
    );
    println!(
        "{what}: {first} in the first third, {last} in the last, of {} samples",
        samples.len()
    );
    assert!(
        last <= first + first / 20 + slack,
        "{what} grew from {first} to {last}"
    );
}
