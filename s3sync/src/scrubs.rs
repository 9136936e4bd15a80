//! When the scrubs of a reign run: beside its passes, in the time between them.

use crate::dest::DestError;
use crate::failure::Failure;
use crate::local;
use crate::manifest::{Change, Manifest};
use crate::pass::now;
use crate::prepare::blocking;
use crate::revision::Revision;
use crate::scrub::{self, Findings};
use crate::settings::Watch;
use crate::writer::Writer;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tracing::warn;

/// The longest sleep while nothing is due.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What a light scrub found, every file below DEST if that could be walked, and what is wrong with the
/// current generation.
type Looked = (
    Findings,
    Option<BTreeSet<Box<str>>>,
    Option<(Revision, String)>,
);

/// The scrubs of a reign, light and deep, at most one of each at a time.
pub(crate) struct Scrubs {
    every: Duration,
    deep_every: Duration,
    next: Instant,
    next_deep: Instant,
    light: Option<JoinHandle<Result<Looked, DestError>>>,
    deep: Option<JoinHandle<Findings>>,
    stop: Arc<AtomicBool>,
}

impl Drop for Scrubs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Scrubs {
    pub(crate) fn new(settings: &Watch, writer: &Writer) -> Self {
        let (every, deep_every) = (
            settings.timing.scrub_interval,
            settings.timing.deep_scrub_interval,
        );
        let age = writer
            .manifest()
            .deep_scrubbed
            .map_or(0, |at| now() - at)
            .max(0);
        let deep_wait = deep_every.saturating_sub(Duration::from_millis(age as u64));
        let begun = Instant::now();
        Scrubs {
            every,
            deep_every,
            next: begun + every,
            next_deep: begun + deep_wait,
            light: None,
            deep: None,
            stop: Arc::default(),
        }
    }

    /// Waits for `wait`, or until a scrub found something to repair.
    pub(crate) async fn meanwhile(
        &mut self,
        writer: &mut Writer,
        wait: Duration,
    ) -> Result<(), Failure> {
        let until = Instant::now() + wait;
        loop {
            self.start_due(writer);
            let next = until.min(self.wake());
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {
                    if Instant::now() >= until {
                        return Ok(());
                    }
                }
                Some(looked) = ended(&mut self.light) => {
                    self.light = None;
                    let (findings, unmanaged, generation) = looked?;
                    writer.look_again();
                    if let Some(unmanaged) = unmanaged {
                        writer.unmanaged = unmanaged.into_iter().filter(|path| !writer.manifest().files.contains_key(path)).collect();
                    }
                    let mend = writer.take_generation(generation);
                    if take(writer, findings, "light") {
                        return Ok(());
                    }
                    if mend {
                        writer.land().await?;
                    }
                    writer.clean_up();
                }
                Some(findings) = ended(&mut self.deep) => {
                    self.deep = None;
                    let complete = findings.complete;
                    let found = take(writer, findings, "deep");
                    if complete {
                        writer.record(vec![Change::DeepScrubbed(now())]).await?;
                    }
                    if found {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn wake(&self) -> Instant {
        let light = if self.light.is_none() {
            Some(self.next)
        } else {
            None
        };
        let deep = if self.deep.is_none() {
            Some(self.next_deep)
        } else {
            None
        };
        light
            .into_iter()
            .chain(deep)
            .min()
            .unwrap_or_else(|| Instant::now() + LONGEST_WAIT)
    }

    fn start_due(&mut self, writer: &mut Writer) {
        let at = Instant::now();
        if self.light.is_none() && at >= self.next {
            self.next = at + self.every;
            let (picture, stop, dest) = (
                scrub::picture(writer.manifest(), false),
                Arc::clone(&self.stop),
                Arc::clone(writer.dest()),
            );
            let (filter, status) = (writer.rules().filter.clone(), writer.status().clone());
            let generation = writer.generation_look();
            self.light = Some(tokio::spawn(async move {
                blocking(&status, "scrub", move || {
                    // The handles would lead to a directory that was moved away, where all is well.
                    dest.check_in_place()?;
                    let findings = scrub::run(&dest, &picture, &stop);
                    // The writer takes out what it manages: its manifest may have changed by then.
                    Ok((
                        findings,
                        local::unmanaged(&dest, &filter, &Manifest::default()).ok(),
                        generation.and_then(|generation| generation.run()),
                    ))
                })
                .await
            }));
        }
        if self.deep.is_none() && at >= self.next_deep {
            self.next_deep = at + self.deep_every;
            let (picture, stop, dest) = (
                scrub::picture(writer.manifest(), true),
                Arc::clone(&self.stop),
                Arc::clone(writer.dest()),
            );
            // No activity is shown: a deep scrub is meant to take long.
            self.deep = Some(tokio::task::spawn_blocking(move || {
                scrub::run(&dest, &picture, &stop)
            }));
        }
    }
}

/// The result of a task, once there is one; waits for ever where there is no task.
async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    match task {
        None => std::future::pending().await,
        Some(handle) => match handle.await {
            Ok(result) => Some(result),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
        },
    }
}

/// Hands what drifted to the next pass; returns whether there is anything.
fn take(writer: &mut Writer, findings: Findings, kind: &'static str) -> bool {
    if let Some(first) = findings.errors.first() {
        warn!(
            first,
            count = findings.errors.len(),
            kind,
            event = "scrub_errors",
            "files could not be looked at"
        );
    }
    let suspects = writer.take_findings(findings);
    if let Some(first) = suspects.first() {
        warn!(
            first = &**first,
            count = suspects.len(),
            kind,
            event = "drifted",
            "local files are not as they were published"
        );
    }
    let found = !suspects.is_empty();
    writer.suspects.extend(suspects);
    found
}
