//! What a pass did, in words and in JSON.

use crate::plan::{Rejected, Why};
use crate::revision::hex;
use crate::writer::Writer;
use agent::exit::Exit;
use serde::Serialize;
use std::fmt::Write as _;

/// The numbers of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Objects in the listing.
    pub listed: u64,
    /// Files published that were not there.
    pub added: u64,
    /// Files published in place of an older version.
    pub updated: u64,
    /// Files published in place of a damaged one.
    pub repaired: u64,
    /// Files deleted.
    pub deleted: u64,
    /// Files as they should be.
    pub unchanged: u64,
    /// Deletes that wait for a person.
    pub held_deletes: u64,
    /// Bytes of published files.
    pub bytes: u64,
}

impl Tally {
    /// Counts a published file.
    pub fn published(&mut self, why: Why, bytes: u64) {
        let count = match why {
            Why::Add => &mut self.added,
            Why::Update => &mut self.updated,
            Why::Repair => &mut self.repaired,
        };
        *count += 1;
        self.bytes += bytes;
    }

    /// Files that readers see changed.
    pub fn changed(&self) -> u64 {
        self.added + self.updated + self.repaired + self.deleted
    }

    /// Adds another pass of the same run.
    pub fn add(&mut self, later: Tally) {
        *self = Tally {
            listed: later.listed,
            added: self.added + later.added,
            updated: self.updated + later.updated,
            repaired: self.repaired + later.repaired,
            deleted: self.deleted + later.deleted,
            unchanged: later.unchanged,
            held_deletes: later.held_deletes,
            bytes: self.bytes + later.bytes,
        };
    }
}

/// The answer of `once`.
#[derive(Debug, Serialize)]
pub struct Report {
    revision: String,
    /// Of a source with a pointer; null when DEST is not that release yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<Option<String>>,
    /// With generations: the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<String>,
    listed: u64,
    added: u64,
    updated: u64,
    deleted: u64,
    unchanged: u64,
    repaired: u64,
    held_deletes: u64,
    rejected: Vec<Rejected>,
    failed: Vec<Rejected>,
    bytes: u64,
    seconds: f64,
    #[serde(skip)]
    held: Option<(String, String)>,
    #[serde(skip)]
    exit: Exit,
}

impl Report {
    /// Of a run that took `seconds` and did what `tally` says.
    pub fn of(writer: &mut Writer, tally: Tally, seconds: f64) -> Self {
        let failed = writer.failed().map(|(key, setback)| Rejected {
            key: key.to_string(),
            reason: setback.reason.clone(),
        });
        let failed: Vec<Rejected> = failed.collect();
        let worst = writer
            .failed()
            .map(|(_, setback)| setback.exit)
            .max()
            .unwrap_or(Exit::Done);
        let held = if tally.held_deletes > 0 {
            Exit::No
        } else {
            Exit::Done
        };
        Report {
            revision: writer.revision().to_string(),
            release: writer
                .follow
                .is_release()
                .then(|| writer.follow.landed().map(|release| hex(&release.id))),
            generation: writer.generation().map(|id| id.to_string()),
            listed: tally.listed,
            added: tally.added,
            updated: tally.updated,
            deleted: tally.deleted,
            unchanged: tally.unchanged,
            repaired: tally.repaired,
            held_deletes: tally.held_deletes,
            rejected: writer.rejected.clone(),
            failed,
            bytes: tally.bytes,
            seconds,
            held: writer
                .held
                .as_ref()
                .map(|held| (held.id.clone(), held.why.clone())),
            exit: worst.max(held),
        }
    }

    /// The code that `once` ends with: the highest wins.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// One JSON object.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<13}{value}");
        };
        line("revision", self.revision.clone());
        if let Some(release) = &self.release {
            line(
                "release",
                release.clone().unwrap_or_else(|| "not yet".to_string()),
            );
        }
        if let Some(generation) = &self.generation {
            line("generation", generation.clone());
        }
        line("listed", self.listed.to_string());
        line("added", self.added.to_string());
        line("updated", self.updated.to_string());
        line("deleted", self.deleted.to_string());
        line("unchanged", self.unchanged.to_string());
        line("repaired", self.repaired.to_string());
        if let Some((id, why)) = &self.held {
            line(
                "held",
                format!(
                    "{} deletes, ID {id}: {why}; release them with s3sync approve",
                    self.held_deletes
                ),
            );
        }
        for rejected in &self.rejected {
            line(
                "rejected",
                format!("{}: {}", printable(&rejected.key), rejected.reason),
            );
        }
        for failed in &self.failed {
            line(
                "failed",
                format!("{}: {}", printable(&failed.key), failed.reason),
            );
        }
        line("bytes", self.bytes.to_string());
        line("seconds", format!("{:.3}", self.seconds));
        text
    }
}

/// A key without control characters: a terminal obeys those.
pub fn printable(key: &str) -> String {
    if key.chars().any(char::is_control) {
        key.escape_debug().to_string()
    } else {
        key.to_string()
    }
}
