//! What a watcher tells of itself: one small object per environment, which publishers wait for.

use super::{REPORTS, SCHEMA};
use serde::{Deserialize, Serialize};

/// The longest report that is read, in bytes: lists of keys are cut to [`MOST_KEYS`].
pub const LONGEST_REPORT: usize = 1 << 20;
/// How many keys a list of a report names at most.
pub const MOST_KEYS: usize = 100;
/// A report that was written longer ago, in milliseconds, tells nothing of now.
pub const STALE_AFTER: i64 = 15 * 60 * 1000;

/// What an environment runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this format.
    pub schema: u32,
    /// The environment, as metrics name it.
    pub environment: String,
    /// The service, as metrics name it.
    pub service: String,
    /// `s3://BUCKET/PREFIX/` that the watcher follows.
    pub source: String,
    /// The revision that readers have now, in hexadecimal.
    pub revision: String,
    /// The release that it is, in hexadecimal; none where files are listed.
    #[serde(default)]
    pub release: Option<String>,
    /// The generation that readers have now; none with `--layout in-place`.
    #[serde(default)]
    pub generation: Option<String>,
    /// When this revision landed, RFC 3339 in UTC.
    pub landed: String,
    /// When this was written, RFC 3339 in UTC.
    pub updated: String,
    /// Deletes that wait for a person.
    #[serde(default)]
    pub held_deletes: Option<HeldDeletes>,
    /// Keys that are not kept, and why; at most [`MOST_KEYS`].
    #[serde(default)]
    pub rejected: Vec<KeyReason>,
    /// Keys that could not be fetched, and why; at most [`MOST_KEYS`].
    #[serde(default)]
    pub failed: Vec<KeyReason>,
    /// Why the watcher is not where it wants to be.
    #[serde(default)]
    pub reason: Option<String>,
    /// The version of s3sync.
    pub version: String,
}

/// Deletes that wait for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldDeletes {
    /// What `s3sync approve` takes.
    pub id: String,
    /// How many.
    pub count: u64,
}

/// A key and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReason {
    /// The key below the prefix.
    pub key: String,
    /// One line.
    pub reason: String,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// Why it is none, as the end of a sentence.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        super::manifest::check_schema(bytes)?;
        serde_json::from_slice(bytes).map_err(|why| format!("it is no report: {why}"))
    }

    /// The report as one line.
    pub fn to_line(&self) -> String {
        // A structure of strings and numbers always has a JSON form.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// The version of the format that is written.
    pub fn schema() -> u32 {
        SCHEMA
    }
}

/// The key of an environment's report, below the location of `--report`.
pub fn report_key(environment: &str) -> String {
    format!("{REPORTS}{environment}.json")
}
