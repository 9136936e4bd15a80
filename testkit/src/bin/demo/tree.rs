//! A directory as a reader sees it, and how it differs from what S3 holds.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;

use bytes::Bytes;

/// Paths below a root, with `/`, and their bytes.
pub(crate) type Tree = BTreeMap<String, Bytes>;

/// Reads every file below `root`, but for the state directory and Python's caches, which are not
/// part of what is synced. A file that goes while this runs is not there.
pub(crate) fn read(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::new();
    read_below(root, "", &mut tree)?;
    Ok(tree)
}

fn read_below(directory: &Path, prefix: &str, tree: &mut Tree) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == ".s3sync" || name == "__pycache__" {
            continue;
        }
        let outcome = if entry.file_type()?.is_dir() {
            read_below(&entry.path(), &format!("{prefix}{name}/"), tree)
        } else {
            std::fs::read(entry.path()).map(|bytes| {
                tree.insert(format!("{prefix}{name}"), Bytes::from(bytes));
            })
        };
        match outcome {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What is not as wanted, in one line; `None` when both are equal byte for byte.
pub(crate) fn difference(wanted: &Tree, found: &Tree) -> Option<String> {
    let missing = wanted
        .keys()
        .filter(|path| !found.contains_key(*path))
        .map(|path| format!("{path} is missing"));
    let surplus = found
        .keys()
        .filter(|path| !wanted.contains_key(*path))
        .map(|path| format!("{path} is there and should not be"));
    let other = wanted.iter().filter_map(|(path, bytes)| {
        let seen = found.get(path)?;
        (seen != bytes).then(|| {
            format!(
                "{path} holds other bytes ({} of {})",
                seen.len(),
                bytes.len()
            )
        })
    });
    let all: Vec<String> = missing.chain(surplus).chain(other).collect();
    match all.len() {
        0 => None,
        1 => all.into_iter().next(),
        count => Some(format!("{}, and {} more differences", all[0], count - 1)),
    }
}

/// All bytes of a tree.
pub(crate) fn size(tree: &Tree) -> usize {
    tree.values().map(Bytes::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &'static str)]) -> Tree {
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Bytes::from_static(text.as_bytes())))
            .collect()
    }

    #[test]
    fn each_kind_of_difference_is_named_and_equal_trees_have_none() {
        let wanted = tree(&[("a.py", "1"), ("b.py", "2")]);
        let cases = [
            (tree(&[("a.py", "1"), ("b.py", "2")]), None),
            (tree(&[("a.py", "1")]), Some("b.py is missing")),
            (
                tree(&[("a.py", "1"), ("b.py", "3")]),
                Some("b.py holds other bytes (1 of 1)"),
            ),
            (
                tree(&[("a.py", "1"), ("b.py", "2"), ("c.py", "")]),
                Some("c.py is there and should not be"),
            ),
            (
                tree(&[("c.py", "")]),
                Some("a.py is missing, and 2 more differences"),
            ),
        ];
        for (found, said) in cases {
            assert_eq!(difference(&wanted, &found).as_deref(), said);
        }
    }

    #[test]
    fn reading_leaves_out_the_state_directory_and_caches() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "sql/a.sql",
            ".s3sync/manifest",
            "common/__pycache__/a.pyc",
            "b.py",
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        assert_eq!(
            read(root.path()).unwrap(),
            tree(&[("b.py", "x"), ("sql/a.sql", "x")])
        );
    }
}
