//! Releases: the formats that publishers and readers share, as `docs/releases.md` lays them down.
//!
//! Pure: what is read here comes from a bucket that others write to, so every document is checked
//! whole before a line of it is believed.

mod manifest;
mod pointer;
mod report;
mod time;

pub use manifest::{File, Header, ReleaseManifest};
pub use pointer::{LONGEST as LONGEST_POINTER, Pointer};
pub use report::{
    HeldDeletes, KeyReason, LONGEST_REPORT, MOST_KEYS, Report, STALE_AFTER, report_key,
};

pub use time::{instant, timestamp};

use crate::revision::{Hash, hex, unhex};

/// The only version of the formats so far.
pub const SCHEMA: u32 = 1;

/// The pointer's key below the prefix.
pub const POINTER: &str = ".s3sync/current";
/// Where the bytes of files lie, below the prefix.
pub const CONTENT: &str = ".s3sync/releases/content/";
/// Where manifests lie, below the prefix.
pub const MANIFESTS: &str = ".s3sync/releases/manifest/";
/// There while `prune` removes, below the prefix.
pub const PRUNING: &str = ".s3sync/releases/pruning";
/// Where watchers tell what they have, below the prefix.
pub const REPORTS: &str = ".s3sync/reports/";

/// The longest name and the longest author, in bytes: a pointer holds both, escaped.
pub const MOST_NAME: usize = 200;

/// The longest manifest that is read, in bytes: some 400,000 files.
pub const LONGEST_MANIFEST: usize = 64 << 20;

/// What the ETag of an object of a release is made of in listings and manifests: no ETag of S3's
/// looks like it, and it names the content by itself.
pub const CONTENT_ETAG: &str = "sha256:";

/// The key of a file's bytes, below the prefix.
pub fn content_key(sha256: &Hash) -> String {
    format!("{CONTENT}{}", hex(sha256))
}

/// The key of a release's manifest, below the prefix.
pub fn manifest_key(release: &Hash) -> String {
    format!("{MANIFESTS}{}.jsonl", hex(release))
}

/// The release whose manifest has this key below the prefix.
pub fn release_of(key: &str) -> Option<Hash> {
    exact(key.strip_prefix(MANIFESTS)?.strip_suffix(".jsonl")?)
}

/// The content whose bytes have this key below the prefix.
pub fn content_of(key: &str) -> Option<Hash> {
    exact(key.strip_prefix(CONTENT)?)
}

/// The beginning of a hash that people are shown.
pub fn short(hash: &Hash) -> String {
    hex(&hash[..6])
}

/// One spelling only: a key is made of it.
fn exact(text: &str) -> Option<Hash> {
    unhex(text).filter(|hash| hex(hash) == text)
}

/// A hash in hexadecimal, for serde.
pub(crate) mod hexadecimal {
    use crate::revision::{Hash, hex};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(hash))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Hash, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        super::exact(&text)
            .ok_or_else(|| D::Error::custom("it takes 64 lower-case hexadecimal digits"))
    }
}
