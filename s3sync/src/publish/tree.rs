//! The local tree that is to become a release: which files, and what they hash to.

use crate::dest;
use crate::filter::Filter;
use crate::local;
use crate::release::File;
use crate::report::printable;
use crate::revision::Hash;
use crate::settings::Patterns;
use sha2::{Digest, Sha256};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Patterns in the root of the tree, as in .gitignore, of what no release takes.
pub(super) const IGNORE: &str = ".s3syncignore";
/// How many files a refusal names.
const NAMED: usize = 5;

/// A file of the tree.
#[derive(Clone, Debug)]
pub(super) struct Local {
    /// What the manifest says of it.
    pub(super) file: File,
    /// How it looked when it was hashed.
    pub(super) identity: Identity,
}

/// What changes when a file's bytes do: device, inode, size, mtime and ctime in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64, u64, u64, i128, i128);

/// The patterns of the options, and those in `IGNORE`, which is itself left out.
///
/// # Errors
/// The pattern that says nothing, or why the file cannot be read.
pub fn filter(directory: &Path, patterns: &Patterns) -> Result<Filter, String> {
    let mut exclude = vec![format!("/{IGNORE}")];
    let path = directory.join(IGNORE);
    match std::fs::read_to_string(&path) {
        Ok(text) => exclude.extend(lines(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    }
    exclude.extend(patterns.exclude.iter().cloned());
    Filter::new(&patterns.include, &exclude)
}

/// The patterns in a text: one a line, but for blank lines and comments.
fn lines(text: &str) -> impl Iterator<Item = String> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(str::to_string)
}

/// Reads the tree, sorted by path as bytes.
///
/// # Errors
/// One line that names what cannot be part of a release.
pub(super) fn read(directory: &Path, filter: &Filter) -> Result<Vec<Local>, String> {
    let (walked, odd) = local::walk(directory, filter, Some(dest::STATE), false)
        .map_err(|error| format!("{} cannot be read: {error}", directory.display()))?;
    let mut refused: Vec<String> = odd
        .iter()
        .map(|name| {
            format!(
                "{} (its name is no UTF-8, or it cannot be read)",
                printable(name)
            )
        })
        .collect();
    let mut files = Vec::with_capacity(walked.len());
    for entry in &walked {
        let path = printable(&entry.path);
        if !entry.regular {
            refused.push(format!("{path} (a link or no regular file)"));
            continue;
        }
        match hash(&directory.join(&*entry.path)) {
            Ok((sha256, identity)) => files.push(Local {
                file: File {
                    path: entry.path.clone(),
                    sha256,
                    size: identity.2,
                },
                identity,
            }),
            Err(why) => refused.push(format!("{path} ({why})")),
        }
    }
    match refused.len() {
        0 => Ok(files),
        count => {
            let more = match count.saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            refused.truncate(NAMED);
            Err(format!(
                "no release takes {}{more}: put them right or --exclude them",
                refused.join(", ")
            ))
        }
    }
}

/// Opens a regular file, and nothing that took its place.
pub(super) fn open(path: &Path) -> Result<(std::fs::File, Identity), String> {
    use rustix::fs::OFlags;
    // A FIFO in its place would be waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags as i32)
        .open(path)
        .map_err(|error| error.to_string())?;
    let data = file.metadata().map_err(|error| error.to_string())?;
    match data.is_file() {
        true => Ok((file, identity(&data))),
        false => Err("no regular file".to_string()),
    }
}

/// How the file looks now.
pub(super) fn look(path: &Path) -> Option<Identity> {
    std::fs::symlink_metadata(path).ok().as_ref().map(identity)
}

fn identity(data: &std::fs::Metadata) -> Identity {
    let nanoseconds =
        |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Identity(
        data.dev(),
        data.ino(),
        data.size(),
        nanoseconds(data.mtime(), data.mtime_nsec()),
        nanoseconds(data.ctime(), data.ctime_nsec()),
    )
}

fn hash(path: &Path) -> Result<(Hash, Identity), String> {
    let (file, before) = open(path)?;
    let mut digest = Sha256::new();
    let total =
        dest::read_all(file, |bytes| digest.update(bytes)).map_err(|error| error.to_string())?;
    if total != before.2 || look(path) != Some(before) {
        return Err(CHANGED.to_string());
    }
    Ok((digest.finalize().into(), before))
}

/// Why a file is refused that is being written.
pub(super) const CHANGED: &str =
    "it changed while it was read: publish again when nobody writes it";

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(exclude: &[&str]) -> Patterns {
        Patterns {
            include: Vec::new(),
            exclude: exclude.iter().map(ToString::to_string).collect(),
        }
    }

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        directory
    }

    fn paths(directory: &Path, exclude: &[&str]) -> Vec<String> {
        let filter = filter(directory, &patterns(exclude)).unwrap();
        let files = read(directory, &filter).unwrap();
        files
            .iter()
            .map(|local| local.file.path.to_string())
            .collect()
    }

    #[test]
    fn what_airflow_ignores_is_published_and_what_s3sync_ignores_is_not() {
        let directory = tree(&[
            (".airflowignore", "helpers/\n"),
            (
                ".s3syncignore",
                "# tests stay here\n\n*.md\n!README.md\ntests/\n",
            ),
            (".gitignore", "built.json\n"),
            ("a.py", ""),
            ("built.json", ""),
            ("helpers/b.py", ""),
            ("README.md", ""),
            ("notes.md", ""),
            ("tests/test_a.py", ""),
            ("x.pyc", ""),
            (".s3sync/lock", ""),
        ]);
        assert_eq!(
            paths(directory.path(), &["README.md"]),
            [
                ".airflowignore",
                ".gitignore",
                "a.py",
                "built.json",
                "helpers/b.py"
            ]
        );
    }

    #[test]
    fn what_is_no_regular_file_is_named_unless_it_is_excluded() {
        let directory = tree(&[("a.py", "")]);
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link.py")).unwrap();
        let filter = filter(directory.path(), &patterns(&[])).unwrap();
        let refused = read(directory.path(), &filter).unwrap_err();
        assert!(refused.contains("link.py"), "{refused}");
        assert_eq!(paths(directory.path(), &["link.py"]), ["a.py"]);
    }

    #[test]
    fn a_file_that_changes_after_it_was_hashed_looks_other_than_it_did() {
        let directory = tree(&[("a.py", "one")]);
        let path = directory.path().join("a.py");
        let (_, before) = hash(&path).unwrap();
        std::fs::write(&path, "two").unwrap();
        assert_ne!(look(&path), Some(before));
    }
}
