//! `s3sync prune`: removes old releases, and the content that no release needs any more.

use super::current::{self, Current};
use super::keep::{gone_content, gone_manifests, kept};
use super::settings::Prune;
use super::{Clock, bytes, counted, marker, quiet_source, reports, source, unless_stopped};
use crate::failure::Failure;
use crate::inspect::Answer;
use crate::release::{CONTENT, MANIFESTS, manifest_key, release_of, short, timestamp};
use crate::revision::{Hash, hex, unhex};
use crate::session::{Ending, Surroundings};
use crate::settings;
use crate::source::{Source, Stored};
use agent::exit::Exit;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write as _;
use tokio::task::JoinSet;
use tracing::warn;

/// Requests at once.
const AT_ONCE: usize = 16;

/// What goes, and what stays.
#[derive(Debug, Serialize)]
struct Plan {
    removed: bool,
    kept_releases: usize,
    releases: Vec<Gone>,
    content_objects: usize,
    content_bytes: u64,
    #[serde(skip)]
    keys: Vec<Box<str>>,
}

/// A release that goes.
#[derive(Debug, Serialize)]
struct Gone {
    release: String,
    published: String,
}

/// Removes what no kept release needs.
///
/// # Errors
/// As S3 answers; when the manifest of a kept release cannot be read: what it needs is not known.
pub async fn prune(settings: &Prune, around: &Surroundings) -> Result<Answer, Ending> {
    let location = &settings.place.location;
    let source = source(around, location, AT_ONCE);
    let json = settings::is_json(&settings.output);
    // A bucket that nobody published to gets no marker.
    current::must(&source).await?;
    if settings.dry_run {
        let plan = plan(settings, around, &source).await?;
        return Ok(plan.answer(json));
    }
    let begun = Clock::start();
    let marker = marker::put(&source).await?;
    let done = async {
        let mut plan = plan(settings, around, &source).await?;
        if !json && !plan.keys.is_empty() {
            // Before it happens; a reader that left early, as head does, has what it wanted.
            let _ = std::io::stdout().write_all(plan.text().as_bytes());
        }
        remove(&source, std::mem::take(&mut plan.keys), &begun).await?;
        plan.removed = true;
        Ok(plan)
    };
    // A signal ends it, too, but not before the marker says so.
    let done: Result<Plan, Ending> = unless_stopped(around, done).await;
    if let Err(error) = marker::end(&source, &marker).await {
        warn!(
            reason = error.why,
            event = "marker_left",
            "the marker does not say that this prune ended"
        );
    }
    Ok(done?.answer(json))
}

async fn plan(settings: &Prune, around: &Surroundings, source: &Source) -> Result<Plan, Ending> {
    let location = &settings.place.location;
    let current = current::must(source).await?;
    let manifests = source.list_below(MANIFESTS).await.map_err(Failure::from)?;
    let content = source.list_below(CONTENT).await.map_err(Failure::from)?;
    // Without S3's clock nothing is old enough.
    let now = content
        .server_time
        .or(manifests.server_time)
        .unwrap_or(i64::MIN / 2);
    let reported = settings.reports.report.as_ref().unwrap_or(location);
    let named = named(&current, &quiet_source(around, reported)).await?;
    let kept = kept(&manifests.objects, settings.keep, &named, now);
    let release = &current.pointer.release;
    // Without its manifest it would seem to need nothing.
    if !kept.contains(release) {
        return Err(Ending::new(
            Exit::Source,
            format!(
                "{}: the manifest of the current release is missing, what it needs is not known, and nothing was removed: restore it, or publish again",
                source.location().uri_of(&manifest_key(release))
            ),
        ));
    }
    let needed = needed(source, &kept).await?;
    let releases = gone_manifests(&manifests.objects, &kept);
    let content = gone_content(&content.objects, &needed, now);
    let gone = |object: &&Stored| Gone {
        release: release_of(&object.key)
            .map(|release| hex(&release))
            .unwrap_or_default(),
        published: timestamp(object.modified),
    };
    Ok(Plan {
        removed: false,
        kept_releases: kept.len(),
        releases: releases.iter().map(gone).collect(),
        content_objects: content.len(),
        content_bytes: content.iter().map(|object| object.size).sum(),
        // Manifests first: a prune that is killed leaves content without a release, not the reverse.
        keys: releases
            .iter()
            .chain(&content)
            .map(|object| object.key.clone())
            .collect(),
    })
}

/// What stays whatever its age: the current release, the one before it, and what watchers report.
/// A report that is stale still names what its environment has.
async fn named(current: &Current, reports_at: &Source) -> Result<BTreeSet<Hash>, Ending> {
    let mut named = BTreeSet::from([current.pointer.release]);
    named.extend(current.pointer.previous.as_deref().and_then(unhex));
    for seen in reports::all(reports_at).await? {
        let release = seen.report.ok().and_then(|report| report.release);
        named.extend(release.as_deref().and_then(unhex));
    }
    Ok(named)
}

async fn needed(source: &Source, kept: &BTreeSet<Hash>) -> Result<BTreeSet<Hash>, Ending> {
    let mut needed = BTreeSet::new();
    for release in kept {
        match current::manifest(source, release).await? {
            Ok(manifest) => needed.extend(manifest.files.iter().map(|file| file.sha256)),
            Err(why) => {
                return Err(Ending::new(
                    Exit::Source,
                    format!(
                        "{why}; what {} needs is not known, and nothing was removed: delete that manifest, or restore it",
                        short(release)
                    ),
                ));
            }
        }
    }
    Ok(needed)
}

async fn remove(source: &Source, keys: Vec<Box<str>>, begun: &Clock) -> Result<(), Ending> {
    let mut under_way = JoinSet::new();
    for key in keys {
        if begun.elapsed() > marker::LONGEST {
            let why = "45 minutes are over, after which its marker must not be relied on: prune again for the rest";
            return Err(Ending::new(Exit::Unavailable, why));
        }
        if under_way.len() >= AT_ONCE {
            ended(under_way.join_next().await)?;
        }
        let source = source.clone();
        under_way.spawn(async move { source.delete(&key).await.map_err(Failure::from) });
    }
    while !under_way.is_empty() {
        ended(under_way.join_next().await)?;
    }
    Ok(())
}

fn ended(
    joined: Option<Result<Result<(), Failure>, tokio::task::JoinError>>,
) -> Result<(), Ending> {
    match joined {
        Some(Ok(done)) => Ok(done?),
        Some(Err(error)) => Err(Ending::new(
            Exit::Internal,
            format!("a delete stopped: {error}"),
        )),
        None => Ok(()),
    }
}

impl Plan {
    fn answer(&self, json: bool) -> Answer {
        let text = match (json, self.removed) {
            (true, _) => serde_json::to_string(self).unwrap_or_default() + "\n",
            (false, false) => self.text() + "nothing was removed\n",
            (false, true) if self.releases.is_empty() && self.content_objects == 0 => self.text(),
            (false, true) => "removed\n".to_string(),
        };
        Answer {
            text,
            exit: Exit::Done,
        }
    }

    fn text(&self) -> String {
        let mut text: String = self
            .releases
            .iter()
            .map(|gone| {
                let short = gone.release.get(..12).unwrap_or_default();
                format!("- {short} of {}\n", gone.published)
            })
            .collect();
        text += &format!(
            "{} to remove, {} kept; {}, {}\n",
            counted(self.releases.len() as u64, "release"),
            self.kept_releases,
            counted(self.content_objects as u64, "content object"),
            bytes(self.content_bytes)
        );
        text
    }
}
