//! One pass, the story in order: list, plan, prepare, ask the gate, publish, remember.

use crate::burst::{self, Burst, Done, Ready, Stop};
use crate::dest::DestError;
use crate::failure::Failure;
use crate::gate::{self, Candidate, Decision, Mode, Question};
use crate::key;
use crate::manifest::journal;
use crate::manifest::{Change, Complete, Entry};
use crate::plan::{self, Fetch, Plan, Rejected, Why};
use crate::prepare::{Job, Outcome};
use crate::report::Tally;
use crate::setbacks::How;
use crate::source::{Kind, Listing, Object, SourceError};
use crate::writer::{Landed, Waiting, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// The longest that a changing source is waited for.
const SETTLED_AFTER: Duration = Duration::from_secs(30);

/// Between listings of a source that moves while it is read.
const MOVED_WAIT: Duration = Duration::from_millis(100);

/// What a pass came to.
#[derive(Debug)]
pub struct Passed {
    /// What changed.
    pub tally: Tally,
    /// LIST requests of the last listing.
    pub pages: u32,
    /// The set waits for an object that cannot be fetched.
    pub held_back: bool,
    /// Nothing was to be done.
    pub quiet: bool,
}

impl Writer {
    /// Makes a pass. With `settle`, what changed is published once two listings agree that long apart.
    /// `listed` is called after each complete listing.
    pub async fn pass(&mut self, settle: Duration, mut listed: impl FnMut(&Listing)) -> Result<Passed, Failure> {
        let mut listing = self.shop.source.list().await?;
        listed(&listing);
        let mut plan = self.plan(&listing);
        if self.is_quiet(&plan, &listing) {
            return self.end_quietly(plan, &listing).await;
        }
        let begun = Instant::now();
        let mut failures = BTreeMap::new();
        let mut wait = settle;
        loop {
            let moved = {
                let wait = tokio::time::sleep(wait);
                let (moved, ()) = tokio::join!(self.prepare(&plan, &mut failures), wait);
                moved?
            };
            let late = begun.elapsed() >= SETTLED_AFTER;
            if !moved && (settle.is_zero() || late) {
                break;
            }
            wait = settle.max(MOVED_WAIT);
            let again = self.shop.source.list().await?;
            listed(&again);
            let same = again.objects == listing.objects;
            listing = again;
            plan = self.plan(&listing);
            if same && !moved {
                break;
            }
            if moved && late {
                // A source that never stands still is published as far as it could be read.
                break;
            }
        }
        self.commit(plan, &listing, failures).await
    }

    fn plan(&mut self, listing: &Listing) -> Plan {
        let files = &self.manifest.files;
        self.suspects.retain(|path| files.contains_key(path));
        let state = self.shop.dest.state_below();
        let mut plan = plan::plan(&self.manifest, listing, &self.rules.filter, state, &self.suspects);
        self.setbacks.apply(&mut plan.fetch, now());
        if self.rules.policy.mode == Mode::All {
            let fetched: BTreeSet<&str> = plan.fetch.iter().map(Fetch::path).collect();
            let wanted = |path: &str| fetched.contains(path) || self.manifest.files.contains_key(path);
            let unknown = self.unmanaged.iter().filter(|path| !wanted(path));
            plan.missing.extend(unknown.map(|path| Candidate { path: path.clone(), content: None }));
        }
        let blocked = &self.blocked_directories;
        plan.make_directories.retain(|path| !blocked.contains(path));
        plan
    }

    /// Whether there is nothing to do but what waits for a person or for its time.
    fn is_quiet(&self, plan: &Plan, listing: &Listing) -> bool {
        let still = plan.fetch.is_empty()
            && plan.confirm.is_empty()
            && plan.forget.is_empty()
            && plan.make_directories.is_empty()
            && plan.drop_directories.is_empty();
        if !still {
            return false;
        }
        if plan.missing.is_empty() {
            return true;
        }
        let decision = self.decide(plan, listing, &[]);
        let same = |one: &gate::Held, other: &gate::Held| one.id == other.id;
        decision.go.is_empty()
            && match (&decision.held, &self.held) {
                (Some(one), Some(other)) => same(one, other),
                (None, None) => true,
                _ => false,
            }
    }

    async fn end_quietly(&mut self, plan: Plan, listing: &Listing) -> Result<Passed, Failure> {
        if plan.missing.is_empty() {
            self.held = None;
        }
        let tally = self.tally(&plan);
        if self.manifest.complete.is_none() && self.completes(&plan) {
            let complete = Complete { at: now(), files: self.manifest.files.len() as u64 };
            self.record(vec![Change::Complete(complete)]).await?;
        }
        self.rejected = self.rejected_of(plan.rejected);
        Ok(Passed { tally, pages: listing.pages, held_back: false, quiet: true })
    }

    fn completes(&self, plan: &Plan) -> bool {
        plan.wanted > 0 || self.rules.policy.allow_empty
    }

    /// Fetches and verifies what the plan wants and staging does not hold yet. Returns whether the
    /// source moved on meanwhile.
    async fn prepare(&mut self, plan: &Plan, failures: &mut BTreeMap<Box<str>, (Fetch, SourceError)>) -> Result<bool, Failure> {
        self.drop_stale(plan).await;
        failures.retain(|path, (failed, _)| plan.fetch.iter().any(|fetch| fetch.path() == &**path && fetch.object == failed.object));
        let jobs: Vec<Job> = plan
            .fetch
            .iter()
            .filter(|fetch| !self.waiting.contains_key(fetch.path()) && !failures.contains_key(fetch.path()))
            .map(|fetch| Job { fetch: fetch.clone(), known: self.manifest.files.get(fetch.path()).cloned() })
            .collect();
        if jobs.is_empty() {
            return Ok(false);
        }
        let objects: BTreeMap<Box<str>, Object> =
            jobs.iter().map(|job| (job.fetch.object.key.clone(), job.fetch.object.clone())).collect();
        self.progress.begin(jobs.len() as u64, objects.values().map(|object| object.size).sum());
        let progress = &mut self.progress;
        let outcomes = self.shop.prepare(jobs, |outcome| progress.file(bytes_of(outcome))).await;
        self.progress.end();
        let mut moved = false;
        let wait = |waiting: &mut BTreeMap<_, _>, path: Box<str>, result| {
            if let Some(object) = objects.get(&path) {
                waiting.insert(path, Waiting { object: object.clone(), result });
            }
        };
        let mut broken = None;
        for outcome in outcomes {
            match outcome {
                Outcome::Ready(ready) => wait(&mut self.waiting, ready.path.clone(), Landed::Ready(ready)),
                Outcome::Same(path, entry) => wait(&mut self.waiting, path, Landed::Same(entry)),
                Outcome::Moved => moved = true,
                Outcome::Failed(fetch, SourceError { kind: Kind::Destination(error), .. }) => {
                    broken = Some(DestError::new("stage", fetch.path(), error));
                }
                Outcome::Failed(fetch, error) => {
                    failures.insert(fetch.object.key.clone(), (fetch, error));
                }
            }
        }
        match broken {
            // Room is given back: the next try needs it, and so do others.
            Some(error) => {
                self.drop_stale(&Plan::default()).await;
                Err(error.into())
            }
            None => Ok(moved),
        }
    }

    /// Removes from staging what the plan does not want any more.
    async fn drop_stale(&mut self, plan: &Plan) {
        if self.waiting.is_empty() {
            return;
        }
        let wanted: BTreeMap<&str, &Object> = plan.fetch.iter().map(|fetch| (fetch.path(), &fetch.object)).collect();
        let (keep, stale): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(path, waiting)| wanted.get(&**path).is_some_and(|object| **object == waiting.object));
        self.waiting = keep;
        if stale.is_empty() {
            return;
        }
        let stage = Arc::clone(&self.shop.stage);
        self.blocking("remove", move || {
            for waiting in stale.into_values() {
                if let Landed::Ready(ready) = waiting.result {
                    // What cannot be removed now is swept when the next reign begins.
                    let _ = stage.discard(&ready.staged);
                }
            }
        })
        .await;
    }

    fn decide(&self, plan: &Plan, listing: &Listing, arrivals: &[crate::revision::Hash]) -> Decision {
        let approvals: Vec<(String, i64)> =
            listing.approvals.iter().map(|approval| (approval.id.clone(), approval.modified)).collect();
        let question = Question {
            candidates: &plan.missing,
            arrivals,
            wanted: plan.wanted,
            managed: self.manifest.files.len() as u64,
            approvals: &approvals,
            source: &self.source_name,
            now: listing.server_time.unwrap_or_else(now),
        };
        gate::decide(self.rules.policy, &self.manifest.history, &question)
    }

    async fn commit(
        &mut self,
        plan: Plan,
        listing: &Listing,
        failures: BTreeMap<Box<str>, (Fetch, SourceError)>,
    ) -> Result<Passed, Failure> {
        let failed: Vec<Fetch> = failures.values().map(|(fetch, _)| fetch.clone()).collect();
        for (fetch, error) in failures.into_values() {
            let exit = error.exit();
            self.setbacks.note(&fetch.object, How::Failed, error.message, exit, now(), self.rules.obstruction_pause);
        }
        self.drop_stale(&plan).await;
        let mut tally = self.tally(&plan);
        if self.rules.hold_on_failure && self.setbacks.hold_back(&failed) {
            self.rejected = self.rejected_of(plan.rejected);
            return Ok(Passed { tally, pages: listing.pages, held_back: true, quiet: false });
        }
        let waiting = std::mem::take(&mut self.waiting);
        let (mut ready, mut same) = (Vec::new(), Vec::new());
        for (path, waiting) in waiting {
            match waiting.result {
                Landed::Ready(file) => ready.push((waiting.object, file)),
                Landed::Same(entry) => same.push((path, entry)),
            }
        }
        let arrivals: Vec<_> = ready.iter().map(|(_, file)| file.entry.sha256).collect();
        let decision = self.decide(&plan, listing, &arrivals);
        self.set_aside_what_held_deletes_block(&decision, &mut ready);
        let whys: BTreeMap<Box<str>, Why> = plan.fetch.iter().map(|fetch| (fetch.object.key.clone(), fetch.why)).collect();
        let objects: BTreeMap<Box<str>, Object> = ready.iter().map(|(object, _)| (object.key.clone(), object.clone())).collect();
        for (path, _) in &same {
            self.suspects.remove(path);
            self.setbacks.clear(path);
            self.unmanaged.remove(path);
        }
        let burst = self.burst(&plan, &decision, ready.into_iter().map(|(_, file)| file).collect());
        let (burst, done) = self.publish(burst, same, &plan, decision.counted).await?;
        self.held = decision.held;
        for (path, reason) in &done.obstructed {
            if let Some(object) = objects.get(path) {
                self.setbacks.note(object, How::Obstructed, reason.clone(), agent::exit::Exit::Done, now(), self.rules.obstruction_pause);
            } else if burst.make_directories.contains(path) {
                self.blocked_directories.insert(path.clone());
            }
        }
        for index in &done.published {
            let ready = &burst.ready[*index];
            tally.published(whys.get(&ready.path).copied().unwrap_or(Why::Update), ready.entry.size);
            self.setbacks.clear(&ready.path);
            self.suspects.remove(&ready.path);
            self.unmanaged.remove(&ready.path);
        }
        tally.deleted = done.removed;
        tally.held_deletes = self.held.as_ref().map_or(0, |held| held.candidates.len() as u64);
        self.forget_revision();
        if done.published.len() < burst.ready.len() {
            self.sweep().await;
        }
        match done.stopped {
            Some(Stop::Dethroned) => return Err(Failure::Dethroned),
            Some(Stop::Dest(error)) => return Err(error.into()),
            None => {}
        }
        self.rejected = self.rejected_of(plan.rejected);
        Ok(Passed { tally, pages: listing.pages, held_back: false, quiet: false })
    }

    /// A file that would stand where a held delete has not made room waits for that delete.
    fn set_aside_what_held_deletes_block(&mut self, decision: &Decision, ready: &mut Vec<(Object, Ready)>) {
        let Some(held) = &decision.held else { return };
        let paths: BTreeSet<&str> = held.candidates.iter().map(|gone| &*gone.path).collect();
        let pause = self.rules.obstruction_pause;
        let setbacks = &mut self.setbacks;
        ready.retain(|(object, file)| {
            let below = key::ancestors(&file.path).any(|above| paths.contains(above));
            let above = format!("{}/", file.path);
            let blocked = below || paths.range(&*above..).next().is_some_and(|path| path.starts_with(&above));
            if blocked {
                let reason = format!("the held delete {} must make room first: approve it", held.id);
                setbacks.note(object, How::Obstructed, reason, agent::exit::Exit::Done, now(), pause);
            }
            !blocked
        });
    }

    fn burst(&self, plan: &Plan, decision: &Decision, mut ready: Vec<Ready>) -> Burst {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as i64;
        for file in &mut ready {
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

    /// Writes the intents, runs the burst, writes what it did.
    async fn publish(&mut self, burst: Burst, same: Vec<(Box<str>, Entry)>, plan: &Plan, counted: u64) -> Result<(Burst, Done), Failure> {
        let mut journal = self.take_journal().await?;
        self.bursting.store(true, Ordering::Release);
        let intents: Vec<Change> = burst.ready.iter().map(|file| Change::Put(file.path.clone(), file.entry.clone())).collect();
        let (dest, stage, lock) = (Arc::clone(&self.shop.dest), Arc::clone(&self.shop.stage), Arc::clone(&self.lock));
        let ran: std::io::Result<_> = self
            .blocking("rename", move || {
                let number = journal.intend(&intents)?;
                let done = burst::run(&burst, &dest, &stage, &lock);
                Ok((journal, number, burst, done))
            })
            .await;
        let (mut journal, number, burst, done) = match ran {
            Ok(ran) => ran,
            Err(error) => return Err(self.give_up(error).await),
        };
        let changes = self.changes_of(&burst, &done, same, plan, counted);
        let written = changes.clone();
        let dethroned = matches!(done.stopped, Some(Stop::Dethroned));
        if !dethroned {
            let result: std::io::Result<_> = self
                .blocking("write", move || {
                    journal.commit(number, &written)?;
                    Ok(journal)
                })
                .await;
            match result {
                Ok(journal) => self.journal = Some(journal),
                Err(error) => return Err(self.give_up(error).await),
            }
        }
        for file in &burst.ready {
            self.manifest.apply(Change::Put(file.path.clone(), file.entry.clone()));
        }
        changes.into_iter().for_each(|change| self.manifest.apply(change));
        self.bursting.store(false, Ordering::Release);
        Ok((burst, done))
    }

    /// The journal cannot be written: nothing of this burst is remembered, so the files that it may
    /// have published are compared anew, and staging is emptied.
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

    /// What follows a commit that makes every intent count: the others, and what did not happen.
    fn changes_of(&self, burst: &Burst, done: &Done, same: Vec<(Box<str>, Entry)>, plan: &Plan, counted: u64) -> Vec<Change> {
        let published: BTreeSet<usize> = done.published.iter().copied().collect();
        let mut changes = Vec::new();
        for (_, file) in burst.ready.iter().enumerate().filter(|(index, _)| !published.contains(index)) {
            changes.push(match self.manifest.files.get(&file.path) {
                Some(entry) => Change::Put(file.path.clone(), entry.clone()),
                None => Change::Remove(file.path.clone()),
            });
        }
        changes.extend(same.into_iter().map(|(path, entry)| Change::Put(path, entry)));
        changes.extend(plan.confirm.iter().filter_map(|object| {
            let entry = self.manifest.files.get(&object.key)?;
            Some(Change::Put(object.key.clone(), Entry { modified: object.modified, ..entry.clone() }))
        }));
        let managed = |path: &&Box<str>| self.manifest.files.contains_key(&**path);
        changes.extend(done.deleted.iter().chain(&plan.forget).filter(managed).cloned().map(Change::Remove));
        changes.extend(done.made.iter().cloned().map(Change::MakeDirectory));
        if done.stopped.is_none() {
            changes.extend(plan.drop_directories.iter().cloned().map(Change::RemoveDirectory));
        }
        let (removed, added) = changes.iter().fold((0, published.len() as i64), |(removed, added), change| match change {
            Change::Remove(path) if self.manifest.files.contains_key(path) => (removed + 1, added),
            Change::Put(path, _) if !self.manifest.files.contains_key(path) => (removed, added + 1),
            _ => (removed, added),
        });
        let replaced = burst.ready.iter().enumerate().filter(|(index, file)| published.contains(index) && self.manifest.files.contains_key(&file.path));
        let managed = self.manifest.files.len() as i64 + added - replaced.count() as i64 - removed;
        let mut history = self.manifest.history.clone();
        if history.note(now(), managed.max(0) as u64, counted.min(done.removed)) {
            changes.push(Change::History(history));
        }
        if done.stopped.is_none() && self.completes(plan) {
            changes.push(Change::Complete(Complete { at: now(), files: managed.max(0) as u64 }));
            if self.manifest.deep_scrubbed.is_none() {
                // Everything was just read from S3; the first deep scrub is due an interval later,
                // also where no process lives that long.
                changes.push(Change::DeepScrubbed(now()));
            }
        }
        changes
    }

    fn tally(&self, plan: &Plan) -> Tally {
        Tally {
            listed: plan.listed,
            unchanged: plan.unchanged,
            held_deletes: self.held.as_ref().map_or(0, |held| held.candidates.len() as u64),
            ..Tally::default()
        }
    }

    fn rejected_of(&self, rejected: Vec<Rejected>) -> Vec<Rejected> {
        let mut all = rejected;
        let obstructed = self.setbacks.iter().filter(|(_, setback)| setback.how == How::Obstructed);
        all.extend(obstructed.map(|(path, setback)| Rejected { key: path.to_string(), reason: setback.reason.clone() }));
        let why = "a file that s3sync does not manage is in this directory's way: move it";
        all.extend(self.blocked_directories.iter().map(|path| Rejected { key: format!("{path}/"), reason: why.to_string() }));
        all.sort();
        all.dedup();
        all
    }
}

/// The time of a file that is published: now, or the second after the one it had. Python's cache
/// compares whole seconds, and Airflow parses early only what is newer than its last look.
pub fn next_mtime(now: i64, before: i64) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    match before {
        0 => now,
        before => now.max((before.div_euclid(SECOND) + 1) * SECOND),
    }
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

fn bytes_of(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Ready(ready) => ready.entry.size,
        Outcome::Same(_, entry) => entry.size,
        Outcome::Moved => 0,
        Outcome::Failed(fetch, _) => fetch.object.size,
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
