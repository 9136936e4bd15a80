//! The files that a generation is made of, as the manifest has them.

use crate::key;
use crate::manifest::Manifest;
use crate::revision::Hash;
use std::collections::BTreeSet;

/// A file of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Below the generation.
    pub path: Box<str>,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime: i64,
    /// Of the file in the tree.
    pub inode: u64,
    /// SHA-256 of the bytes.
    pub sha256: Hash,
}

/// Everything that a generation holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Files, sorted by path as bytes.
    pub pieces: Vec<Piece>,
    /// Directories that keys ask for.
    pub directories: BTreeSet<Box<str>>,
}

impl Picture {
    /// What is managed now.
    pub fn of(manifest: &Manifest) -> Self {
        let pieces = manifest.files.iter().map(|(path, entry)| Piece {
            path: path.clone(),
            size: entry.size,
            mtime: entry.local.mtime,
            inode: entry.local.inode,
            sha256: entry.sha256,
        });
        Picture {
            pieces: pieces.collect(),
            directories: manifest.directories.clone(),
        }
    }

    /// Every directory, those above others first.
    pub fn all_directories(&self) -> BTreeSet<&str> {
        let above = self
            .pieces
            .iter()
            .flat_map(|piece| key::ancestors(&piece.path));
        let asked = self
            .directories
            .iter()
            .flat_map(|path| std::iter::once(&**path).chain(key::ancestors(path)));
        above.chain(asked).collect()
    }
}
