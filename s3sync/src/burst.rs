//! The burst: everything staged becomes visible, and what may go is gone, within moments.
//!
//! Order: what stands in the way goes first, then adds and updates, then the other deletes, then
//! empty directories. Before each batch the writer asks whether it still reigns.

use crate::dest::{self, Dest, DestError};
use crate::gate::Candidate;
use crate::key;
use crate::lock::Lock;
use crate::prepare::Waiting;
use crate::stage::Stage;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Renames between two looks at the epoch: a fraction of a second on EFS.
const BATCH: usize = 256;
/// Renames at once; on NFS each waits some milliseconds for the server.
const THREADS: usize = 16;

/// What a burst is to do.
#[derive(Debug, Default)]
pub struct Burst {
    /// Files to publish, by path. Their entries have the time and inode that the published files will.
    pub ready: BTreeMap<Box<str>, Waiting>,
    /// Files that may go.
    pub deletes: Vec<Candidate>,
    /// Directories to make.
    pub make_directories: Vec<Box<str>>,
    /// Directories to remove if they are empty.
    pub drop_directories: Vec<Box<str>>,
    /// Directories that keys ask for: they stay when they are empty.
    pub keep: BTreeSet<Box<str>>,
}

/// What it did.
#[derive(Debug, Default)]
pub struct Done {
    /// For each of [`Burst::ready`], in order, the time of change that the rename gave; `None` was not
    /// published, nor was what is behind the end.
    pub published: Vec<Option<i64>>,
    /// Not published or deleted, and why; a path may be tried again later.
    pub obstructed: Vec<(Box<str>, String)>,
    /// Paths that are gone, also those that were gone before.
    pub deleted: Vec<Box<str>>,
    /// How many of them were there.
    pub removed: u64,
    /// Directories made.
    pub made: Vec<Box<str>>,
    /// What ended the burst early: no room, no permission, or another's reign.
    pub stopped: Option<Stop>,
}

/// Why a burst stopped.
#[derive(Debug)]
pub enum Stop {
    /// Another writer reigns.
    Dethroned,
    /// The file system refused.
    Dest(DestError),
}

/// Runs a burst. Blocking.
pub fn run(burst: &Burst, dest: &Dest, stage: &Stage, lock: &Lock) -> Done {
    let mut done = Done::default();
    if let Err(stop) = steps(burst, dest, stage, lock, &mut done) {
        // A staging directory that vanished is how a new writer keeps an old one out.
        let dethroned = matches!(lock.still_ours(), Ok(false));
        done.stopped = Some(if dethroned { Stop::Dethroned } else { stop });
    }
    done
}

fn steps(
    burst: &Burst,
    dest: &Dest,
    stage: &Stage,
    lock: &Lock,
    done: &mut Done,
) -> Result<(), Stop> {
    dest.forget_all_handles();
    dest.check_in_place().map_err(Stop::Dest)?;
    let ready: Vec<(&str, &Waiting)> = burst.ready.iter().map(|(at, file)| (&**at, file)).collect();
    let touched = in_parallel(&ready, |(_, file)| {
        stage.touch(&file.staged, file.entry.local.mtime)
    });
    for ((path, _), touched) in ready.iter().zip(touched) {
        touched.map_err(|error| Stop::Dest(DestError::new("touch", *path, error)))?;
    }
    let (first, last) = split_obstructing(burst);
    delete(&first, &burst.keep, dest, stage, lock, done)?;
    for path in &burst.make_directories {
        match dest.make_directory(path) {
            Ok(()) => done.made.push(path.clone()),
            Err(error) => note(done, path, "make", error)?,
        }
    }
    publish(&ready, dest, stage, lock, done)?;
    delete(&last, &burst.keep, dest, stage, lock, done)?;
    prune(burst, dest, done)
}

/// The deletes that must come before the files that take their place.
fn split_obstructing(burst: &Burst) -> (Vec<&Candidate>, Vec<&Candidate>) {
    if burst.deletes.is_empty() {
        return Default::default();
    }
    let paths = || {
        burst
            .ready
            .keys()
            .map(|path| &**path)
            .chain(burst.make_directories.iter().map(|path| &**path))
    };
    let mut places: BTreeSet<&str> = paths().flat_map(key::ancestors).collect();
    places.extend(burst.make_directories.iter().map(|path| &**path));
    burst.deletes.iter().partition(|gone| {
        places.contains(&*gone.path)
            || key::ancestors(&gone.path).any(|above| burst.ready.contains_key(above))
    })
}

fn reign(lock: &Lock) -> Result<(), Stop> {
    match lock.still_ours() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Stop::Dethroned),
        Err(error) => Err(Stop::Dest(DestError::new("read", "the lock", error))),
    }
}

fn publish(
    ready: &[(&str, &Waiting)],
    dest: &Dest,
    stage: &Stage,
    lock: &Lock,
    done: &mut Done,
) -> Result<(), Stop> {
    for files in ready.chunks(BATCH) {
        reign(lock)?;
        let results = in_parallel(files, |(path, file)| {
            stage.publish(&file.staged, dest, path)
        });
        let times = results.iter().map(|result| result.as_ref().ok().copied());
        done.published.extend(times);
        for ((path, _), result) in files.iter().zip(results) {
            if let Err(error) = result {
                note(done, path, "publish", error)?;
            }
        }
    }
    Ok(())
}

fn delete(
    candidates: &[&Candidate],
    keep: &BTreeSet<Box<str>>,
    dest: &Dest,
    stage: &Stage,
    lock: &Lock,
    done: &mut Done,
) -> Result<(), Stop> {
    for items in candidates.chunks(BATCH) {
        reign(lock)?;
        let results = in_parallel(items, |gone| stage.retire(dest, &gone.path));
        for (result, gone) in results.into_iter().zip(items) {
            match result {
                Ok(there) => {
                    done.removed += u64::from(there);
                    done.deleted.push(gone.path.clone());
                }
                Err(error) => note(done, &gone.path, "delete", error)?,
            }
        }
        let emptied: BTreeSet<&str> = items
            .iter()
            .filter_map(|gone| key::parent(&gone.path))
            .collect();
        for directory in emptied {
            remove_upwards(dest, directory, keep, done)?;
        }
    }
    Ok(())
}

fn prune(burst: &Burst, dest: &Dest, done: &mut Done) -> Result<(), Stop> {
    for directory in burst.drop_directories.iter().rev() {
        remove_upwards(dest, directory, &burst.keep, done)?;
    }
    Ok(())
}

fn remove_upwards(
    dest: &Dest,
    directory: &str,
    keep: &BTreeSet<Box<str>>,
    done: &mut Done,
) -> Result<(), Stop> {
    for path in std::iter::once(directory).chain(key::ancestors(directory)) {
        if keep.contains(path) {
            break;
        }
        match dest.remove_directory(path) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                note(done, path, "remove", error)?;
                break;
            }
        }
    }
    Ok(())
}

/// An error that concerns one path is noted; one that concerns all ends the burst.
fn note(done: &mut Done, path: &str, doing: &'static str, error: io::Error) -> Result<(), Stop> {
    if dest::is_obstruction(&error) {
        let why = "a file, directory or link that s3sync does not manage is in the way: move it";
        done.obstructed.push((path.into(), why.to_string()));
        return Ok(());
    }
    Err(Stop::Dest(DestError::new(doing, path, error)))
}

/// Runs `act` on every item, on several threads when there are many, and keeps the order.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if items.len() < 8 {
        return items.iter().map(act).collect();
    }
    let share = items.len().div_ceil(THREADS);
    std::thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = items
            .chunks(share)
            .map(|items| scope.spawn(move || items.iter().map(act).collect::<Vec<R>>()))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .flat_map(|results| results.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
