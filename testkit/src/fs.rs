//! File systems that are small or read-only, and pictures of a tree.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::mount::{MountFlags, UnmountFlags};

/// A mount that ends when this is dropped. Mounts need root.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
}

impl Mount {
    /// A tmpfs of so many bytes (whole pages) on a directory that exists.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn tmpfs(path: impl AsRef<Path>, bytes: u64) -> Mount {
        Mount::tmpfs_with(path, &format!("size={bytes}"))
    }

    /// A tmpfs with options of its own, as mount(8) takes them: `size=1m,nr_inodes=20`.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn tmpfs_with(path: impl AsRef<Path>, options: &str) -> Mount {
        let path = path.as_ref();
        let options = CString::new(options).unwrap_or_default();
        let mounted = rustix::mount::mount(
            "tmpfs",
            path,
            "tmpfs",
            MountFlags::empty(),
            Some(options.as_c_str()),
        );
        Mount::checked("a tmpfs", path, mounted)
    }

    /// A directory that exists, read-only from now on until the drop.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn read_only(path: impl AsRef<Path>) -> Mount {
        let path = path.as_ref();
        let mount = Mount::checked("a bind mount", path, rustix::mount::mount_bind(path, path));
        mount.set_read_only(true);
        mount
    }

    /// Makes it read-only, or writable again.
    ///
    /// # Panics
    /// When that is refused, for example because a file is open for writing.
    pub fn set_read_only(&self, read_only: bool) {
        let flag = if read_only {
            MountFlags::RDONLY
        } else {
            MountFlags::empty()
        };
        if let Err(error) = rustix::mount::mount_remount(&self.path, MountFlags::BIND | flag, "") {
            panic!(
                "{} cannot be mounted again with {flag:?}: {error}",
                self.path.display()
            );
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn checked(what: &str, path: &Path, result: rustix::io::Result<()>) -> Mount {
        match result {
            Ok(()) => Mount {
                path: path.to_owned(),
            },
            Err(error) => panic!(
                "{what} cannot be mounted on {} (mounts need root): {error}",
                path.display()
            ),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Detached: a process under test that still has a file open must not keep the mount.
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
    }
}

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file and its bytes.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link and where it points.
    Link(PathBuf),
    /// Anything else.
    Other,
}

/// A path in a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// When it was last changed.
    pub modified: SystemTime,
    /// Its inode: another one means that the file was replaced.
    pub inode: u64,
    /// Its permission bits.
    pub mode: u32,
}

/// Everything below a directory at one time, by relative path; links are not followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture(pub BTreeMap<String, Entry>);

impl Picture {
    /// Takes it. What vanishes while it is taken is left out.
    ///
    /// # Panics
    /// When something cannot be read for another reason than that it is gone.
    pub fn of(root: impl AsRef<Path>) -> Picture {
        let mut picture = Picture::default();
        picture.add(root.as_ref(), "");
        picture
    }

    /// Without what lies at or below this relative path.
    pub fn without(mut self, path: &str) -> Picture {
        let below = format!("{path}/");
        self.0
            .retain(|known, _| known != path && !known.starts_with(&below));
        self
    }

    /// The files and their bytes.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let files = self.0.iter().filter_map(|(path, entry)| match &entry.kind {
            Kind::File(data) => Some((path.clone(), data.clone())),
            _ => None,
        });
        files.collect()
    }

    fn add(&mut self, directory: &Path, prefix: &str) {
        let Some(entries) = present(directory, std::fs::read_dir(directory)) else {
            return;
        };
        for entry in entries {
            let Some(entry) = present(directory, entry) else {
                return;
            };
            let path = entry.path();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let Some(metadata) = present(&path, std::fs::symlink_metadata(&path)) else {
                continue;
            };
            let kind = if metadata.is_dir() {
                Kind::Directory
            } else if metadata.is_symlink() {
                Kind::Link(std::fs::read_link(&path).unwrap_or_default())
            } else if metadata.is_file() {
                let Some(data) = present(&path, std::fs::read(&path)) else {
                    continue;
                };
                Kind::File(data)
            } else {
                Kind::Other
            };
            if kind == Kind::Directory {
                self.add(&path, &format!("{name}/"));
            }
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let (inode, mode) = (metadata.ino(), metadata.mode() & 0o7777);
            self.0.insert(
                name,
                Entry {
                    kind,
                    modified,
                    inode,
                    mode,
                },
            );
        }
    }
}

fn present<T>(path: &Path, result: std::io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{} cannot be read: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn a_small_tmpfs_is_soon_full_and_gone_after_the_drop() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let mount = Mount::tmpfs(directory.path(), 64 << 10);
        std::fs::write(&file, vec![1; 32 << 10]).unwrap();
        let error = std::fs::write(&file, vec![1; 128 << 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        drop(mount);
        assert!(!file.exists());
    }

    #[test]
    fn a_read_only_mount_refuses_writes_until_it_is_let_go() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let mount = Mount::read_only(directory.path());
        assert_eq!(
            std::fs::write(&file, "x").unwrap_err().kind(),
            ErrorKind::ReadOnlyFilesystem
        );
        mount.set_read_only(false);
        std::fs::write(&file, "x").unwrap();
        mount.set_read_only(true);
        assert!(std::fs::write(&file, "y").is_err());
        drop(mount);
        std::fs::write(&file, "z").unwrap();
    }

    #[test]
    fn a_picture_shows_bytes_links_and_replaced_files() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("a/.state")).unwrap();
        std::fs::write(root.join("a/file"), "one").unwrap();
        std::os::unix::fs::symlink("file", root.join("a/link")).unwrap();
        let before = Picture::of(root);
        assert_eq!(
            before.files(),
            BTreeMap::from([("a/file".to_owned(), b"one".to_vec())])
        );
        assert_eq!(before.0["a/link"].kind, Kind::Link(PathBuf::from("file")));
        std::fs::write(root.join("new"), "one").unwrap();
        std::fs::rename(root.join("new"), root.join("a/file")).unwrap();
        let after = Picture::of(root);
        assert_ne!(before.0["a/file"].inode, after.0["a/file"].inode);
        assert!(!after.without("a").0.contains_key("a/link"));
    }
}
