//! What the outside sees: status, metrics, heartbeat, and states that are logged when they begin,
//! change and end.

use crate::failure::Failure;
use crate::lock::Heartbeat;
use crate::metrics::Figures;
use crate::pass::Passed;
use crate::report::printable;
use crate::revision::hex;
use crate::source::Release;
use crate::writer::Writer;
use agent::metrics::Metrics;
use agent::status::Status;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

mod beat;
mod landed;

use landed::{Landed, Reports};

/// Between heartbeats and between publications of metrics.
pub const BEAT: Duration = Duration::from_secs(60);
const ALL_IS_WELL: Duration = Duration::from_secs(3600);

/// Shared by the loop that makes passes and the one that keeps time.
#[derive(Clone, Debug)]
pub struct Board {
    /// The status file.
    pub status: Status,
    metrics: Metrics,
    inner: Arc<Mutex<Inner>>,
    reports: Option<Arc<Reports>>,
}

#[derive(Debug)]
struct Inner {
    figures: Figures,
    listed: Option<Instant>,
    heartbeat: Heartbeat,
    /// The reason that is being shown, and since when.
    trouble: Option<(String, Instant)>,
    held: Option<String>,
    rejected: Vec<String>,
    well: Instant,
    /// Phase, health and detail as the status has them.
    shown: Option<(&'static str, bool, Value)>,
    landed: Landed,
    release: Option<Release>,
}

impl Board {
    /// A board for one source.
    pub fn new(status: Status, metrics: Metrics, source: &str) -> Self {
        let heartbeat = Heartbeat {
            source: source.to_string(),
            ..Heartbeat::default()
        };
        let inner = Inner {
            figures: Figures::default(),
            listed: None,
            heartbeat,
            trouble: None,
            held: None,
            rejected: Vec::new(),
            well: Instant::now(),
            shown: None,
            landed: Landed::default(),
            release: None,
        };
        Board {
            status,
            metrics,
            inner: Arc::new(Mutex::new(inner)),
            reports: None,
        }
    }

    fn with<R>(&self, change: impl FnOnce(&mut Inner) -> R) -> R {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A complete listing arrived.
    pub fn listed(&self) {
        self.with(|inner| inner.listed = Some(Instant::now()));
    }

    /// A pass ended well. Returns whether the heartbeat says something new.
    pub fn passed(&self, writer: &mut Writer, passed: &Passed, seconds: f64) -> bool {
        let revision = writer.revision().to_string();
        let tally = &passed.tally;
        self.log_release(writer, &revision);
        if tally.changed() > 0 {
            info!(
                revision,
                release = writer.follow.landed().map(|release| hex(&release.id)),
                name = writer
                    .follow
                    .landed()
                    .and_then(|release| release.name.clone()),
                listed = tally.listed,
                added = tally.added,
                updated = tally.updated,
                deleted = tally.deleted,
                repaired = tally.repaired,
                held_deletes = tally.held_deletes,
                bytes = tally.bytes,
                seconds,
                event = "pass",
                "DEST changed"
            );
        }
        self.log_held(writer);
        self.log_rejected(writer);
        let failed: Vec<String> = writer
            .failed()
            .map(|(key, setback)| format!("{}: {}", printable(key), setback.reason))
            .collect();
        let trouble = match failed.first() {
            _ if writer.follow.refusal().is_some() => writer.follow.refusal().map(String::from),
            None => None,
            Some(first) if passed.held_back && writer.follow.is_release() => {
                Some(format!("the release is held back: {first}"))
            }
            Some(first) if passed.held_back => Some(format!("the set is held back: {first}")),
            Some(first) => Some(format!(
                "{} objects cannot be kept, the rest goes on: {first}",
                failed.len()
            )),
        };
        self.trouble(trouble.as_deref());
        let impaired = trouble.is_some() || writer.held.is_some();
        let (well, news) = self.with(|inner| {
            let figures = &mut inner.figures;
            let before = (figures.held, figures.rejected, figures.unmanaged);
            figures.changed += tally.changed();
            figures.bytes += tally.bytes;
            figures.repaired += tally.repaired;
            figures.errors += u64::from(!failed.is_empty() && !passed.quiet);
            figures.held = tally.held_deletes;
            figures.rejected = writer.rejected.len() as u64;
            figures.unmanaged = writer.unmanaged.len() as u64;
            let after = (figures.held, figures.rejected, figures.unmanaged);
            let due = inner.well.elapsed() >= ALL_IS_WELL && !impaired;
            if due || impaired {
                inner.well = Instant::now();
            }
            (due, tally.changed() > 0 || before != after)
        });
        if well {
            info!(
                revision,
                files = writer.manifest().files.len(),
                event = "all_is_well",
                "DEST is equal to the source"
            );
        }
        self.show_writer(writer, tally.listed, Some(&revision));
        self.report(writer, trouble);
        let complete = writer.is_filled();
        let filled = self.with(|inner| {
            let filled = inner.heartbeat.complete != complete;
            inner.heartbeat.complete = complete;
            inner.heartbeat.revision = Some(revision);
            inner.heartbeat.generation = writer.generation().map(|id| id.to_string());
            filled
        });
        if news {
            self.publish();
        }
        filled
    }

    /// Shows the reign's state as it is known before its first pass.
    pub fn show_writer(&self, writer: &Writer, listed: u64, revision: Option<&str>) {
        let held = writer
            .held
            .as_ref()
            .map(|held| json!({"id": held.id, "count": held.candidates.len(), "why": held.why}));
        let mut detail = json!({
            "role": "writer",
            "source": writer.source_name,
            "revision": revision,
            "release": writer.follow.landed().map(|release| hex(&release.id)),
            "release_name": writer.follow.landed().and_then(|release| release.name.as_deref()),
            "listed": listed,
            "files": writer.manifest().files.len(),
            "held": held,
            "held_deletes": writer.held.as_ref().map_or(0, |held| held.candidates.len()),
            "rejected": writer.rejected.len(),
            "failed": writer.failed().count(),
            "unmanaged": writer.unmanaged.len(),
        });
        if let Some(id) = writer.generation() {
            detail["generation"] = json!(id.to_string());
        }
        let healthy = writer.is_filled();
        self.show("watching", healthy, detail);
    }

    /// Shows this instance as a follower.
    pub fn show_follower(&self, heartbeat: &Heartbeat, alive: bool, filled: bool) {
        let mut detail = json!({
            "role": "follower",
            "source": heartbeat.source,
            "revision": heartbeat.revision,
            "writer": heartbeat.owner,
        });
        if let Some(id) = &heartbeat.generation {
            detail["generation"] = json!(id);
        }
        let healthy = filled || alive && heartbeat.complete;
        self.show("following", healthy, detail);
    }

    /// Writes the status where it says something new: most polls find nothing.
    fn show(&self, phase: &'static str, healthy: bool, detail: Value) {
        let shown = Some((phase, healthy, detail));
        let before = self.with(|inner| std::mem::replace(&mut inner.shown, shown.clone()));
        let Some((phase, healthy, Value::Object(detail))) =
            shown.filter(|now| before.as_ref() != Some(now))
        else {
            return;
        };
        self.status.update(|state| {
            state.phase = phase.to_string();
            state.healthy = healthy;
            state.detail = detail;
        });
    }

    /// A reign begins: others learn at once whose it is, and whether DEST is filled.
    pub async fn begin(&self, writer: &Writer) {
        let complete = writer.is_filled();
        self.with(|inner| {
            inner.heartbeat.complete = complete;
            inner.heartbeat.generation = writer.generation().map(|id| id.to_string());
        });
        if let Err(error) = self.beat(&writer.lock, false).await {
            warn!(%error, event = "heartbeat_failed", "the heartbeat cannot be written");
        }
    }

    /// Another writes now: lag and report are its to tell.
    pub fn dethroned(&self) {
        self.with(|inner| inner.listed = None);
        if let Some(reports) = &self.reports {
            reports.reporter.fall_silent();
        }
    }

    /// A pass failed.
    pub fn failed(&self, failure: &Failure) {
        if matches!(failure, Failure::Dest(_)) {
            self.sign_of_life(Instant::now());
        }
        self.with(|inner| inner.figures.errors += 1);
        self.trouble(Some(&failure.to_string()));
    }

    /// Something lasts, or is over: logged when it begins, changes and ends, shown all the while.
    pub fn trouble(&self, reason: Option<&str>) {
        let reports = self.reports.as_ref();
        let unreported = reports.and_then(|reports| reports.reporter.trouble());
        let reason = reason.or(unreported.as_deref());
        let before = self.with(|inner| {
            let before = inner.trouble.clone();
            let since = before
                .as_ref()
                .map_or_else(Instant::now, |(_, since)| *since);
            inner.trouble = reason.map(|reason| (reason.to_string(), since));
            before
        });
        match (&before, reason) {
            (None, Some(reason)) => warn!(reason, event = "trouble", "syncing is impaired"),
            (Some((old, _)), Some(reason)) if old != reason => warn!(
                reason,
                event = "trouble_changed",
                "syncing is still impaired"
            ),
            (Some((_, since)), None) => {
                let seconds = since.elapsed().as_secs();
                info!(seconds, event = "trouble_ended", "syncing goes on");
            }
            _ => {}
        }
        if before.as_ref().map(|(old, _)| &**old) == reason {
            return;
        }
        self.status.update(|state| {
            state.degraded = reason.is_some();
            state.reason = reason.map(ToString::to_string);
        });
    }

    fn log_held(&self, writer: &Writer) {
        let held = writer.held.as_ref().map(|held| held.id.clone());
        let before = self.with(|inner| std::mem::replace(&mut inner.held, held.clone()));
        match &writer.held {
            Some(now) if before.as_ref() != Some(&now.id) => {
                let approve = format!(
                    "s3sync approve {} {}",
                    writer.source_name.trim_end_matches('/'),
                    now.id
                );
                error!(
                    id = now.id,
                    count = now.candidates.len(),
                    why = now.why,
                    approve,
                    event = "deletes_held",
                    "deletes are held until they are approved or undone"
                );
            }
            None if before.is_some() => info!(
                id = before,
                event = "deletes_released",
                "deletes are held no more"
            ),
            _ => {}
        }
    }

    fn log_rejected(&self, writer: &Writer) {
        let keys: Vec<String> = writer
            .rejected
            .iter()
            .map(|rejected| rejected.key.clone())
            .collect();
        let before = self.with(|inner| std::mem::replace(&mut inner.rejected, keys.clone()));
        if before == keys {
            return;
        }
        if keys.is_empty() {
            info!(event = "keys_rejected_ended", "every key is kept again");
        }
        const SHOWN: usize = 10;
        let new = writer
            .rejected
            .iter()
            .filter(|rejected| !before.contains(&rejected.key));
        for rejected in new.take(SHOWN) {
            warn!(
                key = printable(&rejected.key),
                reason = rejected.reason,
                rejected = keys.len(),
                event = "key_rejected",
                "a key is not kept"
            );
        }
    }

    /// Publishes the metrics.
    pub fn publish(&self) {
        let metrics = self.with(|inner| {
            let lag = inner.listed.map(|listed| listed.elapsed().as_secs_f64());
            let metrics = inner.figures.metrics(lag);
            inner.figures.published();
            metrics
        });
        self.metrics.publish(&metrics);
    }

    /// Publishes what is left, and waits for it a moment.
    pub async fn finish(&self) {
        self.publish();
        if let Some(reports) = &self.reports {
            reports.reporter.finish().await;
        }
        self.metrics.flush(Duration::from_secs(2)).await;
    }
}
