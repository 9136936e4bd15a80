//! `--report`: what this environment runs, as one small object in S3, for publishers that wait for it.
//!
//! The object is written beside the passes, one at a time: S3 may refuse it or hang, and no pass
//! waits for it or fails of it.

use crate::lock::STALE;
use crate::release::{Report, report_key};
use crate::source::{Condition, Source};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

/// How long a reporter takes for what.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two writes of a report that says the same, so that readers can tell it from a dead one.
    pub repeat: Duration,
    /// The longest that a write may take, after which it has failed.
    pub longest: Duration,
    /// Half of the wait before a write that failed is tried again; it doubles.
    pub retry: Duration,
    /// The longest such wait.
    pub longest_retry: Duration,
    /// How long a sign of life counts. A write that begins within it ends before another instance takes
    /// over from one that is silent.
    pub life: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let longest = Duration::from_secs(60);
        Pace {
            repeat: Duration::from_secs(300),
            longest,
            retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(60),
            life: Duration::from_millis(STALE.unsigned_abs()) - longest,
        }
    }
}

/// So many failures in a row are no accident any more.
const PERSISTENT: u32 = 3;

/// Writes reports, one at a time, the newest always.
#[derive(Debug)]
pub struct Reporter {
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Default)]
struct Desk {
    tray: Mutex<Tray>,
    changed: Notify,
    written: Notify,
}

#[derive(Debug, Default)]
struct Tray {
    /// Without its time; none where another instance is to write it.
    report: Option<Report>,
    /// What S3 holds, by this process.
    written: Option<Report>,
    failures: u32,
    trouble: Option<String>,
    /// When this process last showed that it can tell what is so.
    alive: Option<Instant>,
}

impl Desk {
    fn with<R>(&self, change: impl FnOnce(&mut Tray) -> R) -> R {
        change(&mut self.tray.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Reporter {
    /// Begins to write below `location`, for as long as it is not dropped.
    pub fn start(location: Source, pace: Pace) -> Self {
        let desk = Arc::<Desk>::default();
        let task = tokio::spawn(write_all(Arc::clone(&desk), location, pace));
        Reporter { desk, task }
    }

    /// The file system answered, well or not, what was asked of it at `asked`. Without this nothing is
    /// written for long: of a process that hung or was frozen another may have taken over, whose report
    /// it is now.
    pub fn sign_of_life(&self, asked: Instant) {
        self.desk
            .with(|tray| tray.alive = tray.alive.max(Some(asked)));
        self.desk.changed.notify_one();
    }

    /// What is so now; its `updated` is filled in when it is written.
    pub fn tell(&self, report: Report) {
        let news = self.desk.with(|tray| {
            let news = tray.report.as_ref() != Some(&report);
            tray.report = Some(report);
            news
        });
        if news {
            self.desk.changed.notify_one();
        }
    }

    /// Another instance writes now.
    pub fn fall_silent(&self) {
        self.desk.with(|tray| {
            *tray = Tray {
                alive: tray.alive,
                ..Tray::default()
            };
        });
    }

    /// Why reports cannot be written, once that lasts.
    pub fn trouble(&self) -> Option<String> {
        self.desk.with(|tray| tray.trouble.clone())
    }

    /// Waits a moment for what was told last.
    pub async fn finish(&self) {
        let all = async {
            loop {
                let written = self.desk.written.notified();
                let done = self.desk.with(|tray| {
                    tray.failures > 0 || tray.report.is_none() || tray.report == tray.written
                });
                if done {
                    return;
                }
                written.await;
            }
        };
        // What is not written by then is as if this had been killed.
        let _ = timeout(Duration::from_secs(2), all).await;
    }
}

async fn write_all(desk: Arc<Desk>, location: Source, pace: Pace) {
    let mut due = Instant::now() + pace.repeat;
    loop {
        let failed = desk.with(|tray| tray.failures > 0);
        if failed {
            // News must not make a store that refuses be asked more often.
            sleep_until(due).await;
        } else {
            tokio::select! {
                () = desk.changed.notified() => {}
                () = sleep_until(due) => {}
            }
        }
        let now = Instant::now();
        let Some(report) = desk.with(|tray| tray.to_write(now, now >= due, pace.life)) else {
            if now >= due {
                // Nothing to tell, or nobody who can: it stays due until that changes.
                desk.changed.notified().await;
            }
            continue;
        };
        let failures = match write(&location, &report, pace.longest).await {
            Ok(()) => desk.written(report),
            Err(why) => desk.failed(&why),
        };
        due = Instant::now() + pace.wait(failures);
        desk.written.notify_waiters();
    }
}

impl Tray {
    /// What is to be written at `now`, if it is news or `due`, by who can still tell.
    fn to_write(&self, now: Instant, due: bool, life: Duration) -> Option<Report> {
        let alive = self.alive.is_some_and(|alive| now - alive < life);
        let news = self.report != self.written;
        let report = self.report.as_ref().filter(|_| alive && (news || due));
        report.cloned()
    }
}

impl Desk {
    fn written(&self, report: Report) -> u32 {
        let failures = self.with(|tray| {
            (tray.written, tray.trouble) = (Some(report), None);
            std::mem::take(&mut tray.failures)
        });
        if failures > 0 {
            info!(
                failures,
                event = "report_written",
                "the report is written again"
            );
        }
        0
    }

    fn failed(&self, why: &str) -> u32 {
        let failures = self.with(|tray| {
            tray.failures += 1;
            if tray.failures >= PERSISTENT {
                tray.trouble = Some(format!("the report cannot be written: {why}"));
            }
            tray.failures
        });
        if failures == 1 {
            warn!(
                reason = why,
                event = "report_failed",
                "the report cannot be written; syncing goes on"
            );
        }
        failures
    }
}

async fn write(location: &Source, report: &Report, longest: Duration) -> Result<(), String> {
    let report = Report {
        updated: rfc3339(SystemTime::now()),
        ..report.clone()
    };
    let key = report_key(&report.environment);
    let put = location.put_small(&key, report.to_line(), Condition::None);
    match timeout(longest, put).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.message),
        Err(_) => Err(format!(
            "{}: no answer within {} s",
            location.location().uri_of(&key),
            longest.as_secs()
        )),
    }
}

impl Pace {
    /// Until the next write, after so many failures in a row.
    fn wait(&self, failures: u32) -> Duration {
        match failures {
            0 => self.repeat,
            failures => (self.retry * (1 << failures.min(10))).min(self.longest_retry),
        }
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let millisecond = time.millisecond();
    let time = time
        .replace_nanosecond(u32::from(millisecond) * 1_000_000)
        .unwrap_or(time);
    time.format(&Rfc3339).unwrap_or_default()
}

/// Refuses an environment whose name would make another key than its report's.
///
/// # Errors
/// What a name may be.
pub fn check_environment(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match name.len() <= 128 && name.chars().all(fine) && !name.starts_with('.') {
        true => Ok(()),
        false => Err(format!(
            "--environment {name:?} cannot be the name of a report: with --report it takes up to 128 letters, digits, '-', '_' and '.', and does not begin with '.'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_one_part_of_a_key() {
        for name in ["prod", "eu-west-1.prod_2"] {
            assert!(check_environment(name).is_ok(), "{name}");
        }
        for name in ["a/b", "..", ".hidden", "a b", "a\nb", "é", &"x".repeat(129)] {
            assert!(check_environment(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_store_that_refuses_is_asked_less_and_less() {
        let waits = [0, 1, 2, 5, 6, 40].map(|failures| Pace::default().wait(failures).as_secs());
        assert_eq!(waits, [300, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn times_have_milliseconds() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_123);
        assert_eq!(rfc3339(time), "1970-01-01T00:00:01.5Z");
    }
}
