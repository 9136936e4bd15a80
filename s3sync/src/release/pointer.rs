//! The pointer: the one object that says which release is current.

use super::{SCHEMA, hexadecimal};
use crate::revision::Hash;
use serde::{Deserialize, Serialize};

/// The longest pointer that is read, in bytes.
pub const LONGEST: usize = 4 << 10;

/// What `.s3sync/current` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The version of this format.
    pub schema: u32,
    /// SHA-256 of the release's manifest.
    #[serde(with = "hexadecimal")]
    pub release: Hash,
    /// The revision of the release's tree, in hexadecimal.
    #[serde(with = "hexadecimal")]
    pub revision: Hash,
    /// What a person called it.
    #[serde(default)]
    pub name: Option<String>,
    /// Who published it, by the publisher's environment.
    #[serde(default)]
    pub author: Option<String>,
    /// When, RFC 3339 in UTC, by the publisher's clock: for people, nothing is decided by it.
    pub published: String,
    /// The release that was current before, in hexadecimal.
    #[serde(default)]
    pub previous: Option<String>,
}

impl Pointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// Why it is none, as the end of a sentence.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > LONGEST {
            return Err(format!(
                "it has {} bytes, and a pointer at most {LONGEST}",
                bytes.len()
            ));
        }
        super::manifest::check_schema(bytes)?;
        serde_json::from_slice(bytes).map_err(|why| format!("it is no pointer: {why}"))
    }

    /// The pointer as one line.
    pub fn to_line(&self) -> String {
        // A structure of strings and numbers always has a JSON form.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// A pointer of this version of the format.
    pub fn new(release: Hash, revision: Hash, published: String) -> Self {
        Pointer {
            schema: SCHEMA,
            release,
            revision,
            name: None,
            author: None,
            published,
            previous: None,
        }
    }
}
