//! One writer at a time, over hosts that share nothing but the file system.
//!
//! Who holds an advisory lock writes. That alone is not enough: a writer may be frozen with its lock
//! held, or may lose it to an expired lease and never learn. So each reign has a number, the epoch;
//! a file names the reigning one, and a writer reads it again before each batch of renames. The
//! heartbeat tells a frozen writer from a quiet one.
//!
//! | the reigning lock | heartbeat | |
//! |---|---|---|
//! | free | any | take it, next epoch |
//! | held | younger than [`STALE`] | follow |
//! | held | [`STALE`] or older | take the next lock file, next epoch |
//!
//! The epoch changes under a lock of its own, held for moments, so two that take over at once are
//! one that does and one that follows.

use crate::state::StateDir;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;

/// The age of a heartbeat from which its writer counts as gone, milliseconds.
pub const STALE: i64 = 180_000;

const EPOCH: &str = "epoch";
const HEARTBEAT: &str = "heartbeat";
const SLOTS: u64 = 3;

/// What the writer leaves for others, at least once a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// The reign it belongs to.
    pub epoch: u64,
    /// Who reigns: host, process and a random part.
    pub owner: String,
    /// The source.
    pub source: String,
    /// Whether DEST holds a complete pass of the source that found a file.
    pub complete: bool,
    /// The revision in DEST.
    pub revision: Option<String>,
    /// The current generation, where they are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// The writer left in good order, with nothing half done.
    pub ended: bool,
}

/// The reigning writer, as a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Reign {
    epoch: u64,
    slot: u64,
    owner: String,
}

/// What an attempt came to.
#[derive(Debug)]
pub enum Attempt {
    /// This process is the writer.
    Ours(Lock),
    /// Another is; its last heartbeat, and the heartbeat's age in milliseconds.
    Theirs(Heartbeat, i64),
}

/// The writer's hold on a state directory; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    state: Arc<StateDir>,
    reign: Reign,
    /// Whether the writer before left in good order, or there was none.
    pub clean: bool,
    _held: File,
}

/// Tries once to become the writer. `now` is milliseconds since 1970.
pub fn attempt(state: &Arc<StateDir>, owner: &str, now: i64) -> io::Result<Attempt> {
    let mut epoch = state.open_shared(EPOCH)?;
    let heartbeat = heartbeat(state)?;
    let changed = state.modified(HEARTBEAT)?.max(state.modified(EPOCH)?);
    let age = changed.map_or(0, |changed| now - changed);
    if !try_lock(&epoch)? {
        return Ok(Attempt::Theirs(heartbeat, age));
    }
    let reign: Reign = read(&mut epoch)?;
    let Some((slot, held)) = free_slot(state, reign.slot, age)? else {
        return Ok(Attempt::Theirs(heartbeat, age));
    };
    let clean = reign.epoch == 0 || heartbeat.ended && heartbeat.epoch == reign.epoch;
    let reign = Reign {
        epoch: reign.epoch + 1,
        slot,
        owner: owner.to_string(),
    };
    write(&mut epoch, &reign)?;
    let lock = Lock {
        state: Arc::clone(state),
        reign,
        clean,
        _held: held,
    };
    // Before the epoch's own lock is dropped: the old heartbeat's age would invite the next taker.
    lock.write_heartbeat(&Heartbeat {
        ended: false,
        ..heartbeat
    })?;
    Ok(Attempt::Ours(lock))
}

/// The lock that can be had: the reigning one, or another when its holder is silent.
fn free_slot(state: &StateDir, reigning: u64, age: i64) -> io::Result<Option<(u64, File)>> {
    let slots = if age < STALE { 1 } else { SLOTS };
    for slot in (0..slots).map(|step| (reigning + step) % SLOTS) {
        let file = state.open_shared(&format!("lock.{slot}"))?;
        if try_lock(&file)? {
            return Ok(Some((slot, file)));
        }
    }
    Ok(None)
}

/// The last heartbeat; an empty one when there is none or it cannot be read.
pub fn heartbeat(state: &StateDir) -> io::Result<Heartbeat> {
    let text = state.read(HEARTBEAT)?.unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

impl Lock {
    /// The number of this reign.
    pub fn epoch(&self) -> u64 {
        self.reign.epoch
    }

    /// Whether this process still reigns. Opening the file anew makes an NFS client ask the server.
    pub fn still_ours(&self) -> io::Result<bool> {
        let mut file = self.state.open(EPOCH)?;
        Ok(read::<Reign>(&mut file)? == self.reign)
    }

    /// Leaves a sign of life. Returns false, and writes nothing, when another reigns.
    pub fn beat(&self, heartbeat: &Heartbeat) -> io::Result<bool> {
        let ours = self.still_ours()?;
        if ours {
            self.write_heartbeat(heartbeat)?;
        }
        Ok(ours)
    }

    fn write_heartbeat(&self, heartbeat: &Heartbeat) -> io::Result<()> {
        let heartbeat = Heartbeat {
            epoch: self.reign.epoch,
            owner: self.reign.owner.clone(),
            ..heartbeat.clone()
        };
        write(&mut self.state.open_shared(HEARTBEAT)?, &heartbeat)
    }
}

fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn read<T: Default + for<'a> Deserialize<'a>>(file: &mut File) -> io::Result<T> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(&text).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the lock's state cannot be read: {error}"),
        )
    })
}

/// One write in place: a reader on another host sees the old text or the new, and needs no new
/// directory entry, which its NFS client might not look up for a minute.
fn write(file: &mut File, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    // Padded, so that a shorter text overwrites a longer one without a truncation in between.
    let length = file.metadata()?.len();
    while (text.len() as u64) < length {
        text.push(b' ');
    }
    file.rewind()?;
    file.write_all(&text)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn state() -> (tempfile::TempDir, Arc<StateDir>) {
        let directory = tempfile::tempdir().unwrap();
        let state = Arc::new(StateDir::at(directory.path()).unwrap());
        (directory, state)
    }

    fn now() -> i64 {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        since.as_millis() as i64
    }

    fn ours(attempt: Attempt) -> Lock {
        match attempt {
            Attempt::Ours(lock) => lock,
            Attempt::Theirs(heartbeat, age) => panic!("theirs: {heartbeat:?} {age}"),
        }
    }

    fn is_theirs(attempt: &Attempt) -> bool {
        matches!(attempt, Attempt::Theirs(..))
    }

    #[test]
    fn a_free_lock_is_taken_and_a_held_one_is_not() {
        let (_directory, state) = state();
        let first = ours(attempt(&state, "a", now()).unwrap());
        assert!(first.clean);
        assert!(is_theirs(&attempt(&state, "b", now()).unwrap()));
        drop(first);
        let second = ours(attempt(&state, "b", now()).unwrap());
        assert_eq!(
            (second.epoch(), second.clean),
            (2, false),
            "the first left no good-bye"
        );
    }

    #[test]
    fn a_writer_that_said_good_bye_leaves_a_clean_state() {
        let (_directory, state) = state();
        let first = ours(attempt(&state, "a", now()).unwrap());
        first
            .beat(&Heartbeat {
                ended: true,
                ..Heartbeat::default()
            })
            .unwrap();
        drop(first);
        assert!(ours(attempt(&state, "b", now()).unwrap()).clean);
    }

    #[test]
    fn a_silent_writer_is_replaced_and_learns_it() {
        let (_directory, state) = state();
        let frozen = ours(attempt(&state, "a", now()).unwrap());
        assert!(is_theirs(
            &attempt(&state, "b", now() + STALE - 60_000).unwrap()
        ));
        let taker = ours(attempt(&state, "b", now() + STALE + 1_000).unwrap());
        assert!(!frozen.still_ours().unwrap());
        assert!(taker.still_ours().unwrap() && !taker.clean);
        assert!(
            !frozen.beat(&Heartbeat::default()).unwrap(),
            "it must not look alive"
        );
        assert!(
            is_theirs(&attempt(&state, "c", now()).unwrap()),
            "the taker's heartbeat is young"
        );
        let again = ours(attempt(&state, "c", now() + STALE + 1_000).unwrap());
        assert!(!taker.still_ours().unwrap() && again.still_ours().unwrap());
    }

    #[test]
    fn of_many_that_take_over_at_once_one_does() {
        let (_directory, state) = state();
        let _frozen = ours(attempt(&state, "frozen", now()).unwrap());
        let late = now() + STALE + 1_000;
        let attempts: Vec<Attempt> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|number| {
                    let state = &state;
                    scope.spawn(move || attempt(state, &number.to_string(), late).unwrap())
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        // A later attempt at the same false clock may replace an earlier winner; one reigns.
        let reigning = attempts
            .iter()
            .filter(|attempt| matches!(attempt, Attempt::Ours(lock) if lock.still_ours().unwrap()));
        assert_eq!(reigning.count(), 1);
    }

    #[test]
    fn a_shorter_text_replaces_a_longer_one() {
        let (_directory, state) = state();
        let lock = ours(attempt(&state, "a", now()).unwrap());
        let long = Heartbeat {
            revision: Some("x".repeat(300)),
            ..Heartbeat::default()
        };
        lock.beat(&long).unwrap();
        lock.beat(&Heartbeat::default()).unwrap();
        let read = heartbeat(&state).unwrap();
        assert_eq!((read.revision, read.owner.as_str()), (None, "a"));
    }
}
