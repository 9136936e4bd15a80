//! Real programs in a test: a clean environment, their lines as they come, signals, an end.

mod lines;
mod program;
mod usage;

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lines::Lines;

pub use lines::{Line, Stream};
pub use program::{Finished, Program};
pub use rustix::process::Signal;
pub use usage::{Usage, usage};

/// A program that was started; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    stdin: Option<ChildStdin>,
    lines: Arc<Lines>,
    readers: Vec<JoinHandle<()>>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of either stream that fits, one already written too.
    ///
    /// # Panics
    /// When none comes before the deadline or the end; the message holds what was written.
    pub fn wait_for(&self, fits: impl Fn(&str) -> bool, deadline: Duration) -> Line {
        let start = Instant::now();
        let mut seen = 0;
        let mut state = self.lines.lock();
        loop {
            if let Some(line) = state.lines[seen..].iter().find(|line| fits(&line.text)) {
                return line.clone();
            }
            seen = state.lines.len();
            let left = deadline.saturating_sub(start.elapsed());
            if left.is_zero() || state.closed == 2 {
                let written = state.text(None);
                drop(state);
                panic!(
                    "{} wrote no such line in {:?}; it wrote:\n{written}",
                    self.name,
                    start.elapsed()
                );
            }
            state = self
                .lines
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// All lines so far, in the order in which they were read.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().lines.clone()
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        self.lines.lock().text(Some(Stream::Stdout))
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.lines.lock().text(Some(Stream::Stderr))
    }

    /// Writes to its standard input.
    ///
    /// # Panics
    /// Without [`Program::with_stdin`], or when it no longer reads.
    pub fn write(&mut self, text: &str) {
        let written = self
            .stdin
            .as_mut()
            .map(|stdin| stdin.write_all(text.as_bytes()));
        assert!(
            matches!(written, Some(Ok(()))),
            "{} takes no input: {written:?}",
            self.name
        );
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal; says whether it still ran.
    pub fn signal(&mut self, signal: Signal) -> bool {
        // Looked at first: the id of a process that was waited for may belong to another.
        if !self.is_running() {
            return false;
        }
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).is_ok()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status.is_none()
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
    }

    /// Waits for its end, and for all that it wrote. A signal is 128 and its number.
    ///
    /// # Panics
    /// When it has not ended at the deadline; the message holds what it wrote.
    pub fn exit_code(&mut self, deadline: Duration) -> i32 {
        let start = Instant::now();
        while self.is_running() {
            if start.elapsed() >= deadline {
                let written = self.lines.lock().text(None);
                panic!(
                    "{} still runs after {deadline:?}; it wrote:\n{written}",
                    self.name
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // A grandchild may hold the streams open for ever, so the wait for their end is short.
        let end = Instant::now() + Duration::from_secs(2);
        let mut state = self.lines.lock();
        while state.closed < 2 && Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            state = self
                .lines
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(state);
        match self.status {
            Some(status) => status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            None => -1,
        }
    }

    /// What it uses now, from /proc.
    ///
    /// # Panics
    /// When it no longer runs.
    pub fn usage(&self) -> Usage {
        match usage(self.id()) {
            Some(usage) => usage,
            None => panic!("{} no longer runs", self.name),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stdin = None;
        self.kill();
        // Not joined: a grandchild that lives on would hold the test here for ever.
        self.readers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Program {
        Program::new("/bin/sh").args(["-c", script])
    }

    #[test]
    fn a_program_sees_only_the_environment_it_is_given() {
        let finished = Program::new("/usr/bin/env").env("GIVEN", "1").run(SOON);
        assert_eq!((finished.code, finished.stdout.as_str()), (0, "GIVEN=1\n"));
    }

    #[test]
    fn lines_are_seen_while_it_runs() {
        let mut process = shell("echo first; read answer; echo got $answer >&2; exit 3")
            .with_stdin()
            .spawn();
        assert_eq!(
            process.wait_for(|line| line == "first", SOON).stream,
            Stream::Stdout
        );
        process.write("that\n");
        assert_eq!(
            process.wait_for(|line| line.starts_with("got"), SOON).text,
            "got that"
        );
        assert_eq!(process.exit_code(SOON), 3);
        assert_eq!(
            (process.stdout().as_str(), process.stderr().as_str()),
            ("first\n", "got that\n")
        );
    }

    #[test]
    #[should_panic(expected = "wrote no such line")]
    fn a_line_that_cannot_come_any_more_is_not_waited_for() {
        shell("echo other")
            .spawn()
            .wait_for(|line| line == "first", Duration::from_secs(600));
    }

    #[test]
    fn signals_stop_continue_and_end_it() {
        let mut process =
            shell("trap 'echo term; exit 4' TERM; echo up; while :; do sleep 0.01; done").spawn();
        process.wait_for(|line| line == "up", SOON);
        let state = |process: &Process| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
        };
        assert!(process.signal(Signal::STOP));
        crate::until(SOON, "the process to stop", || state(&process) == 'T');
        assert!(process.signal(Signal::CONT));
        assert!(process.signal(Signal::TERM));
        assert_eq!(process.exit_code(SOON), 4);
        assert!(!process.signal(Signal::TERM));
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = shell("echo up; exec sleep 600").spawn();
        process.wait_for(|line| line == "up", SOON);
        let path = format!("/proc/{}", process.id());
        drop(process);
        assert!(!Path::new(&path).exists());
    }

    #[test]
    fn a_killed_process_counts_as_128_and_9() {
        let mut process = shell("exec sleep 600").spawn();
        process.kill();
        assert_eq!(process.exit_code(SOON), 137);
    }
}
