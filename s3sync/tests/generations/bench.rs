//! What these tests share: looking at DEST as a reader does.

use crate::support::{Bench, DEADLINE};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use testkit::fs::Picture;
use testkit::process::Process;

pub(crate) const GENERATIONS: &[&str] = &["--layout", "generations"];

/// What `current` names; empty where it is not there.
pub(crate) fn current(bench: &Bench) -> String {
    let text = std::fs::read_to_string(bench.at("current")).unwrap_or_default();
    text.trim_end().to_string()
}

pub(crate) fn path_of(bench: &Bench, id: &str) -> PathBuf {
    bench.at("generations").join(id)
}

/// Every generation's ID.
pub(crate) fn ids(bench: &Bench) -> Vec<String> {
    let entries = std::fs::read_dir(bench.at("generations")).unwrap();
    let mut ids: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    ids.sort();
    ids
}

/// The files of a tree.
pub(crate) fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    Picture::of(path).files()
}

/// The ID that these files have, as the design says it: computed apart from the program.
pub(crate) fn revision(files: &BTreeMap<String, Vec<u8>>) -> String {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let mut digest = Sha256::new();
    for (path, bytes) in files {
        digest.update(format!("{}  {path}\0", hex(&Sha256::digest(bytes))));
    }
    hex(&digest.finalize())
}

/// Fails unless `current` names a complete generation; its files.
pub(crate) fn whole(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    let id = current(bench);
    let files = files(&path_of(bench, &id));
    assert_eq!(
        revision(&files),
        id,
        "the current generation is not what its ID says"
    );
    files
}

/// The files that the prefix holds.
pub(crate) fn wanted(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    let objects = bench.wanted().into_iter();
    objects.filter(|(path, _)| !path.ends_with('/')).collect()
}

/// Waits until the current generation holds the prefix's files and nothing else.
pub(crate) fn until_landed(bench: &Bench) {
    let wanted = wanted(bench);
    let id = revision(&wanted);
    testkit::until(DEADLINE, "the generation", || current(bench) == id);
    assert_eq!(whole(bench), wanted);
}

/// A watcher with generations, once its first is there.
pub(crate) fn watch(bench: &Bench, options: &[&str]) -> Process {
    let process = bench.watch(&[GENERATIONS, options].concat());
    until_landed(bench);
    bench.until_healthy();
    process
}

pub(crate) fn inode(path: impl AsRef<Path>) -> u64 {
    crate::support::identity(path).0
}
