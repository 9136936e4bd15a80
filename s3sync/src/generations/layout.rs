//! Which layout a DEST has on disk, so that no process of the other one touches it.

use super::home;
use crate::dest::TREE;
use crate::manifest::journal;
use crate::settings::Layout;
use std::io;
use std::path::Path;

/// The layout that is there; `None` where nothing was kept yet.
///
/// | in the state directory | `current` names a directory below `generations` | |
/// |---|---|---|
/// | a tree | | generations |
/// | a manifest alone | | in place |
/// | neither: it is new or was lost | yes | generations |
/// | neither | no | none yet |
pub fn of(path: &Path, state: &Path) -> Option<Layout> {
    let (tree, manifest) = (is(state.join(TREE)), is(state.join(journal::NAME)));
    if let Some(layout) = found(tree.is_some(), manifest.is_some()) {
        return Some(layout);
    }
    let text = std::fs::read_to_string(path.join(home::CURRENT)).ok()?;
    let id = home::parse(&text)?.to_string();
    let there = is(path.join(home::GENERATIONS).join(id))?.is_dir();
    there.then_some(Layout::Generations)
}

/// The layout that a state directory shows.
pub fn found(tree: bool, manifest: bool) -> Option<Layout> {
    match (tree, manifest) {
        (true, _) => Some(Layout::Generations),
        (false, true) => Some(Layout::InPlace),
        (false, false) => None,
    }
}

/// Refuses a DEST that has another layout than was asked for.
pub fn check(path: &Path, state: &Path, asked: Layout) -> io::Result<()> {
    agree(of(path, state), asked)
}

/// Refuses a layout that is not the one that was asked for.
pub fn agree(found: Option<Layout>, asked: Layout) -> io::Result<()> {
    let why = match (found, asked) {
        (Some(Layout::InPlace), Layout::Generations) => {
            "it is kept in place: leave --layout out, choose an empty directory, or stop every s3sync on it and remove manifest.jsonl from its state directory"
        }
        (Some(Layout::Generations), Layout::InPlace) => {
            "it holds generations: add --layout generations, or choose another directory"
        }
        _ => return Ok(()),
    };
    Err(io::Error::other(why))
}

fn is(path: impl AsRef<Path>) -> Option<std::fs::FileType> {
    Some(std::fs::symlink_metadata(path).ok()?.file_type())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_shows_on_disk() {
        let id = "0a".repeat(32);
        for (why, directories, files, expected) in [
            ("nothing", &[][..], &[][..], None),
            ("a state directory alone", &["s"], &[], None),
            (
                "a manifest",
                &["s"],
                &[("s/manifest.jsonl", "")],
                Some(Layout::InPlace),
            ),
            ("a tree", &["s/tree"], &[], Some(Layout::Generations)),
            (
                "both",
                &["s/tree"],
                &[("s/manifest.jsonl", "")],
                Some(Layout::Generations),
            ),
            (
                "a lost state",
                &["generations/ID"],
                &[("current", "ID\n")],
                Some(Layout::Generations),
            ),
            (
                "files of those names",
                &["generations/ID"],
                &[("current", "x\n")],
                None,
            ),
            (
                "a generation that is gone",
                &["generations"],
                &[("current", "ID\n")],
                None,
            ),
            (
                "in place, with files of those names",
                &["s", "generations/ID"],
                &[("current", "ID\n"), ("s/manifest.jsonl", "")],
                Some(Layout::InPlace),
            ),
        ] {
            let dest = tempfile::tempdir().unwrap();
            for directory in directories {
                std::fs::create_dir_all(dest.path().join(directory.replace("ID", &id))).unwrap();
            }
            for (path, text) in files {
                std::fs::write(dest.path().join(path), text.replace("ID", &id)).unwrap();
            }
            let state = dest.path().join("s");
            assert_eq!(of(dest.path(), &state), expected, "{why}");
            for asked in [Layout::InPlace, Layout::Generations] {
                let fits = expected.is_none_or(|found| found == asked);
                let answer = check(dest.path(), &state, asked);
                assert_eq!(answer.is_ok(), fits, "{why}");
            }
        }
    }
}
