//! Staging: where bytes wait until they are whole, and where deleted files go to die.
//!
//! Each reign has a staging directory of its own, named by its epoch. Publishing renames out of it
//! and deleting renames into it, so when a new writer removes the directory of a writer that was
//! frozen, nothing that one does on waking can reach DEST any more.

use crate::dest::{self, Dest};
use crate::revision::Hash;
use agent::status::Status;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

mod trees;
mod writer;

pub(crate) use trees::Tree;
pub use writer::StageWriter;

const STAGING: &str = "staging";

/// The staging directory of one reign.
#[derive(Debug)]
pub struct Stage {
    above: OwnedFd,
    name: String,
    handle: OwnedFd,
    file_mode: u32,
    /// Whether bytes must reach the disk before a file counts as whole: generations promise it.
    durable: bool,
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
        let others = names(&above)?;
        let handle = make(&above, &name)?;
        let stage = Stage {
            above,
            name,
            handle,
            file_mode: dest.modes().file,
            durable: dest.home().is_some(),
            next: AtomicU64::new(0),
        };
        for other in others {
            if other == stage.name {
                stage.sweep()?;
            } else {
                trees::adopt(&stage.above, &other, &stage)?;
                remove_tree(&stage.above, &other)?;
            }
        }
        Ok(stage)
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
        let etag = hash_md5.then_some(etag);
        Ok(StageWriter::new(self, number, file, etag, status))
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
        if dest.home().is_some() {
            return Ok(0);
        }
        let stat = rustix::fs::statat(&directory, leaf, AtFlags::SYMLINK_NOFOLLOW);
        Ok(stat.map_or(0, |stat| dest.known_ctime(&stat)))
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

    /// Removes every staged file. Trees stay, for whoever removes them beside the passes.
    pub fn sweep(&self) -> io::Result<()> {
        names(&self.handle)?
            .iter()
            .filter(|name| !trees::is_tree(name))
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

fn part(number: u64) -> String {
    format!("{number}.part")
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
    use crate::source::Sink;

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
