//! `s3sync publish`: a directory becomes the current release.

use super::current::{self, Current, described, titled};
use super::diff::{self, Diff};
use super::marker::Seen;
use super::settings::Publish;
use super::tree::{self, Local};
use super::verdict::Target;
use super::wait::{self, Waited};
use super::{Clock, author, bytes, counted, marker, source, upload};
use crate::failure::Failure;
use crate::inspect::Answer;
use crate::pass::now;
use crate::prepare::blocking;
use crate::progress::Progress;
use crate::release::{File, LONGEST_MANIFEST, Pointer, ReleaseManifest, manifest_key, timestamp};
use crate::revision::{Hash, hex};
use crate::session::{Ending, Surroundings};
use crate::settings;
use crate::source::{Condition, Source};
use agent::exit::Exit;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::Duration;
use tracing::warn;

/// A release whose content took longer is not published: `prune` may have begun to remove it.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// Publishes a directory.
///
/// # Errors
/// What the tree or S3 refuses; [`Exit::No`] when another publisher was quicker.
pub async fn publish(settings: &Publish, around: &Surroundings) -> Result<Answer, Ending> {
    let begun = Clock::start();
    let location = &settings.place.location;
    let source = source(around, location, settings.concurrency);
    // Who publishes while this tree is read is seen when the pointer is written.
    let current = current::read(&source).await?;
    let tree = read_tree(settings, around).await?;
    let before = match &current {
        Some(current) => current::manifest(&source, &current.pointer.release).await?,
        None => Ok(ReleaseManifest::default()),
    };
    let known = before.as_ref().map(|manifest| &*manifest.files);
    if let Err(why) = &before {
        warn!(
            reason = why,
            event = "current_broken",
            "the current release cannot be read; everything is uploaded"
        );
    }
    let draft = draft(settings, around, &tree)?;
    let mut run = Run {
        source: &source,
        settings,
        tree: &tree,
        answer: Published::of(&draft, known.as_ref().map_or(&[][..], |files| files)),
        begun,
    };
    let equal = match (&current, &before) {
        (Some(current), Ok(_)) if current.pointer.revision == draft.header.revision => {
            Some(current.pointer.clone())
        }
        _ => None,
    };
    if settings.dry_run {
        return Ok(run.answer.dry_run(settings, current.as_ref()));
    }
    let target = match equal {
        Some(pointer) => run.complete(pointer).await?,
        None => {
            run.publish(draft, current, known.unwrap_or_default())
                .await?
        }
    };
    let mut answer = run.answer;
    answer.seconds = run.begun.elapsed().as_secs_f64();
    if settings.wait {
        if !settings::is_json(&settings.output) {
            // People see that it is published before they wait.
            let _ = std::io::stdout().write_all(answer.text(settings).as_bytes());
        }
        let waited = wait::until_landed(&settings.waiting, location, &target, around).await?;
        answer.waited = Some(waited);
    }
    Ok(answer.answer(settings))
}

async fn read_tree(settings: &Publish, around: &Surroundings) -> Result<Vec<Local>, Ending> {
    let (directory, patterns) = (settings.directory.clone(), settings.patterns.clone());
    let read = blocking(&around.status, "read", move || {
        let filter = tree::filter(&directory, &patterns)?;
        tree::read(&directory, &filter)
    });
    let tree = read.await.map_err(|why| Ending::new(Exit::Source, why))?;
    if tree.is_empty() && !settings.allow_empty {
        let directory = settings.directory.display();
        return Err(Ending::new(
            Exit::Source,
            format!(
                "{directory} has no files to publish: check it and the patterns, or say --allow-empty"
            ),
        ));
    }
    Ok(tree)
}

fn draft(
    settings: &Publish,
    around: &Surroundings,
    tree: &[Local],
) -> Result<ReleaseManifest, Ending> {
    let files: Vec<File> = tree.iter().map(|local| local.file.clone()).collect();
    let author = author(settings.author.as_deref(), &around.environment);
    let draft = ReleaseManifest::new(files, settings.name.clone(), author, timestamp(now()));
    draft.map_err(|why| {
        let directory = settings.directory.display();
        Ending::new(
            Exit::Source,
            format!("{directory} cannot be a release: {why}"),
        )
    })
}

/// A publication under way.
struct Run<'a> {
    source: &'a Source,
    settings: &'a Publish,
    tree: &'a [Local],
    answer: Published,
    begun: Clock,
}

impl Run<'_> {
    /// The tree is the current release's: only content that somebody removed is put again.
    async fn complete(&mut self, pointer: Pointer) -> Result<Target, Ending> {
        // What a prune still removes would be found here, and gone after.
        let prune = marker::wait_for_end(self.source, &self.begun).await?;
        let mut missing = upload::missing(self.tree, &BTreeSet::new());
        if !self.settings.upload_all {
            let stored = upload::stored(self.source).await?;
            missing.retain(|_, local| upload::is_gone(&stored, &local.file));
        }
        self.upload(missing).await?;
        if prune == Seen::Runs {
            return Err(prune_runs(&pointer));
        }
        self.answer.is_current(&pointer);
        Ok(Target(vec![hex(&pointer.release), hex(&pointer.revision)]))
    }

    async fn publish(
        &mut self,
        draft: ReleaseManifest,
        current: Option<Current>,
        known: &[File],
    ) -> Result<Target, Ending> {
        let known: BTreeSet<Hash> = known.iter().map(|file| file.sha256).collect();
        let mut missing = match self.settings.upload_all {
            true => upload::missing(self.tree, &BTreeSet::new()),
            false => upload::missing(self.tree, &known),
        };
        if !self.settings.upload_all {
            upload::without_uploaded(self.source, &mut missing).await?;
        }
        self.upload(missing).await?;

        let (release, text) = draft.to_bytes();
        if text.len() > LONGEST_MANIFEST {
            let why = format!(
                "the manifest would have {} bytes, and readers take {LONGEST_MANIFEST}: publish parts of the tree under prefixes of their own",
                text.len()
            );
            return Err(Ending::new(Exit::Source, why));
        }
        let key = manifest_key(&release);
        let put = self.source.put_small(&key, text, Condition::None).await;
        put.map_err(Failure::from)?;

        if self.begun.elapsed() > LONGEST {
            let why = "the upload took more than 12 hours, and what came first may be pruned: publish again";
            return Err(Ending::new(Exit::Unavailable, why));
        }
        let pointer = Pointer {
            name: draft.header.name.clone(),
            author: draft.header.author.clone(),
            previous: current
                .as_ref()
                .map(|current| hex(&current.pointer.release)),
            ..Pointer::new(release, draft.header.revision, draft.header.created.clone())
        };
        if !current::write(self.source, &pointer, current.as_ref()).await? {
            return Err(current::conflict(self.source).await);
        }
        let looked = self.look_again(&known).await;
        if looked.map_err(|error| unverified(&pointer, &error))? == Seen::Runs {
            return Err(prune_runs(&pointer));
        }
        self.answer.published(&pointer);
        Ok(Target(vec![hex(&release), hex(&pointer.revision)]))
    }

    /// A prune may have removed what this release relies on and no release before it needed.
    async fn look_again(&mut self, known: &BTreeSet<Hash>) -> Result<Seen, Ending> {
        let seen = marker::wait_for_end(self.source, &self.begun).await?;
        if seen == Seen::Nothing {
            return Ok(seen);
        }
        let mut gone = upload::missing(self.tree, known);
        let stored = upload::stored(self.source).await?;
        gone.retain(|_, local| upload::is_gone(&stored, &local.file));
        self.upload(gone).await?;
        Ok(seen)
    }

    async fn upload(&mut self, files: BTreeMap<Hash, &Local>) -> Result<(), Ending> {
        let total = files.values().map(|local| local.file.size).sum();
        let count = files.len() as u64;
        let mut progress = Progress::on_terminal();
        progress.begin(count, total);
        let mut files: Vec<Local> = files.into_values().cloned().collect();
        files.sort_by(|one, other| one.file.path.cmp(&other.file.path));
        let (directory, concurrency) = (&self.settings.directory, self.settings.concurrency);
        upload::upload(
            self.source,
            directory,
            files.into_iter(),
            concurrency,
            &mut progress,
        )
        .await?;
        self.answer.uploaded_files += count;
        self.answer.uploaded_bytes += total;
        Ok(())
    }
}

fn prune_runs(pointer: &Pointer) -> Ending {
    Ending::new(
        Exit::Unavailable,
        format!(
            "{} is current, but a prune still runs and may remove what it needs: publish again when that has ended",
            titled(pointer.name.as_deref(), &pointer.release)
        ),
    )
}

fn unverified(pointer: &Pointer, error: &Ending) -> Ending {
    Ending::new(
        error.exit,
        format!(
            "{} is current, but whether a prune removed what it needs is not known, publish again: {}",
            titled(pointer.name.as_deref(), &pointer.release),
            error.why
        ),
    )
}

/// The answer of `publish`.
#[derive(Debug, Serialize)]
struct Published {
    /// Whether the pointer was moved.
    published: bool,
    release: Option<String>,
    revision: String,
    name: Option<String>,
    author: Option<String>,
    previous: Option<String>,
    files: u64,
    bytes: u64,
    #[serde(flatten)]
    diff: Diff,
    uploaded_files: u64,
    uploaded_bytes: u64,
    seconds: f64,
    waited: Option<Waited>,
    #[serde(skip)]
    described: String,
}

impl Published {
    fn of(draft: &ReleaseManifest, known: &[File]) -> Self {
        Published {
            published: false,
            release: None,
            revision: hex(&draft.header.revision),
            name: draft.header.name.clone(),
            author: draft.header.author.clone(),
            previous: None,
            files: draft.header.files,
            bytes: draft.header.bytes,
            diff: diff::between(known, &draft.files),
            uploaded_files: 0,
            uploaded_bytes: 0,
            seconds: 0.0,
            waited: None,
            described: String::new(),
        }
    }

    fn published(&mut self, pointer: &Pointer) {
        self.is_current(pointer);
        self.published = true;
    }

    fn is_current(&mut self, pointer: &Pointer) {
        self.release = Some(hex(&pointer.release));
        self.name.clone_from(&pointer.name);
        self.author.clone_from(&pointer.author);
        self.previous.clone_from(&pointer.previous);
        self.described = match self.published {
            true => titled(pointer.name.as_deref(), &pointer.release),
            false => described(pointer),
        };
    }

    fn dry_run(mut self, settings: &Publish, current: Option<&Current>) -> Answer {
        self.previous = current.map(|current| hex(&current.pointer.release));
        let text = match settings::is_json(&settings.output) {
            true => self.json(),
            false => {
                let against = match current {
                    Some(current) => described(&current.pointer),
                    None => "nothing, as nothing was published yet".to_string(),
                };
                let (lines, counts) = (self.diff.lines(), self.diff.counts());
                format!("{lines}{counts}, against {against}; nothing was written\n")
            }
        };
        Answer {
            text,
            exit: Exit::Done,
        }
    }

    fn answer(self, settings: &Publish) -> Answer {
        let waited = self.waited.as_ref();
        Answer {
            exit: waited.map_or(Exit::Done, Waited::exit),
            text: match settings::is_json(&settings.output) {
                true => self.json(),
                false => match &self.waited {
                    Some(waited) => waited.text(),
                    None => self.text(settings),
                },
            },
        }
    }

    fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    fn text(&self, settings: &Publish) -> String {
        let place = &settings.place.location;
        let uploaded = format!(
            "{}, {} uploaded in {:.1} s",
            counted(self.uploaded_files, "file"),
            bytes(self.uploaded_bytes),
            self.seconds
        );
        let described = &self.described;
        if !self.published {
            let again = match self.uploaded_files {
                0 => "nothing was written".to_string(),
                _ => format!("what S3 had lost of it was put again: {uploaded}"),
            };
            return format!("{place} has this tree already, as {described}; {again}\n");
        }
        let (counts, revision) = (self.diff.counts(), &self.revision);
        format!("published {described} to {place}: {counts}; {uploaded}\nrevision {revision}\n")
    }
}
