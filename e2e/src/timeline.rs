//! What happened when, as a run's record: events on lanes, and values over time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The record of a run; times are seconds since it began.
#[derive(Debug)]
pub struct Timeline {
    began: Instant,
    wall: OffsetDateTime,
    record: Mutex<Record>,
}

/// What a timeline holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// When the run began, UTC.
    pub began: String,
    /// In the order in which they happened.
    pub events: Vec<Event>,
    /// Values over time, by name; each stays until the next.
    pub series: BTreeMap<String, Vec<(f64, f64)>>,
    /// What was measured, with its unit in the name.
    pub figures: Vec<(String, f64)>,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Seconds since the run began.
    pub at: f64,
    /// To whom: a service, `uploads`, `faults`.
    pub lane: String,
    /// What.
    pub what: String,
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline::new()
    }
}

impl Timeline {
    /// One that begins now.
    pub fn new() -> Timeline {
        Timeline {
            began: Instant::now(),
            wall: OffsetDateTime::now_utc(),
            record: Mutex::default(),
        }
    }

    /// Seconds since it began.
    pub fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Something happened now.
    pub fn event(&self, lane: &str, what: &str) {
        self.event_at(self.now(), lane, what);
    }

    /// Something happened then.
    pub fn event_at(&self, at: f64, lane: &str, what: &str) {
        self.lock().events.push(Event {
            at,
            lane: lane.to_owned(),
            what: what.to_owned(),
        });
    }

    /// A value is this from now on.
    pub fn value(&self, name: &str, value: f64) {
        let at = self.now();
        let mut record = self.lock();
        let values = record.series.entry(name.to_owned()).or_default();
        if values.last().is_none_or(|last| last.1 != value) {
            values.push((at, value));
        }
    }

    /// Something was measured.
    pub fn figure(&self, what: &str, value: f64) {
        self.lock().figures.push((what.to_owned(), value));
    }

    /// All of it so far.
    pub fn record(&self) -> Record {
        let mut record = self.lock().clone();
        record
            .events
            .sort_by(|one, other| one.at.total_cmp(&other.at));
        record.began = self.wall.format(&Rfc3339).unwrap_or_default();
        record
    }

    /// Writes it as JSON.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) {
        let text = serde_json::to_string_pretty(&self.record()).unwrap_or_default();
        if let Err(error) = std::fs::write(path, text + "\n") {
            panic!("{} cannot be written: {error}", path.display());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
