//! A running `watch` with a status file of its own, one of several perhaps.

use super::{Bench, DEADLINE};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use testkit::process::{Process, Program};

/// A running `watch`.
pub(crate) struct Watcher {
    pub(crate) process: Process,
    status_file: PathBuf,
}

impl Watcher {
    /// Starts a quick one from the bench's prefix to its DEST.
    pub(crate) fn start(bench: &Bench, name: &str, options: &[&str]) -> Self {
        let options = [&["--interval", "200ms", "--settle", "100ms"], options].concat();
        Watcher::of(bench, name, bench.program("watch", &options))
    }

    /// Starts this program, with a status file beside DEST.
    pub(crate) fn of(bench: &Bench, name: &str, program: Program) -> Self {
        let status_file = bench.outside.path().join(format!("{name}.json"));
        let process = program.env("S3SYNC_STATUS_FILE", &status_file).spawn();
        Watcher {
            process,
            status_file,
        }
    }

    /// The status file; null where there is none.
    pub(crate) fn status(&self) -> Value {
        let text = std::fs::read_to_string(&self.status_file).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// `writer`, `follower`, or nothing yet.
    pub(crate) fn role(&self) -> String {
        self.status()["detail"]["role"]
            .as_str()
            .unwrap_or_default()
            .to_string()
    }

    /// Waits for a status that fits, and gives it back.
    pub(crate) fn wait_for(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.wait_within(DEADLINE, what, fits)
    }

    /// The same, with a deadline of its own.
    pub(crate) fn wait_within(
        &mut self,
        deadline: Duration,
        what: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if fits(&status) {
                return status;
            }
            let runs = self.process.is_running();
            assert!(
                runs && begun.elapsed() < deadline,
                "no status with {what}; the last is {status}; it {} and wrote:\n{}",
                if runs { "runs" } else { "has ended" },
                self.process.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it is healthy as a writer or a follower.
    pub(crate) fn wait_healthy(&mut self, role: &str) -> Value {
        self.wait_for(&format!("a healthy {role}"), |status| {
            status["healthy"] == true && status["detail"]["role"] == role
        })
    }

    /// Waits until it says that it is in trouble, in these words.
    pub(crate) fn wait_for_trouble(&mut self, words: &str) -> Value {
        self.wait_for(&format!("trouble in the words {words:?}"), |status| {
            status["degraded"] == true
                && status["reason"]
                    .as_str()
                    .is_some_and(|reason| reason.contains(words))
        })
    }

    /// Waits until no trouble is left.
    pub(crate) fn wait_for_recovery(&mut self) -> Value {
        self.wait_for("no trouble", |status| {
            status["degraded"] == false && status["healthy"] == true
        })
    }
}
