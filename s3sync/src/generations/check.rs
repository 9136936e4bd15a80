//! Whether a generation on disk is what its ID says.

use super::home::Home;
use super::picture::{Picture, Piece};
use crate::dest;
use crate::filter::Filter;
use crate::local;
use crate::revision::{Hash, Revision};
use agent::status::Status;
use sha2::{Digest, Sha256};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Each file is there, regular, and of its size: a scrub.
    Sizes,
    /// And it is the tree's file or has the same bytes, and nothing else is there: before a generation
    /// that was made earlier becomes the current one.
    Bytes,
}

/// What is wrong with a generation, in a few words that name the first file; `None` for nothing.
pub fn check(
    home: &Home,
    id: Revision,
    picture: &Picture,
    filter: &Filter,
    depth: Depth,
    status: &Status,
) -> io::Result<Option<String>> {
    let root = home.path_of(id);
    if !home.holds(id)? {
        return Ok(Some("it is not there".to_string()));
    }
    for piece in &picture.pieces {
        let _activity = status.activity("DEST", "stat");
        if let Some(why) = differs(&root, piece, depth)? {
            return Ok(Some(format!("{} {why}", piece.path)));
        }
    }
    for path in &picture.directories {
        if !std::fs::symlink_metadata(root.join(&**path)).is_ok_and(|data| data.is_dir()) {
            return Ok(Some(format!("{path}/ is not there")));
        }
    }
    if depth == Depth::Sizes {
        return Ok(None);
    }
    let (files, _) = local::walk(&root, filter, None, false)?;
    let extra = files.iter().find(|file| {
        let found = picture
            .pieces
            .binary_search_by(|piece| piece.path.cmp(&file.path));
        found.is_err()
    });
    Ok(extra.map(|file| format!("{} does not belong there", file.path)))
}

fn differs(root: &Path, piece: &Piece, depth: Depth) -> io::Result<Option<&'static str>> {
    let path = root.join(&*piece.path);
    let data = match std::fs::symlink_metadata(&path) {
        Ok(data) => data,
        Err(error) if dest::is_absent(&error) => return Ok(Some("is not there")),
        Err(error) => return Err(error),
    };
    if !data.is_file() {
        return Ok(Some("is no regular file"));
    }
    if data.len() != piece.size {
        return Ok(Some("has another size"));
    }
    if depth == Depth::Sizes || data.ino() == piece.inode {
        return Ok(None);
    }
    let mut digest = Sha256::new();
    dest::read_all(std::fs::File::open(&path)?, |bytes| digest.update(bytes))?;
    let same = Hash::from(digest.finalize()) == piece.sha256;
    Ok((!same).then_some("has other bytes"))
}
