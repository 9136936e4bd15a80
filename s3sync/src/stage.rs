//! Staging: where bytes wait until they are whole, and where deleted files go to die.
//!
//! Each reign has a staging directory of its own, named by its epoch. Publishing renames out of it
//! and deleting renames into it, so when a new writer removes the directory of a writer that was
//! frozen, nothing that one does on waking can reach DEST any more.

use crate::dest::{self, Dest, Found};
use crate::revision::{Hash, hex};
use crate::source::Sink;
use agent::status::Status;
use md5::Md5;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const STAGING: &str = "staging";
/// The end of a zip's directory: Python's `is_zipfile` looks for nothing else.
const ZIP_END: &[u8] = b"PK\x05\x06";

/// The staging directory of one reign.
#[derive(Debug)]
pub struct Stage {
    above: OwnedFd,
    name: String,
    handle: OwnedFd,
    file_mode: u32,
    next: AtomicU64,
}

/// A file in staging: whole, verified, and not yet seen by anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Its number in staging.
    pub number: u64,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: Hash,
    /// Whether the object's ETag is the MD5 of the bytes.
    pub md5: bool,
    /// It keeps this inode when it is renamed.
    pub inode: u64,
    /// A zip is unreadable until it is published: Airflow would take it for a packaged DAG.
    locked: bool,
}

impl Stage {
    /// Makes the staging directory of `epoch`, and removes those of every other epoch.
    pub fn open(dest: &Dest, epoch: u64) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o775);
        let make = |above: &OwnedFd, name: &str| match rustix::fs::mkdirat(above, name, mode) {
            Ok(()) | Err(Errno::EXIST) => rustix::fs::openat(above, name, flags, Mode::empty()),
            Err(error) => Err(error),
        };
        match rustix::fs::mkdirat(dest.state().handle(), STAGING, mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let above = rustix::fs::openat(dest.state().handle(), STAGING, flags, Mode::empty())?;
        let name = epoch.to_string();
        for other in names(&above)? {
            remove_tree(&above, &other)?;
        }
        let handle = make(&above, &name)?;
        Ok(Stage {
            above,
            name,
            handle,
            file_mode: dest.modes().file,
            next: AtomicU64::new(0),
        })
    }

    /// A new file to write an object to.
    pub fn create(
        self: &Arc<Self>,
        etag: &str,
        hash_md5: bool,
        status: &Status,
    ) -> io::Result<StageWriter> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = part(number);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(self.file_mode);
        let file = rustix::fs::openat(&self.handle, &*name, flags, mode)?.into();
        Ok(StageWriter {
            stage: Arc::clone(self),
            number,
            file: Some(file),
            size: 0,
            sha256: Sha256::new(),
            md5: hash_md5.then(|| (Md5::new(), etag.to_string())),
            zip: ZipSeeker::default(),
            status: status.clone(),
            done: false,
        })
    }

    /// Gives a staged file the time that readers will see.
    pub fn touch(&self, staged: &Staged, mtime: i64) -> io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(
            &self.handle,
            &*part(staged.number),
            &dest::times(mtime),
            flags,
        )?)
    }

    /// Renames a staged file over `path`, whose directories are made. Returns its new time of change,
    /// 0 if that cannot be told.
    pub fn publish(&self, staged: &Staged, dest: &Dest, path: &str) -> io::Result<i64> {
        let (directory, leaf) = dest.parent_of(path, true)?;
        if staged.locked {
            let mode = Mode::from_raw_mode(self.file_mode);
            rustix::fs::chmodat(&self.handle, &*part(staged.number), mode, AtFlags::empty())?;
        }
        match rustix::fs::renameat(&self.handle, &*part(staged.number), &directory, leaf) {
            // An empty directory that nobody asks for any more may stand there.
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                if !dest.remove_directory(path)? {
                    return Err(Errno::ISDIR.into());
                }
                rustix::fs::renameat(&self.handle, &*part(staged.number), &directory, leaf)?;
            }
            other => other?,
        }
        let stat = rustix::fs::statat(&directory, leaf, AtFlags::SYMLINK_NOFOLLOW);
        Ok(stat.map_or(0, |stat| {
            stat.st_ctime * 1_000_000_000 + stat.st_ctime_nsec as i64
        }))
    }

    /// Takes the file at `path` out of DEST; returns whether there was one. A directory is left, and
    /// means that the file is gone: a writer that was killed after it put other files there leaves
    /// such a delete to the next, which must not try it for ever.
    pub fn retire(&self, dest: &Dest, path: &str) -> io::Result<bool> {
        match dest.find(path)? {
            None => return Ok(false),
            Some(found) if found.kind.is_dir() => return Ok(false),
            Some(_) => {}
        }
        let (directory, leaf) = dest.parent_of(path, false)?;
        let name = format!("{}.gone", self.next.fetch_add(1, Ordering::Relaxed));
        match rustix::fs::renameat(&directory, leaf, &self.handle, &*name) {
            Ok(()) => {}
            // The stage itself may be gone, which is another's reign, not an absent file.
            Err(Errno::NOENT) if dest.find(path)?.is_none() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.remove(&name)?;
        Ok(true)
    }

    /// Drops a staged file.
    pub fn discard(&self, staged: &Staged) -> io::Result<()> {
        self.remove(&part(staged.number))
    }

    /// Removes every staged file.
    pub fn sweep(&self) -> io::Result<()> {
        names(&self.handle)?
            .iter()
            .try_for_each(|name| self.remove(name))
    }

    /// Removes the staging directory: at a good end.
    pub fn close(&self) -> io::Result<()> {
        remove_tree(&self.above, &self.name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Writes one object to staging, hashing on the way.
#[derive(Debug)]
pub struct StageWriter {
    stage: Arc<Stage>,
    number: u64,
    /// `None` once it is finished.
    file: Option<File>,
    size: u64,
    sha256: Sha256,
    md5: Option<(Md5, String)>,
    zip: ZipSeeker,
    status: Status,
    done: bool,
}

impl Sink for StageWriter {
    type Done = Staged;

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or_else(finished)?;
        {
            let _activity = self.status.activity("DEST", "write");
            file.write_all(bytes)?;
        }
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(bytes);
        }
        self.zip.look_at(bytes);
        Ok(())
    }

    fn finish(mut self) -> io::Result<Staged> {
        let file = self.file.take().ok_or_else(finished)?;
        let _activity = self.status.activity("DEST", "close");
        if self.zip.found {
            rustix::fs::fchmod(&file, Mode::empty())?;
        }
        let inode = Found::at(&file)?.inode;
        // NFS says on close that a write found no room; a dropped File would swallow it.
        nix::unistd::close(file)?;
        self.done = true;
        Ok(Staged {
            number: self.number,
            size: self.size,
            sha256: std::mem::take(&mut self.sha256).finalize().into(),
            md5: self
                .md5
                .take()
                .is_some_and(|(md5, etag)| hex(&md5.finalize()) == etag),
            inode,
            locked: self.zip.found,
        })
    }
}

impl Drop for StageWriter {
    fn drop(&mut self) {
        // A finished writer has given its file away.
        if !self.done {
            drop(self.file.take());
            // What is left behind is swept when the next reign begins.
            let _ = self.stage.remove(&part(self.number));
        }
    }
}

fn part(number: u64) -> String {
    format!("{number}.part")
}

fn finished() -> io::Error {
    io::Error::other("a staged file is finished already")
}

/// Looks for the end of a zip's directory in bytes that come in pieces.
#[derive(Debug, Default)]
struct ZipSeeker {
    found: bool,
    tail: Vec<u8>,
}

impl ZipSeeker {
    fn look_at(&mut self, bytes: &[u8]) {
        if self.found {
            return;
        }
        let keep = ZIP_END.len() - 1;
        self.tail.extend_from_slice(&bytes[..bytes.len().min(keep)]);
        self.found = contains(&self.tail, ZIP_END) || contains(bytes, ZIP_END);
        if bytes.len() >= keep {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - keep..]);
        } else {
            self.tail.drain(..self.tail.len().saturating_sub(keep));
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

fn names(directory: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Removes `name`, and what is in it if it is a directory. Staging has one level.
fn remove_tree(above: &OwnedFd, name: &str) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(above, name, flags, Mode::empty()) {
        Ok(directory) => {
            for name in names(&directory)? {
                ignore_absent(rustix::fs::unlinkat(&directory, &*name, AtFlags::empty()))?;
            }
            ignore_absent(rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR))
        }
        Err(Errno::NOTDIR) => ignore_absent(rustix::fs::unlinkat(above, name, AtFlags::empty())),
        Err(error) => ignore_absent(Err(error)),
    }
}

fn ignore_absent(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dest::Modes;

    fn open(epoch: u64) -> (tempfile::TempDir, Dest, Arc<Stage>) {
        let directory = tempfile::tempdir().unwrap();
        let dest = Dest::open(
            directory.path(),
            None,
            Modes {
                file: 0o664,
                directory: 0o775,
            },
        )
        .unwrap();
        let stage = Arc::new(Stage::open(&dest, epoch).unwrap());
        (directory, dest, stage)
    }

    fn stage_bytes(stage: &Arc<Stage>, pieces: &[&[u8]]) -> Staged {
        let mut writer = stage.create("", false, &Status::disabled()).unwrap();
        pieces.iter().for_each(|piece| writer.write(piece).unwrap());
        writer.finish().unwrap()
    }

    #[test]
    fn a_staged_file_is_published_whole() {
        let (directory, dest, stage) = open(1);
        let staged = stage_bytes(&stage, &[b"x = ", b"1\n"]);
        assert!(!directory.path().join("a/b.py").exists());
        stage.publish(&staged, &dest, "a/b.py").unwrap();
        assert_eq!(
            std::fs::read(directory.path().join("a/b.py")).unwrap(),
            b"x = 1\n"
        );
        assert_eq!(dest.find("a/b.py").unwrap().unwrap().inode, staged.inode);
    }

    #[test]
    fn a_writer_of_an_older_reign_reaches_nothing() {
        let (directory, dest, frozen) = open(1);
        let staged = stage_bytes(&frozen, &[b"old"]);
        std::fs::write(directory.path().join("kept.py"), "kept").unwrap();
        let _taker = Stage::open(&dest, 2).unwrap();
        assert!(frozen.publish(&staged, &dest, "a.py").is_err());
        assert!(frozen.retire(&dest, "kept.py").is_err());
        assert!(!directory.path().join("a.py").exists());
        assert_eq!(
            std::fs::read(directory.path().join("kept.py")).unwrap(),
            b"kept"
        );
    }

    #[test]
    fn a_file_that_a_directory_has_replaced_is_gone_already() {
        let (directory, dest, stage) = open(1);
        std::fs::create_dir(directory.path().join("a")).unwrap();
        std::fs::write(directory.path().join("a/b.py"), "kept").unwrap();
        assert!(!stage.retire(&dest, "a").unwrap());
        assert_eq!(
            std::fs::read(directory.path().join("a/b.py")).unwrap(),
            b"kept"
        );
    }

    #[test]
    fn a_link_on_the_way_is_never_followed() {
        let (directory, dest, stage) = open(1);
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), directory.path().join("link")).unwrap();
        let staged = stage_bytes(&stage, &[b"x"]);
        let error = stage.publish(&staged, &dest, "link/a.py").unwrap_err();
        assert!(dest::is_obstruction(&error), "{error}");
        assert_eq!(dest.find("link/a.py").unwrap(), None);
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        stage.publish(&staged, &dest, "link").unwrap();
        assert!(
            directory
                .path()
                .join("link")
                .symlink_metadata()
                .unwrap()
                .is_file()
        );
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let (directory, _dest, stage) = open(1);
        let mut writer = stage.create("", false, &Status::disabled()).unwrap();
        writer.write(b"half").unwrap();
        drop(writer);
        assert_eq!(
            std::fs::read_dir(directory.path().join(".s3sync/staging/1"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn a_zip_cannot_be_read_until_it_is_published() {
        use std::os::unix::fs::PermissionsExt;
        let (directory, dest, stage) = open(1);
        for (pieces, locked) in [
            (&[&b"xxPK\x05\x06rest"[..]][..], true),
            (&[b"xxP", b"K", b"\x05", b"\x06rest"], true),
            (&[b"xxPK\x05", b"\x06"], true),
            (&[b"PK\x05", b"x\x06"], false),
        ] {
            let staged = stage_bytes(&stage, pieces);
            let path = directory
                .path()
                .join(".s3sync/staging/1")
                .join(part(staged.number));
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode == 0, locked, "{pieces:?}");
            stage.publish(&staged, &dest, "a.zip").unwrap();
            let mode = directory
                .path()
                .join("a.zip")
                .metadata()
                .unwrap()
                .permissions()
                .mode();
            assert!(mode & 0o400 != 0);
        }
    }
}
