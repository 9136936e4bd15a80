//! Walking a local tree: what lies there, whoever put it there.

use crate::dest::Dest;
use crate::filter::Filter;
use crate::key;
use crate::manifest::Manifest;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use walkdir::{DirEntry, WalkDir};

/// A file of a walk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Walked {
    /// Below the directory that was walked.
    pub path: Box<str>,
    /// Whether it is a regular file, and not a link or something else.
    pub regular: bool,
}

/// Every file below `directory` that the filter admits, sorted by path as bytes, and the names that
/// are no UTF-8 or could not be read, in a readable form. `state` is left out. Links are followed
/// only when `follow` is set: a digest reads what an upload would read.
pub fn walk(
    directory: &Path,
    filter: &Filter,
    state: Option<&str>,
    follow: bool,
) -> io::Result<(Vec<Walked>, Vec<String>)> {
    let below = |entry: &DirEntry| -> Option<String> {
        entry
            .path()
            .strip_prefix(directory)
            .ok()?
            .to_str()
            .map(ToString::to_string)
    };
    let mut odd = Vec::new();
    let mut files = Vec::new();
    let walker = WalkDir::new(directory)
        .follow_links(follow)
        .into_iter()
        .filter_entry(|entry| {
            let Some(path) = below(entry) else {
                return true;
            };
            if path.is_empty() || !entry.file_type().is_dir() {
                return true;
            }
            !state.is_some_and(|state| key::is_at_or_below(&path, state))
                && admits_directory(filter, &path)
        });
    for entry in walker {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => return Err(error.into()),
            // A file that vanished while the tree was walked is no concern; what cannot be read is.
            Err(error) => {
                let absent = error
                    .io_error()
                    .is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
                if !absent {
                    odd.push(error.to_string());
                }
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        match below(&entry) {
            Some(path) if filter.admits(&path, false) => {
                files.push(Walked {
                    path: path.into(),
                    regular: entry.file_type().is_file(),
                });
            }
            Some(_) => {}
            None => odd.push(entry.path().to_string_lossy().into_owned()),
        }
    }
    files.sort();
    Ok((files, odd))
}

/// An include pattern may match only deeper down, so it never prunes; an exclude does.
fn admits_directory(filter: &Filter, path: &str) -> bool {
    !filter.excludes(path, true)
}

/// Files below DEST that the manifest does not know and no pattern excludes.
pub fn unmanaged(
    dest: &Dest,
    filter: &Filter,
    manifest: &Manifest,
) -> io::Result<BTreeSet<Box<str>>> {
    let (files, _) = walk(dest.tree(), filter, dest.state_below(), false)?;
    let unknown = files
        .into_iter()
        .filter(|file| !manifest.files.contains_key(&file.path));
    Ok(unknown.map(|file| file.path).collect())
}
