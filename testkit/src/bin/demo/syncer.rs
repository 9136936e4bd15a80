//! The s3sync program as a process: started, watched, ended.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Lines of its log that are kept for when something goes wrong.
const LOG_LINES: usize = 8;

/// `s3sync watch`; it is killed when this is dropped.
pub(crate) struct Syncer {
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(crate) fn start(mut command: Command) -> anyhow::Result<Self> {
        let program = PathBuf::from(command.get_program());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let reader = child.stderr.take().map(|stderr| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    if log.len() == LOG_LINES {
                        log.pop_front();
                    }
                    log.push_back(line);
                }
            })
        });
        Ok(Syncer { child, log, reader })
    }

    /// The last lines of its log, for an error message.
    pub(crate) fn last_lines(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = log.iter().map(String::as_str).collect();
        if lines.is_empty() {
            "its log is empty".to_owned()
        } else {
            format!("its log ends:\n  {}", lines.join("\n  "))
        }
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().context("s3sync cannot be waited for")
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().context("s3sync cannot be killed")?;
        let status = self.child.wait().context("s3sync cannot be waited for")?;
        if status.signal() != Some(Signal::KILL.as_raw()) {
            bail!(
                "s3sync had ended before it was killed, with {status}; {}",
                self.last_lines()
            );
        }
        Ok(())
    }

    /// SIGTERM; it must then end by itself, with 0.
    pub(crate) fn stop(mut self, within: Duration) -> anyhow::Result<Duration> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("s3sync has no process id")?;
        kill_process(pid, Signal::TERM).context("s3sync cannot be told to stop")?;
        let start = Instant::now();
        while start.elapsed() < within {
            if let Some(status) = self.ended()? {
                if !status.success() {
                    bail!(
                        "s3sync ended with {status} after SIGTERM instead of exit 0; {}",
                        self.last_lines()
                    );
                }
                return Ok(start.elapsed());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!(
            "s3sync still runs {within:?} after SIGTERM; {}",
            self.last_lines()
        )
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Runs a command of s3sync that answers at once; returns its stdout.
///
/// It goes to a file and not to a pipe, so that waiting with a deadline needs no second thread.
pub(crate) fn answer(
    mut command: Command,
    scratch: &Path,
    within: Duration,
) -> anyhow::Result<String> {
    let said = format!("{command:?}");
    let (out, err) = (scratch.join("answer.out"), scratch.join("answer.err"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out)?)
        .stderr(std::fs::File::create(&err)?)
        .spawn()
        .with_context(|| format!("{said} does not start"))?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > within {
            child.kill()?;
            child.wait()?;
            bail!("{said} gave no answer within {within:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    if !status.success() {
        bail!(
            "{said} ended with {status}: {}",
            std::fs::read_to_string(&err)?.trim()
        );
    }
    Ok(std::fs::read_to_string(&out)?)
}

/// What the status file says now; `None` before there is one.
pub(crate) fn status(path: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}
