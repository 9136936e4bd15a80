//! One pass, the story in order: list or read the release, plan, prepare, ask the gate, publish, remember.

use crate::dest::DestError;
use crate::failure::Failure;
use crate::gate::{self, Candidate, Decision, Mode, Question};
use crate::manifest::{Change, Complete, Entry};
use crate::plan::{self, Fetch, Plan, Rejected};
use crate::prepare::{Job, Outcome, Waiting};
use crate::report::Tally;
use crate::revision::Hash;
use crate::setbacks::How;
use crate::source::{Kind, Listing, SourceError};
use crate::writer::Writer;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

mod look;

/// Objects that could not be fetched in this pass, by path.
pub(crate) type Failures = BTreeMap<Box<str>, (Fetch, SourceError)>;

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
    /// Makes a pass. With `settle`, what changed is published once two listings agree that long apart; a
    /// release changes as a whole and needs no second look. `listed` is called whenever it is known what
    /// the source holds.
    pub async fn pass(
        &mut self,
        settle: Duration,
        mut listed: impl FnMut(&Listing),
    ) -> Result<Passed, Failure> {
        let Some(mut listing) = self.look().await? else {
            // Of a release that is refused nothing is known.
            if self.follow.refusal().is_none() {
                listed(&Listing::default());
            }
            self.land().await?;
            return Ok(self.repeat());
        };
        listed(&listing);
        let mut plan = self.plan(&listing);
        self.approvals_of(&plan, &mut listing).await?;
        if self.is_quiet(&plan, &listing) {
            return self.end_quietly(plan, listing).await;
        }
        // What is to be fetched is in the plan; of the rest one number is enough to compare with.
        let mut print = take_fingerprint(&mut listing);
        let begun = Instant::now();
        let mut failures = Failures::new();
        let mut wait = settle;
        loop {
            let whole = listing.release.is_some();
            let moved = {
                let wait = tokio::time::sleep(if whole { Duration::ZERO } else { wait });
                let (moved, ()) = tokio::join!(self.prepare(&plan, &mut failures), wait);
                moved?
            };
            let late = begun.elapsed() >= SETTLED_AFTER;
            if whole || !moved && (settle.is_zero() || late) {
                break;
            }
            wait = settle.max(MOVED_WAIT);
            // No pointer was there, so it is a listing, or the first release.
            let Some(next) = self.look().await? else {
                break;
            };
            listing = next;
            listed(&listing);
            plan = self.plan(&listing);
            self.approvals_of(&plan, &mut listing).await?;
            let before = std::mem::replace(&mut print, take_fingerprint(&mut listing));
            let same = print == before;
            if listing.release.is_some() {
                continue;
            }
            if same && !moved {
                break;
            }
            if moved && late {
                // A source that never stands still is published as far as it could be read.
                break;
            }
        }
        let (release, wanted) = (listing.release.clone(), plan.wanted);
        let passed = self.commit(plan, listing, failures).await?;
        let landed = self.has_landed();
        self.follow.settle(release, &passed, wanted, landed);
        Ok(passed)
    }

    fn plan(&mut self, listing: &Listing) -> Plan {
        let files = &self.manifest.files;
        self.suspects.retain(|path| files.contains_key(path));
        let state = self.shop.dest.state_below();
        let mut plan = plan::plan(
            &self.manifest,
            listing,
            &self.rules.filter,
            state,
            &self.suspects,
        );
        self.setbacks.apply(&mut plan.fetch, now());
        if self.rules.policy.mode == Mode::All {
            let fetched: BTreeSet<&str> = plan.fetch.iter().map(Fetch::path).collect();
            let wanted =
                |path: &str| fetched.contains(path) || self.manifest.files.contains_key(path);
            let unknown = self.unmanaged.iter().filter(|path| !wanted(path));
            plan.missing.extend(unknown.map(|path| Candidate {
                path: path.clone(),
                content: None,
            }));
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
        // What failed of a release keeps all of it away, until it is there.
        let failed = listing.release.is_some() && self.setbacks.has_failed();
        if !still || failed {
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

    async fn end_quietly(&mut self, plan: Plan, listing: Listing) -> Result<Passed, Failure> {
        if plan.missing.is_empty() {
            self.held = None;
        }
        let tally = self.tally(&plan);
        if self.manifest.complete.is_none() && self.completes(&plan) {
            let complete = Complete {
                at: now(),
                files: self.manifest.files.len() as u64,
            };
            self.record(vec![Change::Complete(complete)]).await?;
        }
        let partial = plan.rejected.clone();
        self.rejected = self.rejected_of(plan.rejected);
        self.land_quietly(listing.release.is_some(), &partial)
            .await?;
        let passed = Passed {
            tally,
            pages: listing.pages,
            held_back: false,
            quiet: true,
        };
        let landed = self.has_landed();
        self.follow
            .settle(listing.release, &passed, plan.wanted, landed);
        Ok(passed)
    }

    pub(crate) fn completes(&self, plan: &Plan) -> bool {
        plan.wanted > 0 || self.rules.policy.allow_empty
    }

    /// Fetches and verifies what the plan wants and staging does not hold yet. Returns whether the
    /// source moved on meanwhile.
    async fn prepare(&mut self, plan: &Plan, failures: &mut Failures) -> Result<bool, Failure> {
        self.drop_stale(&plan.fetch).await;
        failures.retain(|path, (failed, _)| {
            let still = plan.fetch.binary_search_by(|fetch| fetch.path().cmp(path));
            still.is_ok_and(|index| plan.fetch[index].object == failed.object)
        });
        let (mut waiting, mut same) = (
            std::mem::take(&mut self.waiting),
            std::mem::take(&mut self.same),
        );
        let todo: Vec<&Fetch> = plan
            .fetch
            .iter()
            .filter(|fetch| {
                !waiting.contains_key(fetch.path())
                    && !same.contains_key(fetch.path())
                    && !failures.contains_key(fetch.path())
            })
            .collect();
        let (mut moved, mut broken) = (false, None);
        self.progress.begin(
            todo.len() as u64,
            todo.iter().map(|fetch| fetch.object.size).sum(),
        );
        let files = &self.manifest.files;
        let jobs = todo.iter().map(|fetch| Job {
            fetch: (*fetch).clone(),
            known: files.get(fetch.path()).cloned(),
        });
        let (progress, setbacks) = (&mut self.progress, &mut self.setbacks);
        // Each outcome is put away as it comes: 20,000 of them at once would be megabytes.
        let ended = |outcome| match outcome {
            Outcome::Ready(path, file) => {
                progress.file(file.entry.size);
                setbacks.fetched(&path);
                waiting.insert(path, file);
            }
            Outcome::Same(path, entry) => {
                progress.file(entry.size);
                setbacks.fetched(&path);
                same.insert(path, entry);
            }
            Outcome::Moved => moved = true,
            Outcome::Failed(
                fetch,
                SourceError {
                    kind: Kind::Destination(error),
                    ..
                },
            ) => {
                broken = Some(DestError::new("stage", fetch.path(), error));
            }
            Outcome::Failed(fetch, error) => {
                failures.insert(fetch.object.key.clone(), (fetch, error));
            }
        };
        self.shop.prepare(jobs, ended).await;
        self.progress.end();
        (self.waiting, self.same) = (waiting, same);
        match broken {
            // Room is given back: the next try needs it, and so do others.
            Some(error) => {
                self.drop_stale(&[]).await;
                Err(error.into())
            }
            None => Ok(moved),
        }
    }

    /// Removes from staging what is not wanted any more. `fetch` is sorted by path.
    pub(crate) async fn drop_stale(&mut self, fetch: &[Fetch]) {
        let wanted = |path: &str, entry: &Entry| {
            let found = fetch.binary_search_by(|fetch| fetch.path().cmp(path));
            found.is_ok_and(|index| {
                let object = &fetch[index].object;
                object.etag == entry.etag
                    && object.size == entry.size
                    && object.modified == entry.modified
            })
        };
        self.same.retain(|path, entry| wanted(path, entry));
        let stale: Vec<Waiting> = self
            .waiting
            .extract_if(.., |path, file| !wanted(path, &file.entry))
            .map(|(_, file)| file)
            .collect();
        if stale.is_empty() {
            return;
        }
        let stage = Arc::clone(&self.shop.stage);
        self.blocking("remove", move || {
            for file in &stale {
                // What cannot be removed now is swept when the next reign begins.
                let _ = stage.discard(&file.staged);
            }
        })
        .await;
    }

    pub(crate) fn decide(&self, plan: &Plan, listing: &Listing, arrivals: &[Hash]) -> Decision {
        let approvals: Vec<(String, i64)> = listing
            .approvals
            .iter()
            .map(|approval| (approval.id.clone(), approval.modified))
            .collect();
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

    pub(crate) fn tally(&self, plan: &Plan) -> Tally {
        Tally {
            listed: plan.listed,
            unchanged: plan.unchanged,
            held_deletes: self
                .held
                .as_ref()
                .map_or(0, |held| held.candidates.len() as u64),
            ..Tally::default()
        }
    }

    pub(crate) fn rejected_of(&self, rejected: Vec<Rejected>) -> Vec<Rejected> {
        let mut all = rejected;
        let obstructed = self
            .setbacks
            .iter()
            .filter(|(_, setback)| setback.how == How::Obstructed);
        all.extend(obstructed.map(|(path, setback)| Rejected {
            key: path.to_string(),
            reason: setback.reason.clone(),
        }));
        let why = "a file that s3sync does not manage is in this directory's way: move it";
        all.extend(self.blocked_directories.iter().map(|path| Rejected {
            key: format!("{path}/"),
            reason: why.to_string(),
        }));
        all.sort();
        all.dedup();
        all
    }
}

/// Takes the objects out of a listing, and leaves a hash that tells it from every other.
fn take_fingerprint(listing: &mut Listing) -> Hash {
    let mut digest = Sha256::new();
    for object in std::mem::take(&mut listing.objects) {
        digest.update(&*object.key);
        digest.update([0]);
        digest.update(&*object.etag);
        digest.update([0, u8::from(object.archived)]);
        digest.update(object.size.to_le_bytes());
        digest.update(object.modified.to_le_bytes());
    }
    digest.finalize().into()
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as i64
}
