//! `s3sync releases`: what was published, the newest first, and which is current where.

use super::keep::by_age;
use super::reports::{self, Seen};
use super::settings::Releases;
use super::{bytes, current, quiet_source, source};
use crate::failure::Failure;
use crate::inspect::Answer;
use crate::release::{Header, MANIFESTS, manifest_key, timestamp};
use crate::report::printable;
use crate::revision::{Hash, hex};
use crate::session::{Ending, Surroundings};
use crate::settings;
use crate::source::{Got, Kind, Source};
use agent::exit::Exit;
use serde::Serialize;
use std::fmt::Write as _;
use tokio::task::JoinSet;

/// How much of a manifest is read for its first line.
const FIRST_LINE: usize = 4 << 10;
/// Manifests whose first line is read at once.
const AT_ONCE: usize = 16;

/// A release in the list.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Its ID.
    pub(super) release: Hash,
    /// When it was put, in milliseconds by S3's clock.
    pub(super) modified: i64,
    /// What it says of itself, or why that cannot be read.
    pub(super) header: Result<Header, String>,
}

impl Listed {
    /// What a person called it.
    pub(super) fn name(&self) -> Option<&str> {
        self.header.as_ref().ok()?.name.as_deref()
    }
}

/// The newest releases, so many at most, the newest first by S3's clock.
///
/// # Errors
/// As S3 answers.
pub(super) async fn listed(source: &Source, most: usize) -> Result<Vec<Listed>, Ending> {
    let list = source.list_below(MANIFESTS).await.map_err(Failure::from)?;
    let mut under_way = JoinSet::new();
    let mut all = Vec::new();
    for (release, modified) in by_age(&list.objects).into_iter().take(most) {
        if under_way.len() >= AT_ONCE {
            all.extend(joined(under_way.join_next().await)?);
        }
        let source = source.clone();
        under_way.spawn(async move {
            let got = source.read_first(&manifest_key(&release), FIRST_LINE).await;
            let header = match got {
                // One that is archived, or empty, must not hide the others.
                Err(error) if is_of_one_object(&error.kind) => Some(Err(error.message)),
                Err(error) => return Err(error.into()),
                Ok(Got::Found(small)) => Some(Header::first_of(&small.bytes)),
                // Pruned since the listing.
                Ok(Got::Absent { .. } | Got::NotModified { .. }) => None,
            };
            Ok::<_, Failure>(header.map(|header| Listed {
                release,
                modified,
                header,
            }))
        });
    }
    while !under_way.is_empty() {
        all.extend(joined(under_way.join_next().await)?);
    }
    all.sort_by_key(|listed| (std::cmp::Reverse(listed.modified), listed.release));
    Ok(all)
}

fn is_of_one_object(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Archived | Kind::KmsDenied | Kind::Corrupt | Kind::Other
    )
}

type Joined = Option<Result<Result<Option<Listed>, Failure>, tokio::task::JoinError>>;

fn joined(joined: Joined) -> Result<Option<Listed>, Ending> {
    match joined {
        Some(Ok(read)) => Ok(read?),
        Some(Err(error)) => Err(Ending::new(
            Exit::Internal,
            format!("a read stopped: {error}"),
        )),
        None => Ok(None),
    }
}

/// One line of the answer.
#[derive(Debug, Serialize)]
struct Line {
    release: String,
    revision: Option<String>,
    name: Option<String>,
    author: Option<String>,
    /// When it was put, by S3's clock.
    published: String,
    files: Option<u64>,
    bytes: Option<u64>,
    current: bool,
    environments: Vec<Place>,
    unreadable: Option<String>,
}

/// Where a release runs.
#[derive(Debug, Serialize)]
struct Place {
    environment: String,
    landed: String,
    stale: bool,
}

/// Lists the releases.
///
/// # Errors
/// As S3 answers.
pub async fn releases(settings: &Releases, around: &Surroundings) -> Result<Answer, Ending> {
    let location = &settings.place.location;
    let source = source(around, location, AT_ONCE);
    let current = current::read(&source).await?;
    let mut all = listed(&source, settings.last).await?;
    let reported = settings.reports.report.as_ref().unwrap_or(location);
    let reports = reports::all(&quiet_source(around, reported)).await?;
    let current = current.map(|current| current.pointer.release);
    // S3's clock has whole seconds: of two within one, the current release is the newer.
    let is_current = |listed: &Listed| current == Some(listed.release);
    all.sort_by_key(|listed| (std::cmp::Reverse(listed.modified), !is_current(listed)));
    let lines: Vec<Line> = all
        .iter()
        .map(|listed| line(listed, current.as_ref(), &reports))
        .collect();
    let text = match settings::is_json(&settings.output) {
        true => serde_json::to_string(&lines).unwrap_or_default() + "\n",
        false if lines.is_empty() => format!("nothing was published to {location} yet\n"),
        false => table(&lines),
    };
    Ok(Answer {
        text,
        exit: Exit::Done,
    })
}

fn line(listed: &Listed, current: Option<&Hash>, reports: &[Seen]) -> Line {
    let header = listed.header.as_ref().ok();
    let (release, revision) = (
        hex(&listed.release),
        header.map(|header| hex(&header.revision)),
    );
    let runs = |seen: &Seen| {
        let report = seen.report.as_ref().ok()?;
        let here = match &report.release {
            Some(reported) => *reported == release,
            None => Some(&report.revision) == revision.as_ref(),
        };
        here.then(|| Place {
            environment: seen.environment.clone(),
            landed: report.landed.clone(),
            stale: seen.is_stale(),
        })
    };
    Line {
        published: timestamp(listed.modified),
        name: header.and_then(|header| header.name.clone()),
        author: header.and_then(|header| header.author.clone()),
        files: header.map(|header| header.files),
        bytes: header.map(|header| header.bytes),
        current: current == Some(&listed.release),
        environments: reports.iter().filter_map(runs).collect(),
        unreadable: listed.header.clone().err(),
        release,
        revision,
    }
}

fn table(lines: &[Line]) -> String {
    let heads = [
        "",
        "release",
        "published",
        "name",
        "author",
        "files",
        "size",
        "runs in",
    ];
    let mut rows: Vec<[String; 8]> = vec![heads.map(str::to_string)];
    for line in lines {
        let shown = |text: &Option<String>| text.as_deref().map(printable).unwrap_or_default();
        let mut places: Vec<String> = line
            .environments
            .iter()
            .map(|place| match place.stale {
                true => format!("{} (stale)", printable(&place.environment)),
                false => printable(&place.environment),
            })
            .collect();
        places.extend(line.unreadable.as_deref().map(printable));
        rows.push([
            if line.current { "*" } else { "" }.to_string(),
            line.release.get(..12).unwrap_or_default().to_string(),
            line.published.clone(),
            shown(&line.name),
            shown(&line.author),
            line.files
                .map(|files| files.to_string())
                .unwrap_or_default(),
            line.bytes.map(bytes).unwrap_or_default(),
            places.join(", "),
        ]);
    }
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate();
        let line = cells.fold(String::new(), |mut line, (column, (cell, width))| {
            // Writing to a String cannot fail.
            let _ = match column {
                5 | 6 => write!(line, "{cell:>width$}  "),
                _ => write!(line, "{cell:<width$}  "),
            };
            line
        });
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
