//! What a release changes against another: pure.

use crate::release::File;
use crate::report::printable;
use serde::Serialize;
use std::fmt::Write as _;

/// The paths that differ between two releases, each list sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Diff {
    /// In the new one only.
    pub(super) added: Vec<String>,
    /// In both, with other bytes.
    pub(super) updated: Vec<String>,
    /// In the old one only.
    pub(super) deleted: Vec<String>,
    /// In both, with the same bytes.
    pub(super) unchanged: u64,
}

/// Compares files that are sorted by path.
pub(super) fn between(old: &[File], new: &[File]) -> Diff {
    let mut diff = Diff::default();
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = match (old.peek(), new.peek()) {
            (None, None) => return diff,
            (Some(_), None) => Less,
            (None, Some(_)) => Greater,
            (Some(old), Some(new)) => old.path.cmp(&new.path),
        };
        let gone = if order == Greater { None } else { old.next() };
        let come = if order == Less { None } else { new.next() };
        match (gone, come) {
            (Some(gone), None) => diff.deleted.push(gone.path.to_string()),
            (None, Some(come)) => diff.added.push(come.path.to_string()),
            (Some(gone), Some(come)) if order == Equal && gone.sha256 == come.sha256 => {
                diff.unchanged += 1;
            }
            (_, Some(come)) => diff.updated.push(come.path.to_string()),
            (None, None) => {}
        }
    }
}

impl Diff {
    /// A line for each path.
    pub(super) fn lines(&self) -> String {
        let signed = |sign, paths: &[String]| -> Vec<(String, char)> {
            paths.iter().map(|path| (path.clone(), sign)).collect()
        };
        let mut all = [
            signed('+', &self.added),
            signed('~', &self.updated),
            signed('-', &self.deleted),
        ]
        .concat();
        all.sort();
        all.iter().fold(String::new(), |mut text, (path, sign)| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{sign} {}", printable(path));
            text
        })
    }

    /// The counts, in one line.
    pub(super) fn counts(&self) -> String {
        format!(
            "{} added, {} updated, {} deleted, {} unchanged",
            self.added.len(),
            self.updated.len(),
            self.deleted.len(),
            self.unchanged
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn files(tree: &BTreeMap<String, u8>) -> Vec<File> {
        let file = |(path, byte): (&String, &u8)| File {
            path: path.as_str().into(),
            sha256: [*byte; 32],
            size: 1,
        };
        tree.iter().map(file).collect()
    }

    proptest! {
        #[test]
        fn applied_to_the_old_tree_it_gives_the_new_one(
            old in prop::collection::btree_map("[a-c]{1,2}", 0u8..2, 0..8),
            new in prop::collection::btree_map("[a-c]{1,2}", 0u8..2, 0..8),
        ) {
            let diff = between(&files(&old), &files(&new));
            let mut tree = old.clone();
            for path in &diff.deleted {
                prop_assert!(tree.remove(path).is_some());
            }
            for path in &diff.added {
                prop_assert!(tree.insert(path.clone(), new[path]).is_none());
            }
            for path in &diff.updated {
                prop_assert!(tree.insert(path.clone(), new[path]).is_some_and(|byte| byte != new[path]));
            }
            prop_assert_eq!(&tree, &new);
            prop_assert_eq!(diff.unchanged as usize + diff.added.len() + diff.updated.len(), new.len());
        }
    }

    #[test]
    fn a_rename_is_a_file_gone_and_a_file_come() {
        let tree = |path: &str| files(&BTreeMap::from([(path.to_string(), 1)]));
        let diff = between(&tree("a\u{1b}.py"), &tree("b.py"));
        assert_eq!(diff.lines(), "- a\\u{1b}.py\n+ b.py\n");
        assert_eq!(diff.counts(), "1 added, 0 updated, 1 deleted, 0 unchanged");
    }
}
