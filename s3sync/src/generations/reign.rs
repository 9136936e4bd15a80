//! Generations between the passes of a reign.

use super::check::{Depth, check};
use super::land::{How, Landed, Place, Unlanded, land};
use super::make::{HardLinks, Made};
use super::picture::Picture;
use super::remove::remove_old;
use crate::dest::{self, Dest};
use crate::failure::Failure;
use crate::filter::Filter;
use crate::manifest::{Change, Entry};
use crate::plan::Rejected;
use crate::prepare::blocking;
use crate::revision::Revision;
use crate::writer::Writer;
use agent::status::Status;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// How long `once` stays for old generations that it removes.
const LONGEST_REMOVAL: Duration = Duration::from_secs(30);

/// What a reign knows of generations.
#[derive(Debug)]
pub(crate) struct Reign {
    /// What `current` names, as of the last look.
    current: Option<Revision>,
    /// It is not there, or a scrub found something wrong with it.
    suspect: bool,
    told_no_links: bool,
    removing: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Drop for Reign {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Reign {
    /// Of a DEST with generations; `None` in place.
    pub(crate) fn of(dest: &Dest) -> io::Result<Option<Self>> {
        let Some(home) = dest.home() else {
            return Ok(None);
        };
        let current = home.current()?;
        // A kill between the steps that replace a damaged one, or a hand, leaves a name of nothing.
        let missing = match current {
            Some(id) => !home.holds(id)?,
            None => false,
        };
        Ok(Some(Reign {
            current,
            suspect: missing,
            told_no_links: false,
            removing: None,
            stop: Arc::default(),
        }))
    }
}

impl Writer {
    /// Finishes what the last reign left: whatever hinders it is told by the first pass.
    pub(crate) async fn begin_generations(&mut self) -> Result<(), Failure> {
        match self.land().await {
            Err(Failure::Dethroned) => return Err(Failure::Dethroned),
            Err(failure) => warn!(
                reason = %failure,
                event = "generation_failed",
                "the current generation cannot be mended yet"
            ),
            Ok(()) => {}
        }
        self.clean_up();
        Ok(())
    }

    /// The current generation; `None` in place, and where there is none yet.
    pub fn generation(&self) -> Option<Revision> {
        self.generations.as_ref()?.current
    }

    /// Whether what should be the current generation is not yet.
    pub(crate) fn is_unlanded(&self) -> bool {
        let Some(generations) = &self.generations else {
            return false;
        };
        let wanted = self.manifest.generation;
        wanted.is_some() && (generations.current != wanted || generations.suspect)
    }

    /// What the next generation is to be, where a pass that ended leaves a set that may be one. Of a
    /// release readers get all or nothing; of plain uploads what is managed, though deletes are held.
    pub(crate) fn next_generation(
        &mut self,
        release: bool,
        held: bool,
        rejected: &[Rejected],
    ) -> Option<Change> {
        let partial = held
            || !rejected.is_empty()
            || !self.blocked_directories.is_empty()
            || self.setbacks.iter().next().is_some();
        if self.generations.is_none() || !self.is_complete() || release && partial {
            return None;
        }
        let revision = self.tree_revision();
        (self.manifest.generation != Some(revision)).then_some(Change::Generation(revision))
    }

    /// As [`Writer::next_generation`], after a pass that changed nothing; then it lands.
    pub(crate) async fn land_quietly(
        &mut self,
        release: bool,
        rejected: &[Rejected],
    ) -> Result<(), Failure> {
        let held = self.held.is_some();
        let change = self.next_generation(release, held, rejected);
        self.record(change.into_iter().collect()).await?;
        self.land().await
    }

    /// Makes current what the manifest says should be; at rest that is one comparison.
    pub(crate) async fn land(&mut self) -> Result<(), Failure> {
        let (true, Some(id)) = (self.is_unlanded(), self.manifest.generation) else {
            return Ok(());
        };
        let begun = Instant::now();
        let doubted = self.generations.as_ref().is_none_or(|known| known.suspect);
        let known = self.generation().filter(|_| !doubted);
        let picture = (self.tree_revision() == id).then(|| Picture::of(&self.manifest));
        let files = picture.as_ref().map_or(0, |picture| picture.pieces.len());
        let (dest, stage, lock, filter) = (
            Arc::clone(&self.shop.dest),
            Arc::clone(&self.shop.stage),
            Arc::clone(&self.lock),
            self.rules.filter.clone(),
        );
        let status = self.shop.status.clone();
        let landing = move || {
            let place = Place {
                dest: &dest,
                home: dest.home()?,
                stage: &stage,
                lock: &lock,
                filter: &filter,
                status: &status,
            };
            Some(land(place, id, known, picture.as_ref(), &HardLinks))
        };
        // Each call shows itself: all of them together may take long and are no silence.
        let landed = blocking(&Status::disabled(), "link", landing).await;
        let landed = match landed {
            None => return Ok(()),
            Some(Ok(landed)) => landed,
            Some(Err(Unlanded::Dethroned)) => return Err(Failure::Dethroned),
            Some(Err(Unlanded::Dest(error))) => return Err(error.into()),
            Some(Err(Unlanded::Drifted(paths))) => {
                warn!(
                    first = paths.first().map(|path| &**path),
                    count = paths.len(),
                    event = "drifted",
                    "files of the tree are not as they were published"
                );
                self.suspects.extend(paths);
                return Ok(());
            }
        };
        let seconds = begun.elapsed().as_secs_f64();
        self.landed(id, files, landed, seconds).await
    }

    async fn landed(
        &mut self,
        id: Revision,
        files: usize,
        landed: Landed,
        seconds: f64,
    ) -> Result<(), Failure> {
        let Landed { how, before } = landed;
        let Some(generations) = &mut self.generations else {
            return Ok(());
        };
        generations.suspect = false;
        let made = match how {
            How::Gone => {
                generations.current = before;
                warn!(%id, event = "generation_gone", "the current generation is gone; the next set makes another");
                return Ok(());
            }
            How::Kept => {
                if before != Some(id) {
                    info!(%id, files, seconds, event = "generation_current", "a generation that was kept is the current one");
                }
                None
            }
            How::MadeAnew(made, why) => {
                warn!(%id, why, event = "generation_damaged", "a generation was damaged and is made anew");
                Some(made)
            }
            How::Made(made) => Some(made),
        };
        generations.current = Some(id);
        if let Some(Made {
            linked,
            copied,
            bytes,
            replaced,
            no_links,
        }) = made
        {
            info!(%id, files, linked, copied, bytes, seconds, event = "generation", "a generation was made");
            if let Some(why) = no_links
                && !std::mem::replace(&mut generations.told_no_links, true)
            {
                warn!(
                    why,
                    event = "no_links",
                    "the file system makes no hard links: each generation is a copy"
                );
            }
            let changes = replaced.into_iter().filter_map(|(path, local)| {
                let entry = self.manifest.files.get(&path)?.clone();
                Some(Change::Put(path, Entry { local, ..entry }))
            });
            let changes = changes.collect();
            self.record(changes).await?;
        }
        self.clean_up();
        Ok(())
    }

    /// Removes what is to go, on a thread of its own: at most one at a time, and never in a pass's way.
    pub(crate) fn clean_up(&mut self) {
        let (keep, filled) = (self.rules.keep, self.manifest.generation);
        let Some(generations) = &mut self.generations else {
            return;
        };
        let busy = generations
            .removing
            .as_ref()
            .is_some_and(|removing| !removing.is_finished());
        // Without a current one it is not known which must stay.
        let Some(current) = generations
            .current
            .filter(|current| filled == Some(*current))
        else {
            return;
        };
        if busy {
            return;
        }
        let (dest, stage, stop) = (
            Arc::clone(&self.shop.dest),
            Arc::clone(&self.shop.stage),
            Arc::clone(&generations.stop),
        );
        generations.removing = Some(tokio::task::spawn_blocking(move || {
            match remove_old(&dest, &stage, current, keep, &stop) {
                Ok(()) => {}
                Err(_) if stop.load(Ordering::Relaxed) => {}
                Err(error) => warn!(
                    reason = dest::cause(&error),
                    event = "generation_not_removed",
                    "old generations could not be removed; it is tried again"
                ),
            }
        }));
    }

    /// Waits a while for what is being removed: a run that ends would leave it to the next.
    pub(crate) async fn cleaned_up(&mut self) {
        let generations = self.generations.as_mut();
        if let Some(removing) = generations.and_then(|generations| generations.removing.take()) {
            // Whatever is left then is adopted when the next reign begins.
            let _ = tokio::time::timeout(LONGEST_REMOVAL, removing).await;
        }
    }

    /// Whether the scrub that looked at `id` found something wrong with it that still matters.
    pub(crate) fn take_generation(&mut self, look: Option<(Revision, String)>) -> bool {
        let Some(generations) = &mut self.generations else {
            return false;
        };
        let Some((_, why)) = look.filter(|(id, _)| Some(*id) == self.manifest.generation) else {
            return false;
        };
        warn!(
            why,
            event = "generation_suspect",
            "the current generation is not as it was made"
        );
        generations.suspect = true;
        true
    }

    /// Has the current generation looked at, file by file, when it lands next.
    pub(crate) fn suspect_generation(&mut self) {
        if let Some(generations) = &mut self.generations {
            generations.suspect = true;
        }
    }

    /// What a scrub needs to look at the current generation.
    pub(crate) fn generation_look(&mut self) -> Option<GenerationLook> {
        let id = self.generation()?;
        let whole = self.tree_revision() == id;
        Some(GenerationLook {
            id,
            picture: whole.then(|| Picture::of(&self.manifest)),
            dest: Arc::clone(&self.shop.dest),
            filter: self.rules.filter.clone(),
        })
    }
}

/// A look at the current generation, beside the passes.
#[derive(Debug)]
pub(crate) struct GenerationLook {
    id: Revision,
    picture: Option<Picture>,
    dest: Arc<Dest>,
    filter: Filter,
}

impl GenerationLook {
    /// What is wrong with it; `None` for nothing. Blocking.
    pub(crate) fn run(&self) -> Option<(Revision, String)> {
        let home = self.dest.home()?;
        let empty = Picture::default();
        let found = home.current().and_then(|current| {
            if current != Some(self.id) {
                return Ok(Some("the file current does not name it".to_string()));
            }
            let picture = self.picture.as_ref().unwrap_or(&empty);
            check(
                home,
                self.id,
                picture,
                &self.filter,
                Depth::Sizes,
                &Status::disabled(),
            )
        });
        match found {
            Ok(why) => Some((self.id, why?)),
            Err(error) => {
                warn!(
                    first = dest::cause(&error),
                    event = "scrub_errors",
                    "the current generation could not be looked at"
                );
                None
            }
        }
    }
}
