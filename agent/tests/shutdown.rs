//! Signals, each case in a process of its own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::exit,
    reason = "a test may panic, and a role speaks on stdout"
)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{ChildStdout, Command};
use std::time::{Duration, Instant};

use agent::shutdown::Shutdown;
use common::{DEADLINE, Played, play, plays};
use rustix::process::{Pid, Signal, kill_process};

/// Stops as it should, saying what it saw.
#[test]
#[ignore = "a role"]
fn role_drains() {
    if !plays("role_drains") {
        return;
    }
    let shutdown = Shutdown::install(DEADLINE).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert!(!shutdown.requested());
    println!("ready");
    runtime.block_on(shutdown.wait());
    assert!(shutdown.requested());
    println!("drained");
    std::process::exit(7);
}

/// Hangs in every thread of its own.
#[test]
#[ignore = "a role"]
fn role_hangs() {
    if !plays("role_hangs") {
        return;
    }
    let grace = std::env::var("GRACE").unwrap();
    let shutdown = Shutdown::install(agent::settings::duration(&grace).unwrap()).unwrap();
    println!("ready");
    let mut said = false;
    loop {
        std::thread::sleep(Duration::from_millis(5));
        if shutdown.requested() && !said {
            println!("asked");
            said = true;
        }
    }
}

struct Signalled {
    child: Played,
    stdout: BufReader<ChildStdout>,
}

impl Signalled {
    fn start(command: &mut Command) -> Self {
        let mut child = Played::start(command);
        let stdout = BufReader::new(child.0.stdout.take().unwrap());
        let mut signalled = Self { child, stdout };
        signalled.says("ready");
        signalled
    }

    fn says(&mut self, word: &str) {
        let mut line = String::new();
        while !line.trim_end().ends_with(word) {
            line.clear();
            assert_ne!(
                self.stdout.read_line(&mut line).unwrap(),
                0,
                "it ended without saying {word}"
            );
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.0.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

#[test]
fn the_first_signal_asks() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut process = Signalled::start(&mut play("role_drains"));
        process.signal(signal);
        process.says("drained");
        assert_eq!(process.child.end().code(), Some(7), "{signal:?}");
    }
}

#[test]
fn a_second_signal_ends_at_once_with_0() {
    for second in [Signal::TERM, Signal::INT] {
        let mut process = Signalled::start(play("role_hangs").env("GRACE", "1h"));
        process.signal(Signal::TERM);
        process.says("asked");
        process.signal(second);
        assert_eq!(process.child.end().code(), Some(0), "{second:?}");
    }
}

#[test]
fn past_the_grace_a_process_that_hangs_ends_by_itself() {
    let mut process = Signalled::start(play("role_hangs").env("GRACE", "300ms"));
    let began = Instant::now();
    process.signal(Signal::TERM);
    assert_eq!(process.child.end().code(), Some(0));
    assert!(began.elapsed() >= Duration::from_millis(300));
}
