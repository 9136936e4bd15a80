//! The state directory: a handle, and the few things done with names in it.
//!
//! Everything goes through the handle, so a directory that is moved or replaced while a pass runs
//! never sends a write somewhere else.

use rustix::fs::{AtFlags, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// An open state directory.
#[derive(Debug)]
pub struct StateDir {
    handle: OwnedFd,
}

impl StateDir {
    /// Opens an existing directory.
    pub fn at(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(StateDir { handle })
    }

    /// The handle itself.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Opens a file for reading.
    pub fn open(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::RDONLY)
    }

    /// Opens a file for appending.
    pub fn open_append(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::WRONLY | OFlags::APPEND)
    }

    /// Opens a file for reading and writing in place, and makes it where there is none.
    pub fn open_shared(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Makes an empty file, in place of any other content.
    pub fn create(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)
    }

    /// A small file's text; `None` where there is no file.
    pub fn read(&self, name: &str) -> io::Result<Option<String>> {
        let mut text = String::new();
        match self.open(name) {
            Ok(mut file) => file.read_to_string(&mut text).map(|_| Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renames within the directory.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, from, &self.handle, to)?)
    }

    /// Whether there is anything of this name.
    pub fn holds(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// When the file's content last changed by the file server's clock, milliseconds since 1970.
    pub fn modified(&self, name: &str) -> io::Result<Option<i64>> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(
                stat.st_mtime * 1_000 + stat.st_mtime_nsec as i64 / 1_000_000,
            )),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open_with(&self, name: &str, flags: OFlags) -> io::Result<File> {
        // 0664: several tasks of one group share the directory.
        let mode = Mode::from_raw_mode(0o664);
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.handle, name, flags, mode)?.into())
    }
}
