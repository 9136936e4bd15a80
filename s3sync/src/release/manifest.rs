//! A release's manifest: every file of a tree by its SHA-256, and a header that the rest must prove.

use super::{SCHEMA, hexadecimal};
use crate::key::{self, Name};
use crate::revision::{Hash, Revision, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The first line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of this format.
    pub schema: u32,
    /// The revision of the files.
    #[serde(with = "hexadecimal")]
    pub revision: Hash,
    /// What a person called the release.
    #[serde(default)]
    pub name: Option<String>,
    /// Who published it, by the publisher's environment.
    #[serde(default)]
    pub author: Option<String>,
    /// When it was made, RFC 3339 in UTC, by the publisher's clock: for people only.
    pub created: String,
    /// Lines that follow.
    pub files: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Below the root of the tree.
    pub path: Box<str>,
    /// SHA-256 of its bytes.
    #[serde(with = "hexadecimal")]
    pub sha256: Hash,
    /// Bytes.
    pub size: u64,
}

/// A whole release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseManifest {
    /// What it says of itself.
    pub header: Header,
    /// Sorted by the bytes of the path.
    pub files: Vec<File>,
}

impl Header {
    /// The header at the beginning of a manifest of which perhaps no more was read: for people, as
    /// nothing proves it.
    ///
    /// # Errors
    /// Why it is none, as the end of a sentence.
    pub fn first_of(bytes: &[u8]) -> Result<Self, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let line = end.map_or(bytes, |end| &bytes[..end]);
        check_schema(line)?;
        serde_json::from_slice(line).map_err(|why| format!("its first line is no header: {why}"))
    }
}

impl ReleaseManifest {
    /// A release of `files`, in any order.
    ///
    /// # Errors
    /// When two files cannot be beside each other, or a path would be refused by readers.
    pub fn new(
        mut files: Vec<File>,
        name: Option<String>,
        author: Option<String>,
        created: String,
    ) -> Result<Self, String> {
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        check_paths(&files)?;
        let header = Header {
            schema: SCHEMA,
            revision: revision(&files),
            name,
            author,
            created,
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.size).sum(),
        };
        Ok(ReleaseManifest { header, files })
    }

    /// Reads the manifest of `release`, all of it or nothing.
    ///
    /// # Errors
    /// Why it cannot be believed, as the end of a sentence.
    pub fn parse(release: &Hash, bytes: &[u8]) -> Result<Self, String> {
        let found: Hash = Sha256::digest(bytes).into();
        if found != *release {
            return Err(format!(
                "its SHA-256 is {}: it was cut or changed after it was published",
                hex(&found)
            ));
        }
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        check_schema(first)?;
        let header: Header = serde_json::from_slice(first)
            .map_err(|why| format!("its first line is no header: {why}"))?;
        let mut files = Vec::with_capacity(usize::try_from(header.files.min(1 << 20)).unwrap_or(0));
        for (number, line) in (2..).zip(lines) {
            let file: File = serde_json::from_slice(line)
                .map_err(|why| format!("its line {number} is no file: {why}"))?;
            files.push(file);
        }
        check_paths(&files)?;
        let total = files
            .iter()
            .try_fold(0u64, |sum, file| sum.checked_add(file.size));
        let told = (header.files, Some(header.bytes), header.revision);
        if told != (files.len() as u64, total, revision(&files)) {
            return Err(format!(
                "its header says {} files, {} bytes and revision {}, and its lines do not",
                header.files,
                header.bytes,
                hex(&header.revision)
            ));
        }
        Ok(ReleaseManifest { header, files })
    }

    /// The bytes of the manifest, and their hash: the release's ID.
    pub fn to_bytes(&self) -> (Hash, Vec<u8>) {
        let mut bytes = Vec::with_capacity(128 + 160 * self.files.len());
        line(&mut bytes, &self.header);
        for file in &self.files {
            line(&mut bytes, file);
        }
        (Sha256::digest(&bytes).into(), bytes)
    }
}

/// Refuses another version before its members are looked at, whatever they may be by then.
pub(super) fn check_schema(bytes: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    match serde_json::from_slice(bytes) {
        Ok(Schema { schema: SCHEMA }) => Ok(()),
        Ok(Schema { schema }) => Err(format!(
            "its schema is {schema} and this s3sync reads {SCHEMA}: update s3sync"
        )),
        Err(why) => Err(format!("it cannot be read: {why}")),
    }
}

fn line(bytes: &mut Vec<u8>, value: &impl Serialize) {
    // A structure of strings and numbers always has a JSON form.
    bytes.extend(serde_json::to_vec(value).unwrap_or_default());
    bytes.push(b'\n');
}

fn revision(files: &[File]) -> Hash {
    Revision::of(files.iter().map(|file| (&*file.path, &file.sha256))).hash()
}

/// One hostile path refuses the release: half of a tree is no tree.
fn check_paths(files: &[File]) -> Result<(), String> {
    let mut before: Option<&str> = None;
    for file in files {
        let path = &*file.path;
        match key::name(path, Some(".s3sync")) {
            Ok(Name::File(_)) => {}
            Ok(_) => return Err(format!("`{}` is no path of a file", path.escape_debug())),
            Err(why) => return Err(format!("`{}`: {why}", path.escape_debug())),
        }
        if before.is_some_and(|before| before >= path) {
            return Err(format!(
                "`{}` comes twice or out of order",
                path.escape_debug()
            ));
        }
        before = Some(path);
    }
    let is_file = |path: &str| {
        files
            .binary_search_by(|file| (*file.path).cmp(path))
            .is_ok()
    };
    match files
        .iter()
        .flat_map(|file| key::ancestors(&file.path))
        .find(|above| is_file(above))
    {
        Some(both) => Err(format!(
            "`{}` is a file, and another file needs it as a directory",
            both.escape_debug()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> File {
        File {
            path: path.into(),
            sha256: Sha256::digest(path).into(),
            size: path.len() as u64,
        }
    }

    fn release(paths: &[&str]) -> Result<ReleaseManifest, String> {
        let files = paths.iter().map(|path| file(path)).collect();
        let name = Some("one".to_string());
        ReleaseManifest::new(files, name, None, "2026-11-21T09:30:00Z".to_string())
    }

    #[test]
    fn a_manifest_comes_back_whole() {
        let release = release(&["b/c.py", "a.py", "b.py"]).unwrap();
        let (id, bytes) = release.to_bytes();
        assert_eq!(ReleaseManifest::parse(&id, &bytes), Ok(release));
    }

    #[test]
    fn a_manifest_that_was_cut_or_changed_is_refused() {
        let (id, bytes) = release(&["a.py", "b.py"]).unwrap().to_bytes();
        for cut in 0..bytes.len() {
            assert!(ReleaseManifest::parse(&id, &bytes[..cut]).is_err());
            let mut changed = bytes.clone();
            changed[cut] ^= 1;
            assert!(ReleaseManifest::parse(&id, &changed).is_err());
        }
    }

    /// A publisher of somebody else's, whose hash is right and whose lines are wrong.
    fn parse(lines: &[&str]) -> Result<ReleaseManifest, String> {
        let text: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
        ReleaseManifest::parse(&Sha256::digest(&text).into(), text.as_bytes())
    }

    #[test]
    fn a_header_that_its_lines_do_not_prove_is_refused() {
        let (_, bytes) = release(&["a.py", "b.py"]).unwrap().to_bytes();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(parse(&lines).is_ok());
        let none = hex(&[0; 32]);
        let revision = hex(&revision(&[file("a.py"), file("b.py")]));
        for header in [
            lines[0].replace("\"files\":2", "\"files\":1"),
            lines[0].replace("\"bytes\":8", "\"bytes\":9"),
            lines[0].replace(&revision, &none),
            lines[0].replace("\"schema\":1", "\"schema\":2"),
            "{}".to_string(),
            String::new(),
        ] {
            assert!(parse(&[&header, lines[1], lines[2]]).is_err(), "{header}");
        }
        assert!(parse(&[lines[0], lines[2], lines[1]]).is_err());
        assert!(parse(&[lines[0], lines[1], lines[1]]).is_err());
        assert!(parse(&lines[..2]).is_err());
        assert!(parse(&[]).is_err());
    }

    #[test]
    fn a_path_that_readers_could_not_hold_refuses_the_release() {
        for paths in [
            &["../a.py"][..],
            &["/etc/passwd"],
            &["a/../../b"],
            &["a//b"],
            &["./a"],
            &["directory/"],
            &[""],
            &["a\0b"],
            &[".s3sync/lock"],
            &["a", "a/b"],
            &["a", "a-b", "a/b"],
            &["a", "a"],
        ] {
            assert!(release(paths).is_err(), "{paths:?}");
        }
    }
}
