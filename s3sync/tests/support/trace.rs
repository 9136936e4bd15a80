//! What a program asks of the kernel, by strace.

use super::DEADLINE;
use std::path::{Path, PathBuf};
use testkit::process::{Process, Program, Signal};

/// A trace of every system call of a running process, with the paths behind descriptors.
pub(crate) struct Trace {
    strace: Process,
    output: PathBuf,
}

impl Trace {
    /// Attaches; `output` is made.
    pub(crate) fn attach(process: &Process, output: PathBuf) -> Self {
        let strace = Program::new("/usr/bin/strace")
            .args(["-f", "-y", "-s", "200", "-o"])
            .arg(&output)
            .args(["-p", &process.id().to_string()])
            .spawn();
        strace.wait_for(|line| line.contains("attached"), DEADLINE);
        Trace { strace, output }
    }

    /// The calls so far that name something at or below `path`.
    pub(crate) fn calls_on(&self, path: &Path) -> Vec<String> {
        let name = path.display().to_string();
        calls(&self.output)
            .into_iter()
            .filter(|line| line.contains(&name))
            .collect()
    }

    /// How many calls there were.
    pub(crate) fn len(&self) -> usize {
        calls(&self.output).len()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // Detaches, and lets the process run on.
        self.strace.signal(Signal::INT);
        testkit::until(DEADLINE, "strace to end", || !self.strace.is_running());
    }
}

/// The calls in an output of strace, in their order.
pub(crate) fn calls(output: &Path) -> Vec<String> {
    let text = std::fs::read(output).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .map(ToString::to_string)
        .collect()
}
