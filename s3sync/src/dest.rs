//! DEST: every touch of the directory that readers see.
//!
//! Each path is walked part by part from an open handle, and no part may be a symbolic link, so no
//! key and no change below DEST leads outside. It needs only what NFS 4.1 has.

use crate::key;
use crate::state::StateDir;
use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The state directory's name below DEST.
pub const STATE: &str = ".s3sync";
/// Hides everything beside it: `[^~]*` covers every name as a regular expression (Airflow 2) and as
/// a glob (Airflow 3).
const AIRFLOWIGNORE: &str = "[^~]*\n";
/// Handles kept at once; a tree may have more directories than a process may have descriptors.
const MOST_HANDLES: usize = 256;

/// What went wrong below DEST, for the person on call.
#[derive(Debug)]
pub struct DestError {
    doing: &'static str,
    path: String,
    /// The system's error.
    pub error: io::Error,
}

impl DestError {
    /// `doing` to `path` failed with `error`.
    pub fn new(doing: &'static str, path: impl Into<String>, error: impl Into<io::Error>) -> Self {
        DestError {
            doing,
            path: path.into(),
            error: error.into(),
        }
    }

    /// Whether the file system has no room: waiting or a person may help, another file will not.
    pub fn is_full(&self) -> bool {
        matches!(
            self.error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

impl fmt::Display for DestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DestError { doing, path, error } = self;
        write!(formatter, "cannot {doing} {path}: {}", cause(error))
    }
}

impl std::error::Error for DestError {}

/// A system error, and what to do about it.
pub fn cause(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some room or raise the quota"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount it writable for this container (readOnly: false)"
        }
        io::ErrorKind::PermissionDenied => {
            "let this user write there (EFS access point, owner, mode)"
        }
        io::ErrorKind::StaleNetworkFileHandle => "the file system was replaced: start again",
        _ => return error.to_string(),
    };
    format!("{error}; {advice}")
}

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
    root: Arc<OwnedFd>,
    identity: (u64, u64),
    state: Arc<StateDir>,
    state_below: Option<String>,
    has_state: bool,
    modes: Modes,
    handles: Mutex<HashMap<Box<str>, Arc<OwnedFd>>>,
}

impl Dest {
    /// Opens DEST for writing; makes it and the state directory where they are not.
    pub fn open(path: &Path, state: Option<&Path>, modes: Modes) -> Result<Self, DestError> {
        let shown = path.display().to_string();
        let fail = |doing, error: io::Error| DestError::new(doing, shown.clone(), error);
        refuse_link(path).map_err(|error| fail("use", error))?;
        make_all(path, modes).map_err(|error| fail("make", error))?;
        let root = open_directory(path).map_err(|error| fail("open", error))?;
        rustix::fs::accessat(
            &root,
            ".",
            Access::WRITE_OK | Access::EXEC_OK,
            AtFlags::EACCESS,
        )
        .or_else(ignore_unknown_flag)
        .map_err(|error| fail("write to", error.into()))?;
        let state_path = state.map_or_else(|| path.join(STATE), Path::to_path_buf);
        let shown = state_path.display().to_string();
        let fail = |doing, error: io::Error| DestError::new(doing, shown.clone(), error);
        refuse_link(&state_path).map_err(|error| fail("use", error))?;
        make_all(&state_path, modes).map_err(|error| fail("make", error))?;
        let dest = Dest::assemble(path, &state_path, root, modes)?;
        dest.write_airflowignore()
            .map_err(|error| fail("write .airflowignore in", error))?;
        Ok(dest)
    }

    /// Opens DEST and its state for reading only; `None` where there is no DEST yet.
    pub fn look(path: &Path, state: Option<&Path>) -> Result<Option<Self>, DestError> {
        let shown = path.display().to_string();
        let root = match open_directory(path) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DestError::new("open", shown, error)),
        };
        let state_path = state.map_or_else(|| path.join(STATE), Path::to_path_buf);
        let has_state = state_path.is_dir();
        let handle_path = if has_state {
            state_path
        } else {
            path.to_path_buf()
        };
        let modes = Modes {
            file: 0o664,
            directory: 0o775,
        };
        let dest = Dest::assemble(path, &handle_path, root, modes)?;
        Ok(Some(Dest { has_state, ..dest }))
    }

    fn assemble(
        path: &Path,
        state_path: &Path,
        root: OwnedFd,
        modes: Modes,
    ) -> Result<Self, DestError> {
        let shown = state_path.display().to_string();
        let fail = |error: io::Error| DestError::new("open", shown.clone(), error);
        let state = StateDir::at(state_path).map_err(fail)?;
        let root_stat = rustix::fs::fstat(&root).map_err(|error| fail(error.into()))?;
        let state_stat = rustix::fs::fstat(state.handle()).map_err(|error| fail(error.into()))?;
        if root_stat.st_dev != state_stat.st_dev {
            let why = "it is on another file system than DEST, where a rename cannot reach; give a --state-dir beside DEST";
            return Err(DestError::new("use", shown, io::Error::other(why)));
        }
        let below = below(path, state_path).filter(|below| !below.is_empty());
        Ok(Dest {
            path: path.to_path_buf(),
            identity: (root_stat.st_dev, root_stat.st_ino),
            root: Arc::new(root),
            state: Arc::new(state),
            state_below: below.or_else(|| Some(STATE.to_string())),
            has_state: true,
            modes,
            handles: Mutex::default(),
        })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
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

    /// Whether the path still leads to the directory that was opened: not to a link, not to another.
    pub fn check_in_place(&self) -> Result<(), DestError> {
        let fail = |error: io::Error| DestError::new("use", self.path.display().to_string(), error);
        refuse_link(&self.path).map_err(fail)?;
        let stat = rustix::fs::lstat(&self.path).map_err(|error| fail(error.into()))?;
        if (stat.st_dev, stat.st_ino) != self.identity {
            return Err(fail(io::Error::other(
                "another directory stands in its place",
            )));
        }
        Ok(())
    }

    /// What is at `path`; `None` for nothing, or where a directory above it is none.
    pub fn find(&self, path: &str) -> io::Result<Option<Found>> {
        let (directory, leaf) = match self.parent_of(path, false) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match rustix::fs::statat(&directory, leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found::of(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
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

    fn write_airflowignore(&self) -> io::Result<()> {
        const NAME: &str = ".airflowignore";
        if self.state.read(NAME)?.as_deref() == Some(AIRFLOWIGNORE) {
            return Ok(());
        }
        self.state.create(NAME)?.write_all(AIRFLOWIGNORE.as_bytes())
    }
}

/// Whether an error says that a path is not there, a part of it being absent, a file, or a link.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    ) || is_link(error)
}

/// Whether something stands in the way of a path: a file or link above it, a directory at it.
pub fn is_obstruction(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::DirectoryNotEmpty
    ) || is_link(error)
}

fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
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

fn refuse_link(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(data) if data.file_type().is_symlink() => Err(io::Error::other(
            "it is a symbolic link; name the directory that it leads to",
        )),
        Ok(data) if !data.is_dir() => Err(io::Error::other("it is no directory")),
        _ => Ok(()),
    }
}

fn make_all(path: &Path, modes: Modes) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(modes.directory)
        .create(path)
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Kernels before 5.8 and some emulations know no flags here; a first write will tell instead.
fn ignore_unknown_flag(error: Errno) -> Result<(), Errno> {
    match error {
        Errno::INVAL | Errno::NOSYS => Ok(()),
        error => Err(error),
    }
}

fn below(directory: &Path, path: &Path) -> Option<String> {
    let (directory, path) = (directory.canonicalize().ok()?, path.canonicalize().ok()?);
    path.strip_prefix(directory)
        .ok()?
        .to_str()
        .map(ToString::to_string)
}
