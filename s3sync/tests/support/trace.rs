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
        Trace::attach_with(process, output, &[])
    }

    /// Attaches, and kills the process with SIGKILL as it begins a system call.
    pub(crate) fn kill_at(process: &Process, output: PathBuf, call: &Call<'_>) -> Self {
        Trace::attach_with(process, output, &call.options())
    }

    fn attach_with(process: &Process, output: PathBuf, options: &[String]) -> Self {
        let strace = Program::new("/usr/bin/strace")
            .args(["-f", "-y", "-s", "200", "-o"])
            .arg(&output)
            .args(options.iter().map(String::as_str))
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

/// A system call to be killed at: the `nth`, from 1, of these names and with this directory or file as
/// one of its arguments. Each thread counts for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) names: &'a str,
    pub(crate) on: &'a Path,
    pub(crate) nth: u32,
}

impl Call<'_> {
    pub(crate) fn options(&self) -> [String; 6] {
        let Call { names, on, nth } = self;
        [
            "-P".to_string(),
            on.display().to_string(),
            "-e".to_string(),
            format!("trace={names}"),
            "-e".to_string(),
            format!("inject={names}:signal=KILL:when={nth}"),
        ]
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
