//! A file system in memory that stalls or refuses on demand, as one over a network may.
//!
//! It speaks the kernel's FUSE protocol itself, so it needs `/dev/fuse` and root, and no library. A
//! call that is stalled behaves as on a hard NFS mount: it waits, whatever the program does about it,
//! and only the end of the program ends it.

mod tree;
mod wire;

use std::ffi::CString;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use tree::Tree;
use wire::{Request, answer, opcode};

const LARGEST_WRITE: u32 = 128 << 10;

/// Calls that can be made to wait or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Every call.
    Any,
    /// Every call that changes something.
    Change,
    /// Making a file.
    Create,
    /// Writing to a file.
    Write,
    /// Renaming.
    Rename,
}

/// A mounted file system; it is unmounted when this is dropped.
#[derive(Debug)]
pub struct Fuse {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    device: File,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    tree: Tree,
    stalled: Option<Call>,
    refused: Option<(Call, Errno)>,
    waiting: Vec<Request>,
}

impl Fuse {
    /// Mounts an empty one on a directory that exists.
    ///
    /// # Panics
    /// When there is no `/dev/fuse`, or mounting is refused.
    pub fn mount(path: impl AsRef<Path>) -> Fuse {
        let path = path.as_ref().to_owned();
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.unwrap_or_else(|error| panic!("/dev/fuse cannot be opened: {error}"));
        let options = format!(
            "fd={},rootmode=40777,user_id=0,group_id=0,allow_other,default_permissions",
            device.as_raw_fd()
        );
        let options = CString::new(options).unwrap_or_default();
        let mounted = rustix::mount::mount(
            "testkit",
            &path,
            "fuse",
            MountFlags::empty(),
            Some(options.as_c_str()),
        );
        if let Err(error) = mounted {
            panic!(
                "FUSE cannot be mounted on {} (mounts need root): {error}",
                path.display()
            );
        }
        let inner = Inner {
            tree: Tree::new(),
            stalled: None,
            refused: None,
            waiting: Vec::new(),
        };
        let shared = Arc::new(Shared {
            device,
            inner: Mutex::new(inner),
        });
        let served = Arc::clone(&shared);
        // Not joined: it ends when the kernel has let go of the mount, which may be after the test.
        std::thread::spawn(move || served.serve());
        Fuse { path, shared }
    }

    /// From now on these calls wait.
    pub fn stall(&self, call: Call) {
        self.shared.lock().stalled = Some(call);
    }

    /// No call waits any more, those that do neither.
    pub fn go_on(&self) {
        let mut inner = self.shared.lock();
        inner.stalled = None;
        for request in std::mem::take(&mut inner.waiting) {
            self.shared.answer(&mut inner, &request);
        }
    }

    /// How many calls wait.
    pub fn waiting(&self) -> usize {
        self.shared.lock().waiting.len()
    }

    /// From now on these calls fail with this error.
    pub fn refuse(&self, call: Call, error: Errno) {
        self.shared.lock().refused = Some((call, error));
    }

    /// No call fails any more.
    pub fn allow(&self) {
        self.shared.lock().refused = None;
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.allow();
        self.go_on();
        // Detached: a process under test that still has a file open must not keep the mount.
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the file system is unmounted and nobody has a file of it open.
    fn serve(&self) {
        let mut buffer = vec![0; LARGEST_WRITE as usize + 4096];
        loop {
            match (&self.device).read(&mut buffer) {
                Ok(length) => {
                    if let Some(request) = Request::parse(&buffer[..length]) {
                        self.take(request);
                    }
                }
                // ENOENT: the request was interrupted before it was read.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Interrupted | ErrorKind::NotFound | ErrorKind::WouldBlock
                    ) => {}
                Err(_) => return,
            }
        }
    }

    fn take(&self, request: Request) {
        let mut inner = self.lock();
        match request.opcode {
            // Nobody waits for these.
            opcode::FORGET | opcode::BATCH_FORGET => {}
            opcode::INTERRUPT => {
                // The waiting program was killed: as NFS does, its call is given up.
                let unique = request.u64(0);
                let given_up = inner
                    .waiting
                    .iter()
                    .position(|waiting| waiting.unique == unique);
                if let Some(index) = given_up {
                    inner.waiting.remove(index);
                    self.send(&answer(unique, Errno::INTR.raw_os_error(), &[]));
                }
            }
            // A file that is closed is let go in the background.
            opcode::INIT | opcode::RELEASE | opcode::RELEASEDIR => {
                self.answer(&mut inner, &request)
            }
            _ if inner
                .stalled
                .is_some_and(|call| call.covers(request.opcode)) =>
            {
                inner.waiting.push(request)
            }
            _ => self.answer(&mut inner, &request),
        }
    }

    fn answer(&self, inner: &mut Inner, request: &Request) {
        let refused = inner
            .refused
            .filter(|(call, _)| call.covers(request.opcode));
        let done = match refused {
            Some((_, error)) => Err(error),
            None => inner.tree.handle(request),
        };
        self.send(&match done {
            Ok(body) => answer(request.unique, 0, &body.0),
            Err(error) => answer(request.unique, error.raw_os_error(), &[]),
        });
    }

    fn send(&self, bytes: &[u8]) {
        // Whoever asked may be gone; that is no concern of the file system.
        let _ = (&self.device).write(bytes);
    }
}

impl Call {
    fn covers(self, code: u32) -> bool {
        match self {
            Call::Any => true,
            Call::Create => code == opcode::CREATE,
            Call::Write => code == opcode::WRITE,
            Call::Rename => matches!(code, opcode::RENAME | opcode::RENAME2),
            Call::Change => matches!(
                code,
                opcode::SETATTR
                    | opcode::MKDIR
                    | opcode::UNLINK
                    | opcode::RMDIR
                    | opcode::RENAME
                    | opcode::RENAME2
                    | opcode::WRITE
                    | opcode::CREATE
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Program, Signal};
    use std::fs;
    use std::time::{Duration, SystemTime};

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn it_is_a_file_system() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mounted = Fuse::mount(root);
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/one"), vec![7; 300_000]).unwrap();
        fs::write(root.join("two"), "two").unwrap();
        assert_eq!(fs::read(root.join("a/b/one")).unwrap(), vec![7; 300_000]);
        fs::rename(root.join("two"), root.join("a/b/one")).unwrap();
        assert_eq!(fs::read(root.join("a/b/one")).unwrap(), b"two");
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        File::options()
            .write(true)
            .open(root.join("a/b/one"))
            .unwrap()
            .set_modified(time)
            .unwrap();
        assert_eq!(
            root.join("a/b/one").metadata().unwrap().modified().unwrap(),
            time
        );
        assert!(fs::remove_dir(root.join("a")).is_err());
        (0..500).for_each(|number| fs::write(root.join(format!("a/{number:03}")), "").unwrap());
        assert_eq!(fs::read_dir(root.join("a")).unwrap().count(), 501);
        fs::remove_dir_all(root.join("a")).unwrap();
        assert_eq!(fs::read_dir(root).unwrap().count(), 0);
        let lock = File::create(root.join("lock")).unwrap();
        lock.try_lock().unwrap();
        assert!(File::open(root.join("lock")).unwrap().try_lock().is_err());
        drop(mounted);
        assert!(!root.join("lock").exists());
    }

    #[test]
    fn a_call_that_is_refused_fails_and_the_others_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let mounted = Fuse::mount(directory.path());
        fs::write(&file, "kept").unwrap();
        mounted.refuse(Call::Change, Errno::ROFS);
        assert_eq!(
            fs::write(&file, "x").unwrap_err().kind(),
            ErrorKind::ReadOnlyFilesystem
        );
        assert_eq!(fs::read(&file).unwrap(), b"kept");
        mounted.allow();
        fs::write(&file, "x").unwrap();
    }

    #[test]
    fn a_call_that_waits_goes_on_later_or_ends_with_its_program() {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Fuse::mount(directory.path());
        // Within two directories: the kernel lets one rename at a time into each.
        let rename = |name| {
            let below = directory.path().join(name);
            fs::create_dir(&below).unwrap();
            fs::write(below.join("old"), "x").unwrap();
            Program::new("/bin/mv")
                .args(["old", "new"])
                .directory(below)
        };
        let (one, other) = (rename("one"), rename("other"));
        mounted.stall(Call::Rename);
        let (mut killed, mut patient) = (one.spawn(), other.spawn());
        crate::until(SOON, "two calls that wait", || mounted.waiting() == 2);
        killed.signal(Signal::KILL);
        assert_eq!(killed.exit_code(SOON), 137);
        assert_eq!(mounted.waiting(), 1);
        mounted.go_on();
        assert_eq!(patient.exit_code(SOON), 0);
        assert!(directory.path().join("other/new").exists());
        assert!(directory.path().join("one/old").exists());
    }
}
