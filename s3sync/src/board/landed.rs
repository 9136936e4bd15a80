//! What readers have, told to the log and, with `--report`, to publishers.

use super::Board;
use crate::pass::now;
use crate::release::{HeldDeletes, KeyReason, MOST_KEYS, Report};
use crate::report::printable;
use crate::reporter::{Reporter, rfc3339};
use crate::revision::hex;
use crate::source::Release;
use crate::writer::Writer;
use agent::settings::MetricsSettings;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tracing::info;

/// Where reports go, and whose they are.
#[derive(Debug)]
pub(super) struct Reports {
    pub(super) reporter: Reporter,
    environment: String,
    service: String,
}

/// What readers have, and since when.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Landed {
    revision: String,
    release: Option<Release>,
    /// Milliseconds since 1970.
    at: i64,
}

impl Board {
    /// The same, and tells what it shows to `reporter`, under these names.
    pub fn reporting(mut self, reporter: Reporter, names: &MetricsSettings) -> Self {
        self.reports = Some(Arc::new(Reports {
            reporter,
            environment: names.environment.clone(),
            service: names.service.clone(),
        }));
        self
    }

    /// Tells what DEST holds, and why that is not what the source wants.
    pub fn report(&self, writer: &mut Writer, reason: Option<String>) {
        let Some(reports) = &self.reports else { return };
        let landed = self.landed(writer);
        let named = |key: &str, reason: &str| KeyReason {
            key: printable(key),
            reason: reason.to_string(),
        };
        let rejected = writer.rejected.iter().take(MOST_KEYS);
        let failed = writer.failed().take(MOST_KEYS);
        reports.reporter.tell(Report {
            schema: Report::schema(),
            environment: reports.environment.clone(),
            service: reports.service.clone(),
            source: writer.source_name.clone(),
            revision: landed.revision,
            release: landed.release.map(|release| hex(&release.id)),
            generation: writer.generation().map(|id| id.to_string()),
            landed: rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(landed.at as u64)),
            updated: String::new(),
            held_deletes: writer.held.as_ref().map(|held| HeldDeletes {
                id: held.id.clone(),
                count: held.candidates.len() as u64,
            }),
            rejected: rejected
                .map(|rejected| named(&rejected.key, &rejected.reason))
                .collect(),
            failed: failed
                .map(|(key, setback)| named(key, &setback.reason))
                .collect(),
            reason,
            version: env!("CARGO_PKG_VERSION").to_string(),
        });
    }

    /// What readers have; before a first complete pass no revision means anything.
    fn landed(&self, writer: &mut Writer) -> Landed {
        let complete = writer.manifest().complete;
        let (revision, release) = match complete {
            Some(_) => (
                writer.revision().to_string(),
                writer.follow.landed().cloned(),
            ),
            None => (String::new(), None),
        };
        self.with(|inner| {
            let known = &mut inner.landed;
            if (&known.revision, &known.release) != (&revision, &release) {
                // Whatever is there when a reign begins landed before it, also where its first pass has
                // yet to tell which release it is.
                let before = known.revision.is_empty()
                    || known.release.is_none() && known.revision == revision;
                let earlier = complete.filter(|_| before).map(|complete| complete.at);
                *known = Landed {
                    revision,
                    release,
                    at: earlier.unwrap_or_else(now).max(0),
                };
            }
            known.clone()
        })
    }

    pub(super) fn log_release(&self, writer: &Writer, revision: &str) {
        let landed = writer.follow.landed().cloned();
        let before = self.with(|inner| std::mem::replace(&mut inner.release, landed.clone()));
        if before == landed {
            return;
        }
        match landed {
            Some(release) => info!(
                release = hex(&release.id),
                name = release.name,
                revision,
                event = "release_landed",
                "DEST is this release"
            ),
            None => info!(
                revision,
                event = "release_left",
                "DEST is no release any more"
            ),
        }
    }
}
