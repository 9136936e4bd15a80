//! From objects to verified files in staging, many at a time.
//!
//! What turns out to be in DEST already, byte for byte, is not published again: the manifest learns
//! the new ETag, and no reader sees anything.

use crate::dest::{self, Dest, Found};
use crate::manifest::{Entry, Local};
use crate::plan::{Fetch, Why};
use crate::revision::{Hash, hex};
use crate::source::{Kind, Object, Source, SourceError};
use crate::stage::{Stage, Staged};
use md5::Md5;
use sha2::{Digest, Sha256};
use std::io;
use std::sync::Arc;
use tokio::task::JoinSet;

/// MD5s of files larger than this are not worth their CPU: S3 stores a checksum of such objects.
const LARGEST_MD5: u64 = 16 << 20;

/// What one object came to.
#[derive(Debug)]
pub enum Outcome {
    /// It waits in staging.
    Ready(Box<str>, Waiting),
    /// DEST holds these bytes already.
    Same(Box<str>, Entry),
    /// The source changed after it was listed: list again.
    Moved,
    /// It failed.
    Failed(Fetch, SourceError),
}

/// Everything that fetching needs.
#[derive(Clone, Debug)]
pub struct Workshop {
    /// S3.
    pub source: Source,
    /// Where files go.
    pub dest: Arc<Dest>,
    /// Where they wait.
    pub stage: Arc<Stage>,
    /// Shows what the file system is doing.
    pub status: agent::status::Status,
    /// Files in flight.
    pub concurrency: usize,
    /// Whether DEST may hold files that are not managed: each is compared before it is replaced.
    pub look_first: bool,
}

/// A verified file in staging that waits for its burst.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The file.
    pub staged: Staged,
    /// What the manifest will say; until the burst its time is that of the file that is replaced.
    pub entry: Entry,
    /// Why it was fetched.
    pub why: Why,
}

/// A fetch and what the manifest knows of its path.
#[derive(Clone, Debug)]
pub struct Job {
    /// What to fetch.
    pub fetch: Fetch,
    /// The managed file that is there.
    pub known: Option<Entry>,
}

impl Workshop {
    /// Does every job and gives `ended` what each came to. The source bounds what is fetched at a time;
    /// as many again are verified and written meanwhile.
    pub async fn prepare(
        &self,
        mut jobs: impl Iterator<Item = Job>,
        mut ended: impl FnMut(Outcome),
    ) {
        let mut running = JoinSet::new();
        loop {
            while running.len() < 2 * self.concurrency {
                let Some(job) = jobs.next() else { break };
                let workshop = self.clone();
                running.spawn(async move { workshop.one(job).await });
            }
            match running.join_next().await {
                Some(Ok(outcome)) => ended(outcome),
                // Only a bug panics a job, and a panic ends the program.
                Some(Err(error)) => {
                    tracing::error!(event = "bug", %error, "a fetch ended without an outcome")
                }
                None => return,
            }
        }
    }

    async fn one(&self, job: Job) -> Outcome {
        let local = match self.look(&job).await {
            Ok(local) => local,
            Err(error) => return failed(job.fetch, error),
        };
        if let Some(local) = &local {
            match self.same_without_fetching(&job, local).await {
                Ok(Some(entry)) => return Outcome::Same(job.fetch.object.key, entry),
                Ok(None) => {}
                Err(error) => return failed(job.fetch, error),
            }
        }
        let object = &job.fetch.object;
        let open = {
            let (stage, status) = (Arc::clone(&self.stage), self.status.clone());
            let hash_md5 = object.etag.len() == 32 && object.size <= LARGEST_MD5;
            let etag = object.etag.to_string();
            move || {
                let _activity = status.activity("DEST", "create");
                stage.create(&etag, hash_md5, &status)
            }
        };
        match self.source.fetch(object, open).await {
            Ok(fetched) => self.settle(job, local, fetched.done).await,
            Err(SourceError {
                kind: Kind::Gone, ..
            }) if object.content().is_some() => {
                let missing = self.source.missing_content(object);
                failed(job.fetch, missing)
            }
            // A release does not move: what of it cannot be had keeps all of it away.
            Err(SourceError {
                kind: Kind::Changed,
                ..
            }) if object.content().is_some() => {
                let message = format!(
                    "`{}` of the release: its content was put again while it was read: it is tried again",
                    object.key.escape_debug()
                );
                let kind = Kind::Changed;
                failed(job.fetch, SourceError { kind, message })
            }
            Err(SourceError {
                kind: Kind::Changed | Kind::Gone,
                ..
            }) => Outcome::Moved,
            Err(error) => failed(job.fetch, error),
        }
    }

    /// Reads the local file where there may be one whose bytes are not known for sure.
    async fn look(&self, job: &Job) -> Result<Option<Looked>, SourceError> {
        let unknown = job.known.is_none() && self.look_first || job.fetch.why == Why::Repair;
        if !unknown {
            return Ok(None);
        }
        let dest = Arc::clone(&self.dest);
        let (path, size) = (job.fetch.object.key.clone(), job.fetch.object.size);
        let key = path.clone();
        let looked = self
            .blocking("read", move || look_at(&dest, &path, size))
            .await;
        looked.map_err(|error| SourceError {
            message: format!("cannot read {key}: {}", dest::cause(&error)),
            kind: Kind::Destination(error),
        })
    }

    /// Whether the local file is known to be the object, by what S3 says of it.
    async fn same_without_fetching(
        &self,
        job: &Job,
        local: &Looked,
    ) -> Result<Option<Entry>, SourceError> {
        let object = &job.fetch.object;
        let Some(bytes) = &local.bytes else {
            return Ok(None);
        };
        let md5 = *object.etag == *bytes.md5;
        let published = job
            .known
            .as_ref()
            .is_some_and(|known| known.sha256 == bytes.sha256 && known.etag == object.etag);
        let content = object.content();
        if md5 || published || content == Some(bytes.sha256) {
            return Ok(Some(entry_of(object, bytes.sha256, md5, local.found)));
        }
        if content.is_some() {
            return Ok(None);
        }
        let checksum = match self.source.stored_checksum(object).await {
            Ok(Some(checksum)) => checksum,
            Ok(None)
            | Err(SourceError {
                kind: Kind::Changed | Kind::Gone,
                ..
            }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (dest, path) = (Arc::clone(&self.dest), object.key.clone());
        let verified = self.blocking("read", move || {
            let mut verifier = checksum.verifier();
            dest::read_all(dest.open_file(&path)?, |bytes| verifier.update(bytes))?;
            Ok(verifier
                .finish()
                .is_ok_and(|proof| proof != crate::source::Proof::LengthOnly))
        });
        let same = verified.await.unwrap_or(false);
        Ok(same.then(|| entry_of(object, bytes.sha256, false, local.found)))
    }

    /// The object is in staging: publish it, unless DEST has these bytes.
    async fn settle(&self, job: Job, local: Option<Looked>, staged: Staged) -> Outcome {
        let Job { fetch, known } = job;
        if fetch
            .object
            .content()
            .is_some_and(|wanted| wanted != staged.sha256)
        {
            let error = self.source.other_content(&fetch.object, &staged.sha256);
            self.discard(&staged).await;
            return failed(fetch, error);
        }
        let there = match (&local, &known) {
            (Some(local), _) => local
                .bytes
                .as_ref()
                .filter(|bytes| bytes.sha256 == staged.sha256)
                .map(|_| local_of(local.found)),
            (None, Some(known)) if fetch.why == Why::Update => {
                (known.sha256 == staged.sha256).then_some(known.local)
            }
            (None, _) => None,
        };
        if let Some(local) = there {
            self.discard(&staged).await;
            let entry = Entry {
                local,
                ..entry_of_staged(&fetch.object, &staged, 0)
            };
            return Outcome::Same(fetch.object.key, entry);
        }
        // The time before decides the time after, so the file that is replaced counts, managed or not.
        let before = local
            .map(|local| local.found.mtime)
            .or(known.map(|known| known.local.mtime));
        let entry = entry_of_staged(&fetch.object, &staged, before.unwrap_or(0));
        Outcome::Ready(
            fetch.object.key,
            Waiting {
                staged,
                entry,
                why: fetch.why,
            },
        )
    }

    async fn discard(&self, staged: &Staged) {
        let (stage, staged) = (Arc::clone(&self.stage), staged.clone());
        // What cannot be removed now is swept when the next reign begins.
        let _ = self
            .blocking("remove", move || stage.discard(&staged))
            .await;
    }

    /// Runs `work` on a thread that the file system may hold up.
    pub async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        blocking(&self.status, what, work).await
    }
}

/// Runs `work` on a thread that the file system may hold up; the status shows when it does.
pub async fn blocking<T: Send + 'static>(
    status: &agent::status::Status,
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let activity = status.activity("DEST", what);
    let result = tokio::task::spawn_blocking(move || {
        let _activity = activity;
        work()
    });
    match result.await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and nobody waits for this any more.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A local file that was looked at, and its bytes' hashes where its size is the object's.
#[derive(Debug)]
struct Looked {
    found: Found,
    bytes: Option<Bytes>,
}

/// What the bytes of a local file come to.
#[derive(Debug)]
pub(crate) struct Bytes {
    pub(crate) size: u64,
    pub(crate) sha256: Hash,
    /// In hexadecimal, as an ETag has it.
    pub(crate) md5: String,
}

fn look_at(dest: &Dest, path: &str, size: u64) -> io::Result<Option<Looked>> {
    let Some(found) = dest.find(path)?.filter(|found| found.kind.is_file()) else {
        return Ok(None);
    };
    if found.size != size {
        return Ok(Some(Looked { found, bytes: None }));
    }
    Ok(Some(Looked {
        found,
        bytes: Some(hash(dest, path)?),
    }))
}

/// Reads a local file to its end.
pub(crate) fn hash(dest: &Dest, path: &str) -> io::Result<Bytes> {
    let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
    let size = dest::read_all(dest.open_file(path)?, |bytes| {
        sha256.update(bytes);
        md5.update(bytes);
    })?;
    Ok(Bytes {
        size,
        sha256: sha256.finalize().into(),
        md5: hex(&md5.finalize()),
    })
}

fn local_of(found: Found) -> Local {
    Local {
        mtime: found.mtime,
        inode: found.inode,
        ctime: found.ctime,
    }
}

fn entry_of(object: &Object, sha256: Hash, md5: bool, found: Found) -> Entry {
    Entry {
        etag: object.etag.clone(),
        size: object.size,
        modified: object.modified,
        sha256,
        md5,
        local: local_of(found),
    }
}

fn entry_of_staged(object: &Object, staged: &Staged, mtime: i64) -> Entry {
    Entry {
        etag: object.etag.clone(),
        size: staged.size,
        modified: object.modified,
        sha256: staged.sha256,
        md5: staged.md5,
        // The rename is still to come, and sets another.
        local: Local {
            mtime,
            inode: staged.inode,
            ctime: 0,
        },
    }
}

fn failed(fetch: Fetch, error: SourceError) -> Outcome {
    Outcome::Failed(fetch, error)
}
