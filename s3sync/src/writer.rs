//! The writer of one reign: everything it knows and holds between passes.

use crate::dest::{Dest, DestError};
use crate::failure::Failure;
use crate::filter::Filter;
use crate::follow::Follow;
use crate::gate::{Held, Mode, Policy};
use crate::generations::{Keep, Reign};
use crate::key;
use crate::local;
use crate::lock::Lock;
use crate::manifest::journal::{self, Journal, Loaded};
use crate::manifest::{Change, Entry, Manifest};
use crate::plan::Rejected;
use crate::prepare::{Waiting, Workshop, blocking};
use crate::progress::Progress;
use crate::revision::Revision;
use crate::setbacks::Setbacks;
use crate::source::Source;
use crate::stage::Stage;
use agent::status::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What a writer does the same way in every pass.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Deletes.
    pub policy: Policy,
    /// What is synced.
    pub filter: Filter,
    /// Whether a failed object holds its set back for two passes.
    pub hold_on_failure: bool,
    /// Whether another source's manifest is taken over.
    pub adopt: bool,
    /// Files in flight.
    pub concurrency: usize,
    /// How long something in the way is believed to be there.
    pub obstruction_pause: Duration,
    /// Which generations stay; nothing in place.
    pub keep: Keep,
}

/// The one writer of a DEST.
#[derive(Debug)]
pub struct Writer {
    pub(crate) shop: Workshop,
    pub(crate) lock: Arc<Lock>,
    /// `None` after a write to it failed: what it holds is not known until it is written anew.
    pub(crate) journal: Option<Journal>,
    pub(crate) manifest: Manifest,
    pub(crate) rules: Rules,
    pub(crate) setbacks: Setbacks,
    /// The pointer to a release, where there is one.
    pub follow: Follow,
    /// Files that a scrub found changed.
    pub suspects: BTreeSet<Box<str>>,
    /// Files below DEST that are not managed, as of the last walk.
    pub unmanaged: BTreeSet<Box<str>>,
    /// Fetched in this pass or one that was held back, to be published.
    pub(crate) waiting: BTreeMap<Box<str>, Waiting>,
    /// Likewise, but DEST has the bytes already.
    pub(crate) same: BTreeMap<Box<str>, Entry>,
    /// The deletes that wait for a person.
    pub held: Option<Held>,
    /// Keys that are not kept, as of the last plan.
    pub rejected: Vec<Rejected>,
    /// Directories that something is in the way of.
    pub(crate) blocked_directories: BTreeSet<Box<str>>,
    pub(crate) source_name: String,
    /// Set while files are being renamed: the wrong moment to leave.
    pub bursting: Arc<AtomicBool>,
    /// Shown while objects are fetched.
    pub progress: Progress,
    /// `None` in place.
    pub(crate) generations: Option<Reign>,
    revision: Option<Revision>,
}

impl Writer {
    /// Takes up the reign that `lock` stands for: sweeps staging, reads the manifest, settles what an
    /// earlier writer left half done.
    pub async fn open(
        source: Source,
        dest: Arc<Dest>,
        lock: Arc<Lock>,
        rules: Rules,
        status: Status,
    ) -> Result<Self, Failure> {
        let source_name = source.location().to_string();
        let opened = {
            let (dest, lock, rules, name) = (
                Arc::clone(&dest),
                Arc::clone(&lock),
                rules.clone(),
                source_name.clone(),
            );
            blocking(&status, "load", move || load(&dest, &lock, &rules, &name)).await?
        };
        let shop = Workshop {
            source,
            dest,
            stage: Arc::new(opened.stage),
            status,
            concurrency: rules.concurrency,
            // A fresh manifest's walk has told; else somebody may have put a file there since.
            look_first: !opened.fresh || !opened.unmanaged.is_empty(),
        };
        let mut writer = Writer {
            shop,
            lock,
            journal: Some(opened.journal),
            manifest: opened.manifest,
            rules,
            setbacks: Setbacks::default(),
            follow: Follow::default(),
            suspects: opened.suspects,
            unmanaged: opened.unmanaged,
            waiting: BTreeMap::new(),
            same: BTreeMap::new(),
            held: None,
            rejected: Vec::new(),
            blocked_directories: BTreeSet::new(),
            source_name,
            bursting: Arc::default(),
            progress: Progress::none(),
            generations: opened.generations,
            revision: None,
        };
        writer.begin_generations().await?;
        Ok(writer)
    }

    /// The manifest as it is now.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Takes in what a scrub found; returns the files that drifted.
    pub fn take_findings(&mut self, findings: crate::scrub::Findings) -> BTreeSet<Box<str>> {
        findings.suspects(&mut self.manifest)
    }

    /// The lock of this reign.
    pub fn lock(&self) -> &Arc<Lock> {
        &self.lock
    }

    /// DEST.
    pub fn dest(&self) -> &Arc<Dest> {
        &self.shop.dest
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What the system is doing, for the status.
    pub fn status(&self) -> &Status {
        &self.shop.status
    }

    /// The revision that readers have: of the current generation, or in place of what is managed.
    pub fn revision(&mut self) -> Revision {
        self.generation().unwrap_or_else(|| self.tree_revision())
    }

    /// The revision of what is managed; computed once after each change.
    pub(crate) fn tree_revision(&mut self) -> Revision {
        *self
            .revision
            .get_or_insert_with(|| self.manifest.revision())
    }

    pub(crate) fn forget_revision(&mut self) {
        self.revision = None;
    }

    /// Whether readers find a complete pass that found a file, or may be empty.
    pub fn is_filled(&self) -> bool {
        self.is_complete() && (self.generations.is_none() || self.generation().is_some())
    }

    /// Whether a pass that found a file, or may be empty, was complete.
    pub(crate) fn is_complete(&self) -> bool {
        let complete = self.manifest.complete;
        complete.is_some_and(|complete| complete.files > 0 || self.rules.policy.allow_empty)
    }

    /// Objects that failed, with why, and the code for them.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &crate::setbacks::Setback)> {
        let failed = self.setbacks.iter();
        failed.filter(|(_, setback)| setback.how == crate::setbacks::How::Failed)
    }

    /// Believes in no obstruction any more, after a scrub.
    pub fn look_again(&mut self) {
        self.setbacks.look_again();
        self.blocked_directories.clear();
        // What a walk found may be a delete now.
        if self.rules.policy.mode == Mode::All {
            self.follow.look_again();
        }
    }

    /// Appends changes that no burst is needed for, and applies them.
    pub async fn record(&mut self, changes: Vec<Change>) -> Result<(), Failure> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut journal = self.take_journal().await?;
        let written = changes.clone();
        let (journal, result) = self
            .blocking("write", move || {
                let result = journal.append(&written);
                (journal, result)
            })
            .await;
        result.map_err(|error| DestError::new("write", journal::NAME, error))?;
        self.journal = Some(journal);
        changes
            .into_iter()
            .for_each(|change| self.manifest.apply(change));
        Ok(())
    }

    /// The journal, written anew where it is not known what it holds, or where it grew long.
    pub(crate) async fn take_journal(&mut self) -> Result<Journal, Failure> {
        match self.journal.take() {
            Some(journal) if !journal.is_long(&self.manifest) => Ok(journal),
            _ => {
                let (dest, manifest, name) = (
                    Arc::clone(&self.shop.dest),
                    self.manifest.clone(),
                    self.source_name.clone(),
                );
                let written = self
                    .blocking("write", move || {
                        Journal::rewrite(dest.state(), &name, &manifest)
                    })
                    .await;
                Ok(written.map_err(|error| DestError::new("write", journal::NAME, error))?)
            }
        }
    }

    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        blocking(&self.shop.status, what, work).await
    }

    /// Leaves in good order: nothing stays in staging.
    pub async fn close(self) {
        let stage = Arc::clone(&self.shop.stage);
        if let Err(error) = self.blocking("remove", move || stage.close()).await {
            tracing::debug!(event = "staging_left", %error, "staging was not removed");
        }
    }
}

struct Opened {
    stage: Stage,
    journal: Journal,
    manifest: Manifest,
    suspects: BTreeSet<Box<str>>,
    unmanaged: BTreeSet<Box<str>>,
    fresh: bool,
    generations: Option<Reign>,
}

fn load(dest: &Dest, lock: &Lock, rules: &Rules, source: &str) -> Result<Opened, Failure> {
    let fail = |doing: &'static str| {
        let path = dest.path().display().to_string();
        move |error: io::Error| DestError::new(doing, path, error)
    };
    // Again: a process of the other layout may have come first.
    dest.check_layout()?;
    let loaded = journal::load(dest.state()).map_err(fail("read the manifest of"))?;
    check_source(dest, loaded.as_ref(), source, rules.adopt)?;
    // First of all: a writer that was frozen must find its staging gone when it wakes.
    let stage = Stage::open(dest, lock.epoch()).map_err(fail("make staging in"))?;
    let fresh = loaded.is_none();
    let mut suspects = BTreeSet::new();
    let (manifest, journal) = match loaded {
        Some(loaded) => {
            let (ours, lines) = (loaded.source == source, loaded.lines);
            let append = loaded.clean && lock.clean && ours;
            let mut manifest = recover(dest, loaded, &mut suspects);
            if !ours {
                manifest.complete = None;
            }
            let journal = match append {
                true => Journal::append_to(dest.state(), lines),
                false => Journal::rewrite(dest.state(), source, &manifest),
            };
            (manifest, journal)
        }
        None => (
            Manifest::default(),
            Journal::rewrite(dest.state(), source, &Manifest::default()),
        ),
    };
    let walk = fresh || rules.policy.mode == Mode::All;
    let unmanaged = match walk {
        true => local::unmanaged(dest, &rules.filter, &manifest).map_err(fail("walk"))?,
        false => BTreeSet::new(),
    };
    let journal = journal.map_err(fail("write the manifest of"))?;
    Ok(Opened {
        stage,
        journal,
        manifest,
        suspects,
        unmanaged,
        fresh,
        generations: Reign::of(dest).map_err(fail("read the current generation of"))?,
    })
}

/// Refuses a DEST whose manifest names another source.
pub fn check_source(
    dest: &Dest,
    loaded: Option<&Loaded>,
    source: &str,
    adopt: bool,
) -> Result<(), Failure> {
    match loaded {
        Some(loaded) if loaded.source != source && !adopt => Err(Failure::OtherSource {
            dest: dest.path().display().to_string(),
            theirs: loaded.source.clone(),
            ours: source.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Settles intents that no commit followed: a rename happened if the staged inode is at the path. A
/// path where neither the old nor the new file is goes to the suspects.
pub(crate) fn recover(dest: &Dest, loaded: Loaded, suspects: &mut BTreeSet<Box<str>>) -> Manifest {
    let Loaded {
        mut manifest,
        pending,
        unreadable,
        ..
    } = loaded;
    if unreadable > 0 {
        tracing::warn!(
            event = "manifest_damaged",
            lines = unreadable,
            "lines of the manifest cannot be read; their files are compared anew"
        );
    }
    for change in pending {
        let Change::Put(path, entry) = change else {
            continue;
        };
        let found = dest.find(&path).ok().flatten();
        let is = |entry: &Entry| {
            found.is_some_and(|found| {
                found.inode == entry.local.inode
                    && found.size == entry.size
                    && found.mtime == entry.local.mtime
            })
        };
        let known = manifest.files.get(&path);
        if is(&entry) {
            manifest.files.insert(path, entry);
        } else if known.is_some_and(|known| !is(known)) {
            suspects.insert(path);
        } else if found.is_none() {
            remove_empty_above(dest, &path, &manifest.directories);
        }
    }
    manifest
}

/// Directories that were made for a file which was not renamed into them any more: empty ones below a
/// path would stand in the way of a file there for ever.
fn remove_empty_above(dest: &Dest, path: &str, keep: &BTreeSet<Box<str>>) {
    for directory in key::ancestors(path) {
        if keep.contains(directory) || !dest.remove_directory(directory).is_ok_and(|gone| gone) {
            break;
        }
    }
}
