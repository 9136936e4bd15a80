//! What watchers tell: reading their reports.

use crate::failure::Failure;
use crate::release::{LONGEST_REPORT, REPORTS, Report, STALE_AFTER, report_key};
use crate::session::Ending;
use crate::source::{Got, Source};

/// A report as it was found.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Whose, by its key.
    pub(super) environment: String,
    /// What it says, or why it cannot be read.
    pub(super) report: Result<Report, String>,
    /// How long ago it was written, in milliseconds by S3's clock.
    pub(super) age: i64,
}

impl Seen {
    /// Whether it is too old to tell of now.
    pub(super) fn is_stale(&self) -> bool {
        self.age > STALE_AFTER
    }
}

/// Every report, sorted by environment.
///
/// # Errors
/// As S3 answers.
pub(super) async fn all(source: &Source) -> Result<Vec<Seen>, Ending> {
    let list = source.list_below(REPORTS).await.map_err(Failure::from)?;
    let mut reports = Vec::new();
    for object in &list.objects {
        let name = object
            .key
            .strip_prefix(REPORTS)
            .and_then(|name| name.strip_suffix(".json"));
        if let Some(environment) = name {
            reports.extend(one(source, environment).await?);
        }
    }
    Ok(reports)
}

/// The report of one environment, if there is one.
///
/// # Errors
/// As S3 answers.
pub(super) async fn one(source: &Source, environment: &str) -> Result<Option<Seen>, Ending> {
    let key = report_key(environment);
    let got = source.read_small(&key, None, LONGEST_REPORT).await;
    match got.map_err(Failure::from)? {
        Got::Found(small) => Ok(Some(Seen {
            environment: environment.to_string(),
            report: Report::parse(&small.bytes),
            age: small.server_time.map_or(0, |now| now - small.modified),
        })),
        Got::Absent { .. } | Got::NotModified { .. } => Ok(None),
    }
}
