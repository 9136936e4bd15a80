//! The revision: one short name for a whole tree, the same wherever the same files are.

use sha2::{Digest, Sha256};
use std::fmt;

/// A SHA-256.
pub type Hash = [u8; 32];

/// The digest of a set of paths and their bytes: SHA-256 over one line a file, sorted by path as
/// bytes, of the file's SHA-256 in hexadecimal, two spaces, the path, and a NUL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(Hash);

impl Revision {
    /// The revision of files given in the order of their paths.
    pub fn of<'a>(files: impl Iterator<Item = (&'a str, &'a Hash)>) -> Self {
        let mut digest = Sha256::new();
        for (path, hash) in files {
            digest.update(hex(hash));
            digest.update("  ");
            digest.update(path);
            digest.update([0]);
        }
        Revision(digest.finalize().into())
    }

    /// From its hexadecimal text.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        unhex(text).filter(|_| lower).map(Revision)
    }

    /// The digest itself.
    pub fn hash(self) -> Hash {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// A hash from its hexadecimal text.
pub fn unhex(text: &str) -> Option<Hash> {
    fn digit(byte: u8) -> Option<u8> {
        char::from(byte).to_digit(16).map(|digit| digit as u8)
    }
    let mut hash = Hash::default();
    let bytes = text.as_bytes();
    if bytes.len() != hash.len() * 2 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_its_bytes_both_count() {
        let (one, two) = ([1; 32], [2; 32]);
        let revision = |files: &[(&str, &Hash)]| Revision::of(files.iter().copied());
        assert_eq!(revision(&[("a", &one)]), revision(&[("a", &one)]));
        assert_ne!(revision(&[("a", &one)]), revision(&[("a", &two)]));
        assert_ne!(revision(&[("a", &one)]), revision(&[("b", &one)]));
        assert_ne!(revision(&[("a", &one)]), revision(&[]));
    }

    #[test]
    fn hexadecimal_comes_back() {
        let hash: Hash = std::array::from_fn(|index| index as u8 * 7);
        assert_eq!(unhex(&hex(&hash)), Some(hash));
        assert_eq!(unhex("zz"), None);
        assert_eq!(unhex(&"g".repeat(64)), None);
    }
}
