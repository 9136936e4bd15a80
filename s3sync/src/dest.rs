//! DEST: every touch of the directory that readers see.
//!
//! Each path is walked part by part from an open handle, and no part may be a symbolic link, so no
//! key and no change below DEST leads outside. It needs only what NFS 4.1 has.

use crate::generations::{Home, layout};
use crate::key;
use crate::manifest::journal;
use crate::settings::Layout;
use crate::state::StateDir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

mod error;
mod open;

pub use error::{DestError, cause, is_absent, is_obstruction};

/// The tree that generations are linked from, in the state directory.
pub const TREE: &str = "tree";
/// The state directory's name below DEST.
pub const STATE: &str = ".s3sync";
/// Handles kept at once; a tree may have more directories than a process may have descriptors.
const MOST_HANDLES: usize = 256;

/// What is at a path, without following a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// A regular file, a directory, or something else.
    pub kind: FileType,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime: i64,
    /// Inode number.
    pub inode: u64,
    /// When the inode last changed, nanoseconds since 1970.
    pub ctime: i64,
}

impl Found {
    fn of(stat: &rustix::fs::Stat) -> Self {
        Found {
            kind: FileType::from_raw_mode(stat.st_mode),
            size: stat.st_size as u64,
            mtime: stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec as i64,
            inode: stat.st_ino,
            ctime: stat.st_ctime * 1_000_000_000 + stat.st_ctime_nsec as i64,
        }
    }

    /// What is at an open file.
    pub fn at(file: &File) -> io::Result<Self> {
        Ok(Found::of(&rustix::fs::fstat(file)?))
    }
}

/// Permission bits of what is made, as `--file-mode` and `--dir-mode` give them.
#[derive(Clone, Copy, Debug)]
pub struct Modes {
    /// Of files.
    pub file: u32,
    /// Of directories.
    pub directory: u32,
}

/// An open DEST and its state directory.
#[derive(Debug)]
pub struct Dest {
    path: PathBuf,
    /// What this keeps equal to the source: DEST, or the tree that generations are linked from.
    tree: PathBuf,
    home: Option<Home>,
    root: Arc<OwnedFd>,
    identity: (u64, u64),
    state: Arc<StateDir>,
    state_below: Option<String>,
    has_state: bool,
    modes: Modes,
    handles: Mutex<HashMap<Box<str>, Arc<OwnedFd>>>,
}

impl Dest {
    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that is kept equal to the source: DEST, or the tree that generations are linked
    /// from.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Its handle.
    pub(crate) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Where generations are; `None` in place.
    pub fn home(&self) -> Option<&Home> {
        self.home.as_ref()
    }

    /// Whether readers find a tree: in place always, else once `current` names one.
    pub fn offers_a_tree(&self) -> bool {
        let Some(home) = &self.home else { return true };
        let current = home.current().ok().flatten();
        current.is_some_and(|id| home.holds(id).is_ok_and(|holds| holds))
    }

    /// The state directory.
    pub fn state(&self) -> &Arc<StateDir> {
        &self.state
    }

    /// Whether there is a state directory at all; [`Dest::look`] makes none.
    pub fn has_state(&self) -> bool {
        self.has_state
    }

    /// Where the state directory is below DEST.
    pub fn state_below(&self) -> Option<&str> {
        self.state_below.as_deref()
    }

    /// The modes of what is made.
    pub fn modes(&self) -> Modes {
        self.modes
    }

    /// Refuses a DEST that a process of the other layout has taken since it was opened.
    pub fn check_layout(&self) -> Result<(), DestError> {
        let layout = match self.home {
            Some(_) => Layout::Generations,
            None => Layout::InPlace,
        };
        let found = match (self.state.holds(TREE), self.state.holds(journal::NAME)) {
            (Ok(tree), Ok(manifest)) => layout::found(tree, manifest),
            (Err(error), _) | (_, Err(error)) => {
                return Err(DestError::new(
                    "read the state of",
                    self.path.display().to_string(),
                    error,
                ));
            }
        };
        layout::agree(found, layout)
            .map_err(|error| DestError::new("use", self.path.display().to_string(), error))
    }

    /// Whether the path still leads to the directory that was opened: not to a link, not to another.
    pub fn check_in_place(&self) -> Result<(), DestError> {
        let check = |path: &Path, identity| {
            let fail = |error: io::Error| DestError::new("use", path.display().to_string(), error);
            let stat = rustix::fs::lstat(path).map_err(|error| fail(error.into()))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                return Err(fail(open::it_is_a_link()));
            }
            if (stat.st_dev, stat.st_ino) != identity {
                return Err(fail(io::Error::other(
                    "another directory stands in its place",
                )));
            }
            Ok(())
        };
        if let Some(home) = &self.home {
            check(&self.path, home.identity())?;
        }
        check(&self.tree, self.identity)
    }

    /// What is at `path`; `None` for nothing, or where a directory above it is none.
    pub fn find(&self, path: &str) -> io::Result<Option<Found>> {
        let (directory, leaf) = match self.parent_of(path, false) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match rustix::fs::statat(&directory, leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found {
                ctime: self.known_ctime(&stat),
                ..Found::of(&stat)
            })),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The time of change, where it says something: each generation that links a file sets it, and so
    /// with generations it is 0, not known.
    pub(crate) fn known_ctime(&self, stat: &rustix::fs::Stat) -> i64 {
        match self.home {
            Some(_) => 0,
            None => Found::of(stat).ctime,
        }
    }

    /// Opens a regular file for reading.
    pub fn open_file(&self, path: &str) -> io::Result<File> {
        let (directory, leaf) = self.parent_of(path, false)?;
        // NONBLOCK: a FIFO that somebody put there must not hang the program.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(rustix::fs::openat(&directory, leaf, flags, Mode::empty())?.into())
    }

    /// Makes a directory and those above it; fine if it is there.
    pub fn make_directory(&self, path: &str) -> io::Result<()> {
        self.directory(path, true).map(|_| ())
    }

    /// Removes a directory if it is empty; returns whether it is gone.
    pub fn remove_directory(&self, path: &str) -> io::Result<bool> {
        let (directory, leaf) = match self.parent_of(path, false) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(true),
            Err(error) => return Err(error),
        };
        self.forget_handles(path);
        match rustix::fs::unlinkat(&directory, leaf, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::BUSY) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The open directory that holds `path`, made if `create`, and the last part of `path`.
    pub fn parent_of<'a>(
        &self,
        path: &'a str,
        create: bool,
    ) -> io::Result<(Arc<OwnedFd>, &'a str)> {
        match key::parent(path) {
            Some(parent) => Ok((self.directory(parent, create)?, &path[parent.len() + 1..])),
            None => Ok((Arc::clone(&self.root), path)),
        }
    }

    fn directory(&self, path: &str, create: bool) -> io::Result<Arc<OwnedFd>> {
        let known = self
            .handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
            .cloned();
        if let Some(handle) = known {
            return Ok(handle);
        }
        let (above, leaf) = self.parent_of(path, create)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = match rustix::fs::openat(&above, leaf, flags, Mode::empty()) {
            Err(Errno::NOENT) if create => {
                match rustix::fs::mkdirat(&above, leaf, Mode::from_raw_mode(self.modes.directory)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                rustix::fs::openat(&above, leaf, flags, Mode::empty())?
            }
            other => other?,
        };
        let handle = Arc::new(handle);
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if handles.len() >= MOST_HANDLES {
            handles.clear();
        }
        handles.insert(path.into(), Arc::clone(&handle));
        Ok(handle)
    }

    /// Forgets every open directory: before each burst, as others may have moved them.
    pub fn forget_all_handles(&self) {
        self.handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn forget_handles(&self, path: &str) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|known, _| !key::is_at_or_below(known, path));
    }
}

/// Reads a file to its end in pieces of a fixed size.
pub fn read_all(mut file: File, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                take(&buffer[..count]);
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A time in nanoseconds since 1970, for both access and modification.
pub fn times(mtime: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.div_euclid(1_000_000_000),
        tv_nsec: mtime.rem_euclid(1_000_000_000) as _,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
