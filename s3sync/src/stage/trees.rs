//! Whole directories in staging: generations that are being made, and those that are to go.
//!
//! A generation is renamed out of staging and an old one into it, so what holds for files holds here:
//! a writer whose staging a new reign has taken can neither show a generation nor remove one. The
//! file `current` is replaced from here for the same reason.

use super::{Stage, ignore_absent, names, part};
use crate::dest::Dest;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);
const MAKING: &str = ".making";
const OLD: &str = ".old";

/// A directory in staging.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Its name in staging.
    pub(crate) name: String,
    /// It, open.
    pub(crate) handle: OwnedFd,
}

impl Stage {
    /// Makes an empty directory.
    pub(crate) fn make_tree(&self, mode: u32) -> io::Result<Tree> {
        let name = self.tree_name(MAKING);
        rustix::fs::mkdirat(&self.handle, &*name, Mode::from_raw_mode(mode))?;
        let handle = rustix::fs::openat(&self.handle, &*name, DIRECTORY, Mode::empty())?;
        Ok(Tree { name, handle })
    }

    /// Renames a tree out of staging.
    pub(crate) fn put_tree(&self, tree: &Tree, to: &OwnedFd, name: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, &*tree.name, to, name)?)
    }

    /// Renames what is at `name` into staging, where it is removed one day; returns whether there was
    /// anything.
    pub(crate) fn take_tree(&self, from: &OwnedFd, name: &str) -> io::Result<bool> {
        match rustix::fs::renameat(from, name, &self.handle, &*self.tree_name(OLD)) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) if absent(from, name)? => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes every tree that is to go, until `stop` is set.
    pub(crate) fn remove_trees(&self, stop: &AtomicBool) -> io::Result<()> {
        let mut ended = Ok(());
        for name in names(&self.handle)? {
            if name.ends_with(OLD) {
                // An open file of one keeps its directory on NFS, and must not keep the others.
                ended = remove_deep(&self.handle, &name, stop).and(ended);
            }
        }
        ended
    }

    /// Removes one tree.
    pub(crate) fn remove_tree(&self, tree: &Tree) -> io::Result<()> {
        remove_deep(&self.handle, &tree.name, &AtomicBool::new(false))
    }

    /// Puts a small file in place of another, durably.
    pub(crate) fn put_text(&self, text: &str, to: &OwnedFd, name: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(self.file_mode);
        let mut file: File = rustix::fs::openat(&self.handle, name, flags, mode)?.into();
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all());
        if let Err(error) = written {
            let _ = self.remove(name);
            return Err(error);
        }
        drop(file);
        rustix::fs::renameat(&self.handle, name, to, name)?;
        Ok(rustix::fs::fsync(to)?)
    }

    /// Renames a file that `make` writes to staging over `path`; returns what `make` says of it, and
    /// does nothing where that is `None`.
    pub(crate) fn put_copy(
        &self,
        dest: &Dest,
        path: &str,
        make: impl FnOnce(&OwnedFd, &str) -> io::Result<Option<u64>>,
    ) -> io::Result<Option<u64>> {
        let name = part(self.next.fetch_add(1, Ordering::Relaxed));
        let made = make(&self.handle, &name).and_then(|made| {
            if made.is_some() {
                let (directory, leaf) = dest.parent_of(path, false)?;
                rustix::fs::renameat(&self.handle, &*name, &directory, leaf)?;
            }
            Ok(made)
        });
        if !matches!(made, Ok(Some(_))) {
            // What cannot be removed now is swept when the next reign begins.
            let _ = self.remove(&name);
        }
        made
    }

    fn tree_name(&self, kind: &str) -> String {
        format!("{}{kind}", self.next.fetch_add(1, Ordering::Relaxed))
    }
}

pub(super) fn is_tree(name: &str) -> bool {
    name.ends_with(MAKING) || name.ends_with(OLD)
}

/// Moves the directories of an earlier reign's staging into this one's, so that the rest can go at
/// once: removing thousands of links takes a network file system minutes.
pub(super) fn adopt(above: &OwnedFd, other: &str, stage: &Stage) -> io::Result<()> {
    let directory = match rustix::fs::openat(above, other, DIRECTORY, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOTDIR | Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in names(&directory)? {
        if is_tree(&name) {
            let to = stage.tree_name(OLD);
            ignore_absent(rustix::fs::renameat(
                &directory,
                &*name,
                &stage.handle,
                &*to,
            ))?;
        }
    }
    Ok(())
}

/// Whether a rename failed for want of its source, and not because staging itself is gone.
fn absent(from: &OwnedFd, name: &str) -> io::Result<bool> {
    match rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(false),
        Err(Errno::NOENT) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn remove_deep(above: &OwnedFd, name: &str, stop: &AtomicBool) -> io::Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    match rustix::fs::unlinkat(above, name, AtFlags::empty()) {
        // EPERM is POSIX's word for a directory.
        Err(Errno::ISDIR | Errno::PERM) => {}
        other => return ignore_absent(other),
    }
    let directory = match rustix::fs::openat(above, name, DIRECTORY, Mode::empty()) {
        Ok(directory) => directory,
        Err(error) => return ignore_absent(Err(error)),
    };
    for name in names(&directory)? {
        remove_deep(&directory, &name, stop)?;
    }
    ignore_absent(rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR))
}
