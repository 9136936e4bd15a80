//! Releases as `docs/releases.md` lays them down, written by hand: what judges the reader must not be
//! made by the same code.

use super::{BUCKET, Bench, key};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The key of the pointer.
pub(crate) const POINTER: &str = ".s3sync/current";

/// A release, not uploaded yet.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) revision: String,
    pub(crate) manifest: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of a file's bytes.
pub(crate) fn content(bytes: impl AsRef<[u8]>) -> String {
    format!(".s3sync/releases/content/{}", sha256(bytes))
}

impl Made {
    /// A release of these files.
    pub(crate) fn of<B: AsRef<[u8]>>(
        name: &str,
        files: impl IntoIterator<Item = (String, B)>,
    ) -> Self {
        let files: BTreeMap<String, Vec<u8>> = files
            .into_iter()
            .map(|(path, bytes)| (path, bytes.as_ref().to_vec()))
            .collect();
        let tree: String = files
            .iter()
            .map(|(path, bytes)| format!("{}  {path}\0", sha256(bytes)))
            .collect();
        let revision = sha256(tree);
        let lines: String = files
            .iter()
            .map(|(path, bytes)| {
                let path = serde_json::to_string(path).expect("a string has a JSON form");
                format!(
                    "{{\"path\":{path},\"sha256\":\"{}\",\"size\":{}}}\n",
                    sha256(bytes),
                    bytes.len()
                )
            })
            .collect();
        let bytes: usize = files.values().map(Vec::len).sum();
        let manifest = format!(
            "{{\"schema\":1,\"revision\":\"{revision}\",\"name\":\"{name}\",\"author\":\"ann\",\"created\":\"2026-11-21T09:30:00Z\",\"files\":{},\"bytes\":{bytes}}}\n{lines}",
            files.len()
        );
        Made {
            name: name.to_string(),
            revision,
            manifest,
            files,
        }
    }

    /// The same, of texts.
    pub(crate) fn new(name: &str, files: &[(&str, &str)]) -> Self {
        Made::of(
            name,
            files.iter().map(|(path, text)| (path.to_string(), text)),
        )
    }

    pub(crate) fn id(&self) -> String {
        sha256(&self.manifest)
    }

    pub(crate) fn manifest_key(&self) -> String {
        format!(".s3sync/releases/manifest/{}.jsonl", self.id())
    }

    pub(crate) fn pointer(&self) -> String {
        format!(
            "{{\"schema\":1,\"release\":\"{}\",\"revision\":\"{}\",\"name\":\"{}\",\"author\":\"ann\",\"published\":\"2026-11-21T09:30:00Z\",\"previous\":null}}\n",
            self.id(),
            self.revision,
            self.name
        )
    }

    /// Everything but the pointer: key below the prefix, and bytes.
    pub(crate) fn objects(&self) -> Vec<(String, Vec<u8>)> {
        let mut objects: Vec<_> = self
            .files
            .values()
            .map(|bytes| (content(bytes), bytes.clone()))
            .collect();
        objects.push((self.manifest_key(), self.manifest.clone().into_bytes()));
        objects
    }

    /// Uploads everything but the pointer.
    pub(crate) fn upload(&self, bench: &Bench) {
        let objects = self.objects().into_iter();
        bench
            .s3
            .put_all(BUCKET, objects.map(|(path, bytes)| (key(&path), bytes)));
    }

    /// Makes it the current release.
    pub(crate) fn point(&self, bench: &Bench) {
        bench.put(POINTER, self.pointer());
    }

    pub(crate) fn publish(&self, bench: &Bench) {
        self.upload(bench);
        self.point(bench);
    }
}
