//! Everything that can go wrong between S3 and s3sync, singly and mixed at random.
//!
//! `TRIMTAB_CHAOS_SECONDS` says for how long it is mixed (20), `TRIMTAB_SEED` makes another run's mix.

#![allow(clippy::print_stdout, reason = "a long run shows how far it is")]

mod churn;
mod support;

use churn::faults::{OPERATIONS, faults, hangs, weather};
use churn::{
    ARGUMENTS, Churn, Reader, difference, in_background, is_equal, number, seed, while_changing,
};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use support::{BUCKET, Bench, DEADLINE, key};
use testkit::process::Signal;
use testkit::s3::{ChecksumChoice, ChecksumType, Fault, Operation, PutOptions, Rule};

/// Longer than every request of a run hanging in turn.
const LONG: Duration = Duration::from_secs(400);

/// How long faults are mixed.
const SECONDS: &str = "TRIMTAB_CHAOS_SECONDS";

/// Most resident memory: files in flight times the part size, and what the program needs anyway.
const MOST_RESIDENT: u64 = 100 << 20;

/// s5cmd deletes the destination when the source fails (#695), objinsync and `aws s3 sync` when a
/// listing is empty; rclone deletes nothing any more after an error, so one bad file blocks deletes for
/// ever (#3594).
#[test]
fn a_single_fault_of_any_kind_never_harms_dest_and_is_over_when_it_ends() {
    let mut cases: Vec<Case> = Vec::new();
    for operation in OPERATIONS {
        for fault in faults(operation) {
            cases.extend([true, false].map(|lasts| Case {
                operation,
                fault: fault.clone(),
                lasts,
            }));
        }
    }
    // What lasts waits longest and begins first.
    cases.sort_by_key(|case| (hangs(&case.fault), case.lasts));
    let count = cases.len();
    let (cases, begun) = (Mutex::new(cases), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                loop {
                    let next = cases.lock().ok().and_then(|mut cases| cases.pop());
                    let Some(case) = next else { break };
                    case.play();
                }
            });
        }
    });
    println!("{count} cases in {:.0?}", begun.elapsed());
}

/// One fault at one kind of request: at the first of them, or at all.
#[derive(Debug)]
struct Case {
    operation: Operation,
    fault: Fault,
    lasts: bool,
}

impl Case {
    fn play(&self) {
        let bench = Bench::new();
        fill(&bench);
        bench.once(0, ARGUMENTS);
        let before = bench.files();
        change(&bench);
        let rule = Rule::new(self.fault.clone()).on(self.operation);
        let rule = bench
            .s3
            .faults()
            .add(if self.lasts { rule } else { rule.times(1) });
        let begun = Instant::now();
        let mut process = bench.program("once", ARGUMENTS).spawn();
        let acted = || bench.s3.faults().acted(rule);
        // It waits 20 to 60 s before it gives up, several times: that is for the long run only.
        let stopped = hangs(&self.fault) && std::env::var_os(SECONDS).is_none();
        if stopped {
            testkit::until(DEADLINE, "the fault to happen", || acted() > 0);
            process.signal(Signal::TERM);
        }
        let code = process.exit_code(LONG);
        println!(
            "{:5.1} s, exit {code:2}, {:3} times: {self:?}",
            begun.elapsed().as_secs_f64(),
            acted()
        );
        assert!(acted() > 0, "{self:?} never happened");
        let (files, wanted) = (bench.files(), bench.wanted());
        for (path, bytes) in &files {
            let known = wanted.get(path) == Some(bytes) || before.get(path) == Some(bytes);
            assert!(known, "{self:?}: {path} holds what S3 never did");
        }
        for path in before.keys().filter(|path| wanted.contains_key(*path)) {
            assert!(files.contains_key(path), "{self:?}: {path} is gone");
        }
        let different = difference(&files, &wanted);
        match code {
            0 if stopped => {}
            0 => assert!(
                different.is_empty(),
                "{self:?}: exit 0, and these differ: {different:?}"
            ),
            1 | 65 | 69 | 77 => {}
            code => panic!("{self:?}: exit {code}: {}", process.stderr()),
        }
        bench.s3.faults().clear();
        bench.once(0, ARGUMENTS);
        is_equal(&bench);
    }
}

/// Enough of a tree that no share of it that may go is all of it.
fn fill(bench: &Bench) {
    for file in 0..8 {
        bench.put(&format!("staying/f{file:02}.py"), format!("x = {file}\n"));
    }
    bench.put("gone.py", "x = 1\n");
    put_large(bench, 1);
}

/// A new file, two edits, a delete, and an object whose proof needs HEADs.
fn change(bench: &Bench) {
    bench.put("added.py", "y = 1\n");
    bench.put("staying/f01.py", "x = 9\n");
    bench.put("staying/f02.py", "x = 2 # and more\n");
    bench.delete("gone.py");
    put_large(bench, 2);
}

fn put_large(bench: &Bench, version: u8) {
    let options = PutOptions {
        parts: Some(vec![600_000, 600_000]),
        checksum: ChecksumChoice::Sha256,
        checksum_type: Some(ChecksumType::Composite),
        ..PutOptions::default()
    };
    bench
        .s3
        .put_with(BUCKET, &key("large.bin"), vec![version; 1_500_000], options);
}

/// objinsync takes a download that failed for done, and deletes all that a listing lacks.
#[test]
fn faults_mixed_at_random_never_show_a_wrong_byte_and_dest_converges_after_them() {
    let (seconds, seed) = (number(SECONDS, 20), seed());
    let bench = Bench::new();
    let mut random = Rng::with_seed(seed);
    let mut churn = Churn::begin(&bench, random.u64(..));
    bench.s3.faults().seed(random.u64(..));
    let mut reader = Reader::default();
    // An object that failed often is tried again after a scrub's interval at the latest.
    let arguments = [&["--scrub-interval", "2s"], ARGUMENTS].concat();
    let mut process = bench.watch_settled(&arguments);
    let end = Instant::now() + Duration::from_secs(seconds);
    in_background(
        || reader.look_often(&bench),
        || {
            while_changing(&bench, &mut churn, 50..600, || {
                while Instant::now() < end {
                    weather(&bench, &mut random, end, || ());
                    assert!(process.is_running(), "{}", process.stderr());
                }
            });
            let begun = Instant::now();
            testkit::until(
                DEADLINE,
                "DEST to be equal to S3 after the last fault",
                || difference(&bench.files(), &bench.wanted()).is_empty(),
            );
            println!("equal {:.1?} after the last fault", begun.elapsed());
        },
    );
    let usage = process.usage();
    println!(
        "{} files read, peak {} MiB, {:?}",
        reader.reads,
        usage.peak >> 20,
        bench.s3.counts()
    );
    assert!(usage.peak < MOST_RESIDENT, "{usage:?}");
    assert!(process.signal(Signal::TERM));
    assert_eq!(process.exit_code(DEADLINE), 0, "{}", process.stderr());
    let events = events(&process.stderr());
    println!("{events:?}");
    assert!(
        events.get("trouble").is_some_and(|count| *count > 0),
        "no fault was ever noticed: {events:?}"
    );
    is_equal(&bench);
}

fn events(log: &str) -> BTreeMap<String, usize> {
    let mut events = BTreeMap::new();
    for line in log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
    {
        *events
            .entry(line["event"].as_str().unwrap_or_default().to_string())
            .or_default() += 1;
    }
    events
}
