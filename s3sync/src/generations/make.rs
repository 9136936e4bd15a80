//! Making a generation: a tree of hard links beside the others, whole before anybody can see it.
//!
//! One link a file, and three calls a directory: no file is read or even looked at, so a new
//! generation costs about the same whatever changed.

use super::land::Place;
use super::picture::{Picture, Piece};
use crate::burst::in_parallel;
use crate::dest::{self, Dest, DestError};
use crate::manifest::Local;
use crate::revision::{Hash, Revision};
use crate::stage::Tree;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

/// What makes a hard link; tests have others, that know a limit.
pub trait Link: Sync {
    /// Links the file at `path` below `from` to the same path below `to`.
    fn link(&self, from: &OwnedFd, to: &OwnedFd, path: &str) -> rustix::io::Result<()>;
}

/// link(2).
#[derive(Clone, Copy, Debug)]
pub struct HardLinks;

impl Link for HardLinks {
    fn link(&self, from: &OwnedFd, to: &OwnedFd, path: &str) -> rustix::io::Result<()> {
        rustix::fs::linkat(from, path, to, path, AtFlags::empty())
    }
}

/// What a generation was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Files that share their bytes with the tree.
    pub linked: u64,
    /// Files whose bytes were written anew.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files of the tree that a copy replaced, as they had all the links that the file system allows.
    pub replaced: Vec<(Box<str>, Local)>,
    /// The file system has no hard links, and this is what it said.
    pub no_links: Option<String>,
}

/// Why there is no generation.
#[derive(Debug)]
pub(super) enum Unmade {
    /// These files of the tree are not there as they were published.
    Drifted(BTreeSet<Box<str>>),
    /// The file system refused.
    Dest(DestError),
}

/// Makes a tree in staging that holds what `picture` says, and makes it durable. What was begun is
/// removed where it cannot be finished: the room is needed.
pub(super) fn make(
    to: Place<'_>,
    id: Revision,
    picture: &Picture,
    link: &dyn Link,
) -> Result<(Tree, Made), Unmade> {
    let Place { dest, stage, .. } = to;
    let fail =
        |error: io::Error| Unmade::Dest(DestError::new("make", format!("generation {id}"), error));
    let tree = stage.make_tree(dest.modes().directory).map_err(fail)?;
    let made = fill(to, picture, link, &tree.handle).map_err(|error| match error {
        Broken::Drifted(paths) => Unmade::Drifted(paths),
        Broken::At(path, error) if path.is_empty() => fail(error),
        Broken::At(path, error) => Unmade::Dest(DestError::new(
            "make",
            format!("generation {id}, at {path}"),
            error,
        )),
    });
    match made {
        Ok(made) => Ok((tree, made)),
        Err(unmade) => {
            // What cannot be removed now is swept when the next reign begins.
            let _ = stage.remove_tree(&tree);
            Err(unmade)
        }
    }
}

enum Broken {
    Drifted(BTreeSet<Box<str>>),
    At(Box<str>, io::Error),
}

fn fill(
    place: Place<'_>,
    picture: &Picture,
    link: &dyn Link,
    to: &OwnedFd,
) -> Result<Made, Broken> {
    let at = |path: &str| {
        let path = Box::from(path);
        move |error: io::Error| Broken::At(path, error)
    };
    let Place { dest, status, .. } = place;
    let directories: Vec<&str> = picture.all_directories().into_iter().collect();
    for path in &directories {
        let _activity = status.activity("DEST", "mkdir");
        rustix::fs::mkdirat(to, *path, Mode::from_raw_mode(dest.modes().directory))
            .map_err(|error| at(path)(error.into()))?;
    }
    let mut made = Made::default();
    let mut drifted = BTreeSet::new();
    let landed = in_parallel(&picture.pieces, |piece| {
        let _activity = status.activity("DEST", "link");
        put(place, piece, link, to)
    });
    for (piece, placed) in picture.pieces.iter().zip(landed) {
        match placed.map_err(at(&piece.path))? {
            Placed::Linked => made.linked += 1,
            Placed::Drifted => {
                drifted.insert(piece.path.clone());
            }
            Placed::Copied(why) => {
                made.copied += 1;
                made.bytes += piece.size;
                made.no_links = Some(why);
            }
            Placed::Replaced(local) => {
                made.copied += 1;
                made.bytes += piece.size;
                made.replaced.push((piece.path.clone(), local));
            }
        }
    }
    if !drifted.is_empty() {
        return Err(Broken::Drifted(drifted));
    }
    for synced in in_parallel(&directories, |path| {
        let _activity = status.activity("DEST", "fsync");
        sync_directory(to, path)
    }) {
        synced.map_err(at(""))?;
    }
    rustix::fs::fsync(to).map_err(|error| at("")(error.into()))?;
    Ok(made)
}

enum Placed {
    Linked,
    Copied(String),
    Replaced(Local),
    Drifted,
}

fn put(place: Place<'_>, piece: &Piece, link: &dyn Link, to: &OwnedFd) -> io::Result<Placed> {
    let dest = place.dest;
    match link.link(dest.root(), to, &piece.path) {
        Ok(()) => Ok(Placed::Linked),
        // EFS allows 177 links.
        Err(Errno::MLINK) => replace(place, piece, link, to),
        Err(error @ (Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS)) => {
            Ok(match copy(dest, piece, to, &piece.path)? {
                Some(_) => Placed::Copied(io::Error::from(error).to_string()),
                None => Placed::Drifted,
            })
        }
        // Or the tree that is being made is gone, as another reigns.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if dest.find(&piece.path)?.is_none() => {
            Ok(Placed::Drifted)
        }
        Err(error) => Err(error.into()),
    }
}

/// Puts a copy in the place of a file that has all its links, so that this generation and those to
/// come link the copy.
fn replace(place: Place<'_>, piece: &Piece, link: &dyn Link, to: &OwnedFd) -> io::Result<Placed> {
    let Place { dest, stage, .. } = place;
    let put = stage.put_copy(dest, &piece.path, |directory, name| {
        copy(dest, piece, directory, name)
    })?;
    let Some(inode) = put else {
        return Ok(Placed::Drifted);
    };
    link.link(dest.root(), to, &piece.path)?;
    Ok(Placed::Replaced(Local {
        mtime: piece.mtime,
        inode,
        ctime: 0,
    }))
}

/// Copies a file of the tree, durably, and returns the copy's inode; `None` where the file is not as it
/// was published.
fn copy(dest: &Dest, piece: &Piece, to: &OwnedFd, name: &str) -> io::Result<Option<u64>> {
    let from = match dest.open_file(&piece.path) {
        Ok(from) => from,
        Err(error) if dest::is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(dest.modes().file);
    let mut file: File = rustix::fs::openat(to, name, flags, mode)?.into();
    let (mut digest, mut written) = (Sha256::new(), Ok(()));
    dest::read_all(from, |bytes| {
        digest.update(bytes);
        if written.is_ok() {
            written = file.write_all(bytes);
        }
    })?;
    written?;
    if Hash::from(digest.finalize()) != piece.sha256 {
        return Ok(None);
    }
    rustix::fs::futimens(&file, &dest::times(piece.mtime))?;
    file.sync_all()?;
    let inode = rustix::fs::fstat(&file)?.st_ino;
    // NFS says on close that a write found no room; a dropped File would swallow it.
    nix::unistd::close(file)?;
    Ok(Some(inode))
}

fn sync_directory(below: &OwnedFd, path: &str) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(below, path, flags, Mode::empty())?;
    Ok(rustix::fs::fsync(directory)?)
}
