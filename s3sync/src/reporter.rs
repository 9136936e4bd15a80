//! `--report`: what this environment runs, as one small object in S3, for publishers that wait for it.
//!
//! The object is written beside the passes, one at a time: S3 may refuse it or hang, and no pass
//! waits for it or fails of it.

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

/// Between two writes of a report that says the same, so that readers can tell it from a dead one.
const REPEAT: Duration = Duration::from_secs(300);
/// The longest that a write may take, after which it has failed.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest wait before a write that failed is tried again.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
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
}

impl Desk {
    fn with<R>(&self, change: impl FnOnce(&mut Tray) -> R) -> R {
        change(&mut self.tray.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Reporter {
    /// Begins to write below `location`, for as long as it is not dropped.
    pub fn start(location: Source) -> Self {
        let desk = Arc::<Desk>::default();
        let task = tokio::spawn(write_all(Arc::clone(&desk), location));
        Reporter { desk, task }
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
        self.desk.with(|tray| *tray = Tray::default());
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

async fn write_all(desk: Arc<Desk>, location: Source) {
    let mut due = Instant::now() + REPEAT;
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
        let Some(report) = desk.with(|tray| tray.report.clone()) else {
            due = Instant::now() + REPEAT;
            continue;
        };
        let failures = match write(&location, &report).await {
            Ok(()) => desk.written(report),
            Err(why) => desk.failed(&why),
        };
        due = Instant::now() + wait(failures);
        desk.written.notify_waiters();
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

async fn write(location: &Source, report: &Report) -> Result<(), String> {
    let report = Report {
        updated: rfc3339(SystemTime::now()),
        ..report.clone()
    };
    let key = report_key(&report.environment);
    let put = location.put_small(&key, report.to_line(), Condition::None);
    match timeout(LONGEST, put).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.message),
        Err(_) => Err(format!(
            "{}: no answer within {} s",
            location.location().uri_of(&key),
            LONGEST.as_secs()
        )),
    }
}

/// Until the next write, after so many failures in a row.
fn wait(failures: u32) -> Duration {
    match failures {
        0 => REPEAT,
        failures => Duration::from_secs(1 << failures.min(10)).min(LONGEST_RETRY),
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
        let waits = [0, 1, 2, 5, 6, 40].map(|failures| wait(failures).as_secs());
        assert_eq!(waits, [300, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn times_have_milliseconds() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_123);
        assert_eq!(rfc3339(time), "1970-01-01T00:00:01.5Z");
    }
}
