//! The status file: what this agent says of itself, replaced as a whole by a thread of its own.
//!
//! The thread touches nothing but this file, so that the file system an agent works on can hang without
//! the status growing old: [`Status::activity`] then says who is silent, and in what.

mod file;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use self::file::StatusFile;
pub use self::file::timestamp;

/// How often the file is written when nothing changes.
const INTERVAL: Duration = Duration::from_secs(5);

/// The least time between two writes: a state that changes with every file costs ten writes a second.
const COALESCE: Duration = Duration::from_millis(100);

/// An activity that lasts longer counts as hanging.
const SILENCE: Duration = Duration::from_secs(10);

/// How long [`Status::finish`] waits for the last write.
const FINISH_LIMIT: Duration = Duration::from_secs(1);

const DIRECTORY: &str = "/run/trimtab";

/// What an agent says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Where in its life the agent is, in one word.
    pub phase: String,
    /// Whether this container does its own job; ECS ends the task where it does not.
    pub healthy: bool,
    /// Whether something else is away, which is no reason to end the task.
    pub degraded: bool,
    /// Why it is unhealthy or degraded.
    pub reason: Option<String>,
    /// What else the agent's own page describes.
    pub detail: Map<String, Value>,
}

/// A handle on the status file. Clones share it.
#[derive(Clone, Debug)]
pub struct Status {
    shared: Arc<Shared>,
}

/// Something that may hang, from [`Status::activity`] until it is dropped.
#[derive(Debug)]
#[must_use = "the activity ends when this is dropped"]
pub struct Activity {
    shared: Arc<Shared>,
    number: u64,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    activities: Vec<Running>,
    /// The number of the next activity.
    next: u64,
    /// Whether a thread writes the file.
    written: bool,
    changed: bool,
    finished: Finish,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Finish {
    #[default]
    No,
    Asked,
    Written,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    number: u64,
    who: &'static str,
    what: &'static str,
    since: Instant,
}

impl Status {
    /// Writes the first status and starts the thread. Without a `path` the file is
    /// `/run/trimtab/AGENT.json`, and that it can't be written is a warning; `agent` is the binary's
    /// name.
    ///
    /// # Errors
    /// One line: a `path` that was given cannot be written (exit 73), or there is no thread to be had.
    pub fn start(
        agent: &'static str,
        version: &'static str,
        path: Option<PathBuf>,
    ) -> Result<Self, String> {
        let wanted = path.is_some();
        let path = path.unwrap_or_else(|| Path::new(DIRECTORY).join(format!("{agent}.json")));
        let status = Self::disabled();
        let mut file = StatusFile {
            agent,
            version,
            path,
            failing: false,
        };
        let first = file.write(
            &State {
                phase: "starting".to_owned(),
                ..State::default()
            },
            None,
        );
        if let Err(error) = first {
            let line = format!(
                "the status file {} cannot be written: {error}",
                file.path.display()
            );
            if wanted {
                return Err(format!("{line}; name another with --status-file"));
            }
            tracing::warn!(event = "status_unwritable", path = %file.path.display(), %error, "no status file");
            file.failing = true;
        }
        status.shared.lock().written = true;
        let shared = Arc::clone(&status.shared);
        let thread = thread::Builder::new().name("status".to_owned());
        thread
            .spawn(move || shared.keep_writing(&mut file))
            .map_err(|error| format!("no thread for the status file: {error}"))?;
        Ok(status)
    }

    /// A status that no file shows, for commands that answer and end.
    pub fn disabled() -> Self {
        let inner = Inner {
            state: State {
                phase: "starting".to_owned(),
                ..State::default()
            },
            ..Inner::default()
        };
        Self {
            shared: Arc::new(Shared {
                inner: Mutex::new(inner),
                changed: Condvar::new(),
            }),
        }
    }

    /// Changes the state, which is written soon. Several changes at once are one write.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        let mut inner = self.shared.lock();
        change(&mut inner.state);
        inner.changed = true;
        self.shared.changed.notify_all();
    }

    /// The state as it was last updated; what hangs is not in it.
    pub fn state(&self) -> State {
        self.shared.lock().state.clone()
    }

    /// Announces something that may hang: `who` does not answer in `what`, `DEST` in `rename`. While
    /// one lasts longer than 10 s, the written status is degraded: "DEST silent for 42 s in rename".
    pub fn activity(&self, who: &'static str, what: &'static str) -> Activity {
        let mut inner = self.shared.lock();
        let number = inner.next;
        inner.next += 1;
        inner.activities.push(Running {
            number,
            who,
            what,
            since: Instant::now(),
        });
        Activity {
            shared: Arc::clone(&self.shared),
            number,
        }
    }

    /// The activity that has lasted longest, and how long.
    pub fn busy_with(&self) -> Option<(&'static str, Duration)> {
        let oldest = self.shared.lock().oldest()?;
        Some((oldest.what, oldest.since.elapsed()))
    }

    /// Writes the last status, stopped and not healthy, and waits for it at most 1 s.
    pub fn finish(&self) {
        let mut inner = self.shared.lock();
        inner.state.phase = "stopped".to_owned();
        inner.state.healthy = false;
        if !inner.written || inner.finished != Finish::No {
            return;
        }
        inner.finished = Finish::Asked;
        self.shared.changed.notify_all();
        let waiting = |inner: &mut Inner| inner.finished == Finish::Asked;
        drop(
            self.shared
                .changed
                .wait_timeout_while(inner, FINISH_LIMIT, waiting),
        );
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        let Some(place) = inner
            .activities
            .iter()
            .position(|running| running.number == self.number)
        else {
            return;
        };
        let ended = inner.activities.swap_remove(place);
        // The file said that it hangs: it should not go on saying so.
        if ended.since.elapsed() >= SILENCE {
            inner.changed = true;
            self.shared.changed.notify_all();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_writing(&self, file: &mut StatusFile) {
        loop {
            let inner = self.lock();
            let idle = |inner: &mut Inner| !inner.changed && inner.finished == Finish::No;
            let waited = self.changed.wait_timeout_while(inner, INTERVAL, idle);
            let (mut inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
            inner.changed = false;
            let last = inner.finished != Finish::No;
            let state = inner.state.clone();
            let silent = inner
                .oldest()
                .and_then(|oldest| silence(&oldest, oldest.since.elapsed()));
            drop(inner);

            file.report(&state, silent);
            if last {
                self.lock().finished = Finish::Written;
                self.changed.notify_all();
                return;
            }
            let inner = self.lock();
            drop(
                self.changed
                    .wait_timeout_while(inner, COALESCE, |inner| inner.finished == Finish::No),
            );
        }
    }
}

impl Inner {
    fn oldest(&self) -> Option<Running> {
        self.activities
            .iter()
            .min_by_key(|running| running.since)
            .copied()
    }
}

/// What to say of an activity that has lasted for `lasted`.
fn silence(running: &Running, lasted: Duration) -> Option<String> {
    (lasted >= SILENCE).then(|| {
        format!(
            "{} silent for {} s in {}",
            running.who,
            lasted.as_secs(),
            running.what
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    #[test]
    fn silence_is_named_from_ten_seconds_on() {
        let running = Running {
            number: 0,
            who: "DEST",
            what: "rename",
            since: Instant::now(),
        };
        assert_eq!(silence(&running, Duration::from_millis(9_999)), None);
        assert_eq!(
            silence(&running, Duration::from_secs(42)).as_deref(),
            Some("DEST silent for 42 s in rename")
        );
    }

    #[test]
    fn the_longest_activity_is_the_one_that_counts() {
        let status = Status::disabled();
        assert_eq!(status.busy_with(), None);
        let first = status.activity("DEST", "rename");
        let second = status.activity("DEST", "fsync");
        assert_eq!(status.busy_with().unwrap().0, "rename");
        drop(first);
        assert_eq!(status.busy_with().unwrap().0, "fsync");
        drop(second);
        assert_eq!(status.busy_with(), None);
    }

    #[test]
    fn a_disabled_status_finishes_at_once() {
        let began = Instant::now();
        let status = Status::disabled();
        let other = status.clone();
        status.finish();
        other.finish();
        assert!(began.elapsed() < FINISH_LIMIT);
    }

    #[test]
    fn an_aged_activity_degrades_the_written_file_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s3sync.json");
        let status = Status::start("s3sync", "0.1.0", Some(path.clone())).unwrap();
        let activity = status.activity("DEST", "rename");
        let aged = Instant::now().checked_sub(Duration::from_secs(42)).unwrap();
        status.shared.lock().activities[0].since = aged;
        status.update(|state| state.healthy = true);
        eventually(&path, |file| {
            file["reason"] == json!("DEST silent for 42 s in rename")
                && file["degraded"] == json!(true)
        });
        drop(activity);
        eventually(&path, |file| {
            file["reason"].is_null() && file["degraded"] == json!(false)
        });
        status.finish();
    }

    fn eventually(path: &Path, holds: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = fs::read_to_string(path).unwrap();
            let file: Value = serde_json::from_str(&text).unwrap();
            if holds(&file) {
                return;
            }
            assert!(Instant::now() < deadline, "{text}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
