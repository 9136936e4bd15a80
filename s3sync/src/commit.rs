//! The end of a pass: ask the gate, publish in one burst, remember.

use crate::burst::{self, Burst, Done, Stop};
use crate::dest::DestError;
use crate::failure::Failure;
use crate::gate::Decision;
use crate::key;
use crate::manifest::journal;
use crate::manifest::{Change, Complete, Entry};
use crate::pass::{Failures, Passed, now};
use crate::plan::{Fetch, Plan, Why};
use crate::prepare::Waiting;
use crate::report::Tally;
use crate::setbacks::How;
use crate::source::{Listing, Object};
use crate::writer::Writer;
use agent::exit::Exit;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

impl Writer {
    /// Publishes what was prepared for `plan`, unless it is held back, and lands it where generations
    /// are kept.
    pub(crate) async fn commit(
        &mut self,
        plan: Plan,
        listing: Listing,
        failures: Failures,
    ) -> Result<Passed, Failure> {
        let passed = self.bring(plan, listing, failures).await?;
        self.land().await?;
        Ok(passed)
    }

    async fn bring(
        &mut self,
        mut plan: Plan,
        listing: Listing,
        failures: Failures,
    ) -> Result<Passed, Failure> {
        let pause = self.rules.obstruction_pause;
        let failed: Vec<Fetch> = failures.values().map(|(fetch, _)| fetch.clone()).collect();
        for (fetch, error) in failures.into_values() {
            let exit = error.exit();
            self.setbacks.note(
                &fetch.object,
                How::Failed,
                error.message,
                exit,
                now(),
                pause,
            );
        }
        self.drop_stale(&plan.fetch).await;
        let mut tally = self.tally(&plan);
        // Of a release readers get all or nothing.
        let hold = match listing.release {
            Some(_) => self.setbacks.has_failed(),
            None => self.rules.hold_on_failure && self.setbacks.hold_back(&failed),
        };
        if hold {
            self.rejected = self.rejected_of(plan.rejected);
            return Ok(Passed {
                tally,
                pages: listing.pages,
                held_back: true,
                quiet: false,
            });
        }
        let pages = listing.pages;
        // What is staged says it all from here on; the manifest is about to need the room.
        plan.fetch = Vec::new();
        let mut ready = std::mem::take(&mut self.waiting);
        let arrivals: Vec<_> = ready.values().map(|file| file.entry.sha256).collect();
        let decision = self.decide(&plan, &listing, &arrivals);
        drop(arrivals);
        let before = self.held.as_ref();
        if before.is_some_and(|before| {
            decision
                .held
                .as_ref()
                .is_none_or(|held| held.id != before.id)
        }) {
            // What waited for those deletes to make room is worth another try, and not only after a scrub.
            self.setbacks.look_again();
        }
        self.set_aside_what_held_deletes_block(&decision, &mut ready);
        let same = std::mem::take(&mut self.same);
        for path in same.keys() {
            self.suspects.remove(path);
            self.setbacks.clear(path);
            self.unmanaged.remove(path);
        }
        tally.unchanged += same.len() as u64;
        let burst = self.burst(&plan, &decision, ready);
        let asked = Asked {
            counted: decision.counted,
            held: decision.held.is_some(),
            release: listing.release.is_some(),
        };
        self.forget_revision();
        let done = self.publish(burst, same, &plan, asked, &mut tally).await?;
        self.held = decision.held;
        tally.deleted = done.removed;
        tally.held_deletes = self
            .held
            .as_ref()
            .map_or(0, |held| held.candidates.len() as u64);
        match done.stopped {
            Some(Stop::Dethroned) => return Err(Failure::Dethroned),
            Some(Stop::Dest(error)) => return Err(error.into()),
            None => {}
        }
        self.rejected = self.rejected_of(plan.rejected);
        Ok(Passed {
            tally,
            pages,
            held_back: false,
            quiet: false,
        })
    }

    /// A file that would stand where a held delete has not made room waits for that delete.
    fn set_aside_what_held_deletes_block(
        &mut self,
        decision: &Decision,
        ready: &mut BTreeMap<Box<str>, Waiting>,
    ) {
        let Some(held) = &decision.held else { return };
        let paths: BTreeSet<&str> = held.candidates.iter().map(|gone| &*gone.path).collect();
        let blocked = |path: &str| {
            let above = format!("{path}/");
            key::ancestors(path).any(|above| paths.contains(above))
                || paths
                    .range(&*above..)
                    .next()
                    .is_some_and(|path| path.starts_with(&above))
        };
        let reason = format!(
            "the held delete {} must make room first: approve it",
            held.id
        );
        for (path, file) in ready.extract_if(.., |path, _| blocked(path)) {
            self.note_obstructed(path, &file.entry, &reason);
        }
    }

    fn note_obstructed(&mut self, path: Box<str>, entry: &Entry, reason: &str) {
        let object = Object {
            key: path,
            etag: entry.etag.clone(),
            size: entry.size,
            modified: entry.modified,
            archived: false,
        };
        self.setbacks.note(
            &object,
            How::Obstructed,
            reason.to_string(),
            Exit::Done,
            now(),
            self.rules.obstruction_pause,
        );
    }

    fn burst(
        &self,
        plan: &Plan,
        decision: &Decision,
        mut ready: BTreeMap<Box<str>, Waiting>,
    ) -> Burst {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos() as i64;
        for file in ready.values_mut() {
            file.entry.local.mtime = next_mtime(now, file.entry.local.mtime);
        }
        let mut keep = self.manifest.directories.clone();
        keep.extend(plan.make_directories.iter().cloned());
        keep.retain(|path| !plan.drop_directories.contains(path));
        Burst {
            ready,
            deletes: decision.go.clone(),
            make_directories: plan.make_directories.clone(),
            drop_directories: plan.drop_directories.clone(),
            keep,
        }
    }

    /// Writes the intents, runs the burst, writes what it did, and remembers it.
    async fn publish(
        &mut self,
        burst: Burst,
        same: BTreeMap<Box<str>, Entry>,
        plan: &Plan,
        asked: Asked,
        tally: &mut Tally,
    ) -> Result<Done, Failure> {
        let mut journal = self.take_journal().await?;
        self.bursting.store(true, Ordering::Release);
        let (dest, stage, lock) = (
            Arc::clone(&self.shop.dest),
            Arc::clone(&self.shop.stage),
            Arc::clone(&self.lock),
        );
        let ran: std::io::Result<_> = self
            .blocking("rename", move || {
                let number = journal.intend(
                    burst
                        .ready
                        .iter()
                        .map(|(path, file)| (&**path, &file.entry)),
                )?;
                let done = burst::run(&burst, &dest, &stage, &lock);
                Ok((journal, number, burst, done))
            })
            .await;
        let (mut journal, number, burst, done) = match ran {
            Ok(ran) => ran,
            Err(error) => return Err(self.give_up(error).await),
        };
        for (path, reason) in &done.obstructed {
            if let Some(file) = burst.ready.get(path) {
                self.note_obstructed(path.clone(), &file.entry, reason);
            }
            if burst.make_directories.contains(path) {
                self.blocked_directories.insert(path.clone());
            }
        }
        let mut changes = self.others(&done, same, plan);
        let published = done
            .published
            .iter()
            .copied()
            .chain(std::iter::repeat(None));
        let mut left = false;
        // One by one, so that no second copy of a large set is ever made.
        for ((path, file), renamed) in burst.ready.into_iter().zip(published) {
            match renamed {
                Some(ctime) => self.remember(path, file, ctime, tally),
                None => {
                    left = true;
                    changes.push(self.undone(path));
                }
            }
        }
        if left {
            self.sweep().await;
        }
        for change in &changes {
            self.manifest.apply(change.clone());
        }
        changes.extend(self.closing(&done, plan, asked));
        // Another's reign has a journal of its own; this one's would say what is no longer so.
        if !matches!(done.stopped, Some(Stop::Dethroned)) {
            let result: std::io::Result<_> = self
                .blocking("write", move || {
                    journal.commit(number, &changes)?;
                    Ok(journal)
                })
                .await;
            match result {
                Ok(journal) => self.journal = Some(journal),
                Err(error) => return Err(self.give_up(error).await),
            }
        }
        self.bursting.store(false, Ordering::Release);
        Ok(done)
    }

    /// The journal cannot be written: it is not known what it holds, so the next pass writes it anew,
    /// and staging is emptied.
    async fn give_up(&mut self, error: std::io::Error) -> Failure {
        self.shop.look_first = true;
        self.bursting.store(false, Ordering::Release);
        self.sweep().await;
        DestError::new("write", journal::NAME, error).into()
    }

    /// Empties staging; nothing waits there.
    async fn sweep(&self) {
        let stage = Arc::clone(&self.shop.stage);
        // What cannot be removed now is swept when the next reign begins.
        let _ = self.blocking("remove", move || stage.sweep()).await;
    }

    /// What takes back an intent that came to nothing.
    fn undone(&self, path: Box<str>) -> Change {
        match self.manifest.files.get(&path) {
            Some(entry) => Change::Put(path, entry.clone()),
            None => Change::Remove(path),
        }
    }

    /// What changed beside the files that were published.
    fn others(&self, done: &Done, same: BTreeMap<Box<str>, Entry>, plan: &Plan) -> Vec<Change> {
        let mut changes: Vec<Change> = same
            .into_iter()
            .map(|(path, entry)| Change::Put(path, entry))
            .collect();
        changes.extend(plan.confirm.iter().filter_map(|object| {
            let entry = self.manifest.files.get(&object.key)?;
            Some(Change::Put(
                object.key.clone(),
                Entry {
                    etag: object.etag.clone(),
                    modified: object.modified,
                    // Another ETag is a release's, which is no MD5.
                    md5: entry.md5 && entry.etag == object.etag,
                    ..entry.clone()
                },
            ))
        }));
        let gone = done.deleted.iter().chain(&plan.forget);
        let managed = gone.filter(|path| self.manifest.files.contains_key(*path));
        changes.extend(managed.cloned().map(Change::Remove));
        changes.extend(done.made.iter().cloned().map(Change::MakeDirectory));
        if done.stopped.is_none() {
            changes.extend(
                plan.drop_directories
                    .iter()
                    .cloned()
                    .map(Change::RemoveDirectory),
            );
        }
        changes
    }

    /// A file that was published, with the time of change that the rename gave.
    fn remember(&mut self, path: Box<str>, file: Waiting, ctime: i64, tally: &mut Tally) {
        let mut entry = file.entry;
        entry.local.ctime = ctime;
        tally.published(file.why, entry.size);
        if file.why == Why::Repair {
            // What was damaged may have been a generation's file too.
            self.suspect_generation();
        }
        self.setbacks.clear(&path);
        self.suspects.remove(&path);
        self.unmanaged.remove(&path);
        self.manifest.apply(Change::Put(path, entry));
    }

    /// What the next reign must know of this pass; applied, and returned for the journal.
    fn closing(&mut self, done: &Done, plan: &Plan, asked: Asked) -> Vec<Change> {
        let files = self.manifest.files.len() as u64;
        let mut changes = Vec::new();
        let mut history = self.manifest.history.clone();
        if history.note(now(), files, asked.counted.min(done.removed)) {
            changes.push(Change::History(history));
        }
        if done.stopped.is_none() && self.completes(plan) {
            changes.push(Change::Complete(Complete { at: now(), files }));
            if self.manifest.deep_scrubbed.is_none() {
                // Everything was just read from S3; the first deep scrub is due an interval later,
                // also where no process lives that long.
                changes.push(Change::DeepScrubbed(now()));
            }
        }
        changes
            .iter()
            .cloned()
            .for_each(|change| self.manifest.apply(change));
        if done.stopped.is_none()
            && let Some(change) = self.next_generation(asked.release, asked.held, &plan.rejected)
        {
            self.manifest.apply(change.clone());
            changes.push(change);
        }
        changes
    }
}

/// What a pass asked of the gate and of the source, and must know when it closes.
#[derive(Clone, Copy)]
struct Asked {
    /// Deletes that count against the limit.
    counted: u64,
    /// Whether deletes are held.
    held: bool,
    /// Whether the source names a release, which lands whole or not at all.
    release: bool,
}

/// The time of a file that is published: now, or the second after the one it had. Python's cache
/// compares whole seconds, and Airflow parses early only what is newer than its last look.
pub(crate) fn next_mtime(now: i64, before: i64) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    match before {
        0 => now,
        before => now.max((before.div_euclid(SECOND) + 1) * SECOND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_file_is_always_a_second_newer_than_the_last() {
        const S: i64 = 1_000_000_000;
        for (now, before, expected) in [
            (100 * S + 5, 0, 100 * S + 5),
            (100 * S + 5, 90 * S, 100 * S + 5),
            (100 * S + 5, 100 * S + 3, 101 * S),
            (100 * S + 5, 103 * S + 7, 104 * S),
        ] {
            assert_eq!(next_mtime(now, before), expected);
        }
    }
}
