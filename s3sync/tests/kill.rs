//! `kill -9` at random instants of `once` and `watch`, while the source keeps changing.
//!
//! `TRIMTAB_KILLS` says how many (100), `TRIMTAB_SEED` makes another run's instants.

#![allow(clippy::print_stdout, reason = "a long run shows how far it is")]

mod churn;
mod support;

use churn::{ARGUMENTS, Churn, Reader, converges, number, seed, while_changing};
use fastrand::Rng;
use std::time::{Duration, Instant};
use support::{Bench, DEADLINE};
use testkit::process::Process;

/// Kills between two looks at whether all is still as it should be.
const ROUND: u64 = 20;

/// objinsync renames a download that failed into place and counts it as done.
#[test]
fn a_kill_at_any_instant_leaves_whole_files_and_the_next_pass_converges() {
    let (kills, seed) = (number("TRIMTAB_KILLS", 100), seed());
    let bench = Bench::new();
    let mut random = Rng::with_seed(seed);
    let mut churn = Churn::begin(&bench, random.u64(..));
    let mut reader = Reader::default();
    let spans = [Command::Once, Command::Watch].map(|command| command.span(&bench, &mut churn));
    println!(
        "a run of once takes {:?}, of watch until it is equal {:?}",
        spans[0], spans[1]
    );
    let (begun, mut cut) = (Instant::now(), [0; 2]);
    for first in (0..kills).step_by(ROUND as usize) {
        while_changing(&bench, &mut churn, 30..200, || {
            for kill in first..kills.min(first + ROUND) {
                let command = if kill % 2 == 0 {
                    Command::Once
                } else {
                    Command::Watch
                };
                let mut process = command.start(&bench);
                // Few instants of a run are in a burst, so half of the kills wait for one.
                if kill / 2 % 2 == 0 {
                    std::thread::sleep(spans[command as usize].mul_f64(random.f64()));
                } else {
                    until_burst(&bench, &mut process, spans[command as usize]);
                    std::thread::sleep(Duration::from_micros(random.u64(0..3_000)));
                }
                process.kill();
                let code = process.exit_code(DEADLINE);
                assert!(
                    code == 137 || code == 0,
                    "kill {kill}: {code}: {}",
                    process.stderr()
                );
                cut[command as usize] += u64::from(open_intents(&bench) > 0);
                reader.look(&bench);
            }
        });
        converges(&bench);
        println!(
            "{} kills in {:.0?}, in bursts: once {}, watch {}",
            kills.min(first + ROUND),
            begun.elapsed(),
            cut[0],
            cut[1]
        );
    }
    assert!(
        cut.iter().all(|cut| *cut >= kills / 50),
        "too few kills were in a burst: {cut:?} of {kills}"
    );
}

/// A kill between making the directories of a file and renaming it into them.
#[test]
fn empty_directories_of_a_killed_burst_are_in_no_files_way() {
    let bench = Bench::with(&[("a.py", "x = 1\n"), ("b/c/d.sql", "select 1\n")]);
    bench.once(0, ARGUMENTS);
    let journal = bench.state().join("manifest.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    let known = text.lines().find(|line| line.contains("d.sql\"")).unwrap();
    let intent = known
        .replace("b/c/d.sql", "job/deep/d.sql")
        .replace("{\"file\"", "{\"intent\":1,\"file\"");
    std::fs::write(&journal, format!("{text}{intent}\n")).unwrap();
    std::fs::create_dir_all(bench.at("job/deep")).unwrap();
    assert_eq!(open_intents(&bench), 1);
    bench.put("job", "now a file\n");
    converges(&bench);
}

#[derive(Clone, Copy)]
enum Command {
    Once,
    Watch,
}

impl Command {
    fn start(self, bench: &Bench) -> Process {
        match self {
            Command::Once => bench.program("once", ARGUMENTS).spawn(),
            Command::Watch => {
                let timing = ["--interval", "50ms", "--settle", "20ms"];
                bench
                    .program("watch", &[&timing, ARGUMENTS].concat())
                    .spawn()
            }
        }
    }

    /// How long a run takes here and now, with something to do.
    fn span(self, bench: &Bench, churn: &mut Churn) -> Duration {
        let mut longest = Duration::ZERO;
        for _ in 0..3 {
            (0..20).for_each(|_| churn.step(bench));
            let begun = Instant::now();
            let mut process = self.start(bench);
            match self {
                Command::Once => assert_eq!(process.exit_code(DEADLINE), 0, "{}", process.stderr()),
                Command::Watch => bench.until_equal(),
            }
            longest = longest.max(begun.elapsed());
        }
        longest
    }
}

/// Waits until intents have been written that no commit followed yet, or the run is over.
fn until_burst(bench: &Bench, process: &mut Process, span: Duration) {
    let begun = Instant::now();
    // What the last kill left open is settled when the journal is written anew, so first that.
    let mut settled = open_intents(bench) == 0;
    while process.is_running() && begun.elapsed() < 2 * span {
        let open = open_intents(bench) > 0;
        if settled && open {
            return;
        }
        settled |= !open;
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Intents in the manifest that no commit followed.
fn open_intents(bench: &Bench) -> usize {
    let text = std::fs::read_to_string(bench.state().join("manifest.jsonl")).unwrap_or_default();
    let last_commit = text.rfind("\n{\"commit\":").unwrap_or(0);
    text[last_commit..].matches("\n{\"intent\":").count()
}
