//! DEST as readers see it: the file `current`, and the directories that it names.

use super::keep::Kept;
use crate::dest::Modes;
use crate::revision::Revision;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file that names the current generation.
pub const CURRENT: &str = "current";
/// The directory of generations.
pub const GENERATIONS: &str = "generations";

/// An open DEST with generations.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    handle: OwnedFd,
    identity: (u64, u64),
    modes: Modes,
    turn: Mutex<()>,
}

/// The ID that a `current` of this text names.
pub(super) fn parse(text: &str) -> Option<Revision> {
    Revision::parse(text.strip_suffix('\n').unwrap_or(text))
}

impl Home {
    /// Of the open directory at `path`.
    pub(crate) fn of(path: &Path, handle: OwnedFd, modes: Modes) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&handle)?;
        Ok(Home {
            path: path.to_path_buf(),
            handle,
            identity: (stat.st_dev, stat.st_ino),
            modes,
            turn: Mutex::default(),
        })
    }

    pub(crate) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    pub(crate) fn device(&self) -> u64 {
        self.identity.0
    }

    pub(crate) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Held from the look at a generation until `current` names it, and for each removal: what was
    /// found whole must not be taken away before it is current.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a generation is.
    pub fn path_of(&self, id: Revision) -> PathBuf {
        self.path.join(GENERATIONS).join(id.to_string())
    }

    /// What `current` names; `None` where it is not there, or is no file that names an ID.
    pub fn current(&self) -> io::Result<Option<Revision>> {
        // NONBLOCK: a FIFO that somebody put there must not hang the program.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.handle, CURRENT, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut text = Vec::new();
        match file.take(100).read_to_end(&mut text) {
            Ok(_) => Ok(std::str::from_utf8(&text).ok().and_then(parse)),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The directory of generations, made where it is not.
    pub(crate) fn generations(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, GENERATIONS, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                let mode = Mode::from_raw_mode(self.modes.directory);
                match rustix::fs::mkdirat(&self.handle, GENERATIONS, mode) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                rustix::fs::fsync(&self.handle)?;
                Ok(rustix::fs::openat(
                    &self.handle,
                    GENERATIONS,
                    flags,
                    Mode::empty(),
                )?)
            }
            other => Ok(other?),
        }
    }

    /// Every generation, and when it was last current.
    pub fn kept(&self) -> io::Result<Vec<Kept<Revision>>> {
        let generations = self.generations()?;
        let mut kept = Vec::new();
        for entry in rustix::fs::Dir::read_from(&generations)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let Some(id) = Revision::parse(&name) else {
                continue;
            };
            match rustix::fs::statat(&generations, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => kept.push(Kept {
                    id,
                    used: stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec as i64,
                }),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(kept)
    }

    /// Whether there is a directory of this generation.
    pub fn holds(&self, id: Revision) -> io::Result<bool> {
        let name = format!("{GENERATIONS}/{id}");
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode).is_dir()),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes that a generation is current until now: its age is counted from here.
    pub(crate) fn touch(&self, id: Revision) -> io::Result<()> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW as _,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        let name = format!("{GENERATIONS}/{id}");
        match rustix::fs::utimensat(&self.handle, name, &times, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
