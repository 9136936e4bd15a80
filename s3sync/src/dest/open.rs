//! Opening DEST, in the layout that was asked for or that it has.

use super::{Dest, DestError, Modes, STATE, TREE};
use crate::generations::{Home, layout};
use crate::settings::Layout;
use crate::state::StateDir;
use rustix::fs::{Access, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Hides everything beside it: `[^~]*` covers every name as a regular expression (Airflow 2) and as
/// a glob (Airflow 3).
const AIRFLOWIGNORE: &str = "[^~]*\n";

impl Dest {
    /// Opens DEST for writing, in place; makes it and the state directory where they are not.
    pub fn open(path: &Path, state: Option<&Path>, modes: Modes) -> Result<Self, DestError> {
        Dest::open_as(Layout::InPlace, path, state, modes)
    }

    /// Opens DEST for writing; makes what it needs where it is not, and refuses one of another layout.
    pub fn open_as(
        layout: Layout,
        path: &Path,
        state: Option<&Path>,
        modes: Modes,
    ) -> Result<Self, DestError> {
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
        layout::check(path, &state_path, layout).map_err(|error| fail("use", error))?;
        let shown = state_path.display().to_string();
        let fail = |doing, error: io::Error| DestError::new(doing, shown.clone(), error);
        refuse_link(&state_path).map_err(|error| fail("use", error))?;
        make_all(&state_path, modes).map_err(|error| fail("make", error))?;
        let dest = match layout {
            Layout::InPlace => Dest::assemble(path, &state_path, root, modes)?,
            Layout::Generations => {
                let tree = state_path.join(TREE);
                refuse_link(&tree).map_err(|error| fail("use", error))?;
                make_all(&tree, modes).map_err(|error| fail("make", error))?;
                Dest::assemble_generations(path, &tree, &state_path, root, modes)?
            }
        };
        dest.write_airflowignore()
            .map_err(|error| fail("write .airflowignore in", error))?;
        Ok(dest)
    }

    /// Opens DEST and its state for reading only, in the layout that it has; `None` where there is no
    /// DEST yet.
    pub fn look(path: &Path, state: Option<&Path>) -> Result<Option<Self>, DestError> {
        let shown = path.display().to_string();
        let root = match open_directory(path) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DestError::new("open", shown, error)),
        };
        let state_path = state.map_or_else(|| path.join(STATE), Path::to_path_buf);
        let has_state = state_path.is_dir();
        let modes = Modes {
            file: 0o664,
            directory: 0o775,
        };
        let tree = state_path.join(TREE);
        let dest = if !has_state {
            Dest::assemble(path, path, root, modes)?
        } else if layout::of(path, &state_path) == Some(Layout::Generations) && tree.is_dir() {
            Dest::assemble_generations(path, &tree, &state_path, root, modes)?
        } else {
            Dest::assemble(path, &state_path, root, modes)?
        };
        Ok(Some(Dest { has_state, ..dest }))
    }

    fn assemble_generations(
        path: &Path,
        tree: &Path,
        state_path: &Path,
        home: OwnedFd,
        modes: Modes,
    ) -> Result<Self, DestError> {
        let fail = |error: io::Error| DestError::new("open", tree.display().to_string(), error);
        let root = open_directory(tree).map_err(fail)?;
        let home = Home::of(path, home, modes).map_err(fail)?;
        let dest = Dest::assemble(tree, state_path, root, modes)?;
        if home.device() != dest.identity.0 {
            return Err(fail(io::Error::other(
                "it is on another file system than DEST, where a link cannot reach; give a --state-dir beside DEST",
            )));
        }
        Ok(Dest {
            path: path.to_path_buf(),
            home: Some(home),
            ..dest
        })
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
            tree: path.to_path_buf(),
            home: None,
            identity: (root_stat.st_dev, root_stat.st_ino),
            root: Arc::new(root),
            state: Arc::new(state),
            state_below: below.or_else(|| Some(STATE.to_string())),
            has_state: true,
            modes,
            handles: Mutex::default(),
        })
    }

    fn write_airflowignore(&self) -> io::Result<()> {
        const NAME: &str = ".airflowignore";
        if self.state.read(NAME)?.as_deref() == Some(AIRFLOWIGNORE) {
            return Ok(());
        }
        self.state.create(NAME)?.write_all(AIRFLOWIGNORE.as_bytes())
    }
}

fn refuse_link(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(data) if data.file_type().is_symlink() => Err(it_is_a_link()),
        Ok(data) if !data.is_dir() => Err(io::Error::other("it is no directory")),
        _ => Ok(()),
    }
}

pub(super) fn it_is_a_link() -> io::Error {
    io::Error::other("it is a symbolic link; name the directory that it leads to")
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
