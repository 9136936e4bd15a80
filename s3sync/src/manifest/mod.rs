//! What this tool has put below DEST, and from which object: the memory that makes a poll cheap.
//!
//! The manifest owns a path or it does not; only what it owns is ever deleted. It is held in memory
//! as a sorted map and on disk as a journal ([`journal`]) of JSON lines that a person can read.

pub mod journal;
mod line;

use crate::gate::History;
use crate::revision::{Hash, Revision};
use std::collections::{BTreeMap, BTreeSet};

/// The local file as it was when it was published: what a scrub compares, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Local {
    /// Nanoseconds since 1970.
    pub mtime: i64,
    /// The inode number; a rename keeps it.
    pub inode: u64,
    /// When the inode last changed, nanoseconds since 1970: it tells an edit that set the old mtime
    /// again. A rename sets it, so it is known only after the burst; 0 is not known.
    pub ctime: i64,
}

impl Local {
    /// Whether a file that has `now` is the one that was published.
    pub fn matches(self, now: Local) -> bool {
        let times = self.ctime == 0 || now.ctime == 0 || self.ctime == now.ctime;
        (self.mtime, self.inode) == (now.mtime, now.inode) && times
    }
}

/// One managed file and the object it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The object's ETag, an opaque token that need not be an MD5.
    pub etag: Box<str>,
    /// Bytes, of the object and of the file.
    pub size: u64,
    /// The object's LastModified, milliseconds since 1970.
    pub modified: i64,
    /// SHA-256 of the bytes, by our own reading.
    pub sha256: Hash,
    /// Whether the ETag was seen to be the MD5 of the bytes: then an equal ETag proves equal bytes.
    pub md5: bool,
    /// The file below DEST.
    pub local: Local,
}

/// Every managed path of one DEST.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// Files by path.
    pub files: BTreeMap<Box<str>, Entry>,
    /// Directories that a key ending in `/` asked for.
    pub directories: BTreeSet<Box<str>>,
    /// What the delete gate must remember across restarts.
    pub history: History,
    /// When a pass last left DEST equal to the source, milliseconds since 1970, and with how many files.
    pub complete: Option<Complete>,
    /// When every file was last hashed, milliseconds since 1970.
    pub deep_scrubbed: Option<i64>,
    /// With generations: the one that is current or should be, written before it is made.
    pub generation: Option<Revision>,
}

/// A pass that ended with DEST equal to the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complete {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Files managed then.
    pub files: u64,
}

/// One change to a manifest. A journal is a sequence of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The path is managed and this is its file.
    Put(Box<str>, Entry),
    /// The path is not managed any more.
    Remove(Box<str>),
    /// A directory of its own.
    MakeDirectory(Box<str>),
    /// No longer one.
    RemoveDirectory(Box<str>),
    /// The gate's memory.
    History(History),
    /// A complete pass.
    Complete(Complete),
    /// A complete hashing of every file.
    DeepScrubbed(i64),
    /// The set that is managed now is to be the current generation.
    Generation(Revision),
}

impl Manifest {
    /// Applies one change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Put(path, entry) => {
                self.files.insert(path, entry);
            }
            Change::Remove(path) => {
                self.files.remove(&path);
            }
            Change::MakeDirectory(path) => {
                self.directories.insert(path);
            }
            Change::RemoveDirectory(path) => {
                self.directories.remove(&path);
            }
            Change::History(history) => self.history = history,
            Change::Complete(complete) => self.complete = Some(complete),
            Change::DeepScrubbed(at) => self.deep_scrubbed = Some(at),
            Change::Generation(id) => self.generation = Some(id),
        }
    }

    /// The digest of every managed path and its bytes.
    pub fn revision(&self) -> Revision {
        Revision::of(
            self.files
                .iter()
                .map(|(path, entry)| (&**path, &entry.sha256)),
        )
    }

    /// The changes that make an empty manifest equal to this one: what a compacted journal holds.
    pub fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        let files = self.files.iter();
        let directories = self.directories.iter();
        files
            .map(|(path, entry)| Change::Put(path.clone(), entry.clone()))
            .chain(directories.map(|path| Change::MakeDirectory(path.clone())))
            .chain((!self.history.is_empty()).then(|| Change::History(self.history.clone())))
            .chain(self.complete.map(Change::Complete))
            .chain(self.deep_scrubbed.map(Change::DeepScrubbed))
            .chain(self.generation.map(Change::Generation))
    }
}
