//! What the bytes of an object must hash to, and the hashing.

use std::fmt;

use super::claim::Claim;
use super::hash::{Algorithm, Hasher};

/// How it is known that bytes are S3's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A stored checksum of this algorithm, of the whole object or of its parts.
    Checksum(&'static str),
    /// An ETag that is the MD5 of the content.
    Md5Etag,
    /// An ETag made of the MD5s of the parts.
    MultipartEtag,
    /// Nothing to check against but the length: read whole, under If-Match.
    LengthOnly,
}

/// What the bytes of an object must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    size: u64,
    claim: Claim,
    /// The parts' lengths, where the claim is about parts.
    parts: Vec<u64>,
}

impl Checksum {
    pub(super) fn new(size: u64, claim: Claim, parts: Vec<u64>) -> Self {
        Self { size, claim, parts }
    }

    /// What a match proves.
    pub fn proof(&self) -> Proof {
        match &self.claim {
            Claim::Whole {
                algorithm: Algorithm::Md5,
                ..
            } => Proof::Md5Etag,
            Claim::Parts {
                algorithm: Algorithm::Md5,
                ..
            } => Proof::MultipartEtag,
            Claim::Whole { algorithm, .. } | Claim::Parts { algorithm, .. } => {
                Proof::Checksum(algorithm.name())
            }
            Claim::Length => Proof::LengthOnly,
        }
    }

    /// A hasher for the object's bytes.
    pub fn verifier(&self) -> Verifier<'_> {
        let state = match &self.claim {
            Claim::Whole { algorithm, .. } => State::Whole(Hasher::new(*algorithm)),
            Claim::Parts { algorithm, .. } => State::Parts(Parts::new(*algorithm, &self.parts)),
            Claim::Length => State::Length,
        };
        Verifier {
            checksum: self,
            seen: 0,
            state,
        }
    }
}

/// Takes an object's bytes in order and says whether they are the object's.
#[derive(Debug)]
pub struct Verifier<'a> {
    checksum: &'a Checksum,
    seen: u64,
    state: State<'a>,
}

#[expect(clippy::large_enum_variant, reason = "one for each object in flight")]
#[derive(Debug)]
enum State<'a> {
    Whole(Hasher),
    Parts(Parts<'a>),
    Length,
}

impl Verifier<'_> {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        match &mut self.state {
            State::Whole(hasher) => hasher.update(bytes),
            State::Parts(parts) => parts.update(bytes),
            State::Length => {}
        }
    }

    /// Whether as many bytes came as the object has.
    pub(super) fn complete(&self) -> bool {
        self.seen == self.checksum.size
    }

    /// The proof, once every byte was taken.
    ///
    /// # Errors
    /// What differs, when the bytes are not the object's.
    pub fn finish(self) -> Result<Proof, Mismatch> {
        let Checksum { size, claim, .. } = self.checksum;
        if self.seen != *size {
            return Err(Mismatch(format!("{} bytes came of {size}", self.seen)));
        }
        let (computed, expected) = match (self.state, claim) {
            (State::Whole(hasher), Claim::Whole { digest, .. }) => (hasher.finish(), digest),
            (State::Parts(parts), Claim::Parts { digest, .. }) => (parts.finish(), digest),
            _ => return Ok(Proof::LengthOnly),
        };
        let proof = self.checksum.proof();
        if computed == *expected {
            return Ok(proof);
        }
        Err(Mismatch(match proof {
            Proof::Checksum(name) => format!("its {name} is not the stored one"),
            _ => "its MD5 is not the ETag's".to_owned(),
        }))
    }
}

/// A hash over the hashes of the parts.
#[derive(Debug)]
struct Parts<'a> {
    algorithm: Algorithm,
    /// Of the parts after the open one.
    lengths: std::slice::Iter<'a, u64>,
    /// Of the open part, still to come.
    left: u64,
    part: Hasher,
    whole: Hasher,
}

impl<'a> Parts<'a> {
    fn new(algorithm: Algorithm, lengths: &'a [u64]) -> Self {
        let mut lengths = lengths.iter();
        let left = lengths.next().copied().unwrap_or(0);
        Self {
            algorithm,
            lengths,
            left,
            part: Hasher::new(algorithm),
            whole: Hasher::new(algorithm),
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            while self.left == 0 {
                let Some(next) = self.lengths.next() else {
                    return;
                };
                self.left = *next;
                self.close();
            }
            let here = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (now, later) = bytes.split_at(here);
            self.part.update(now);
            self.left -= here as u64;
            bytes = later;
        }
    }

    fn close(&mut self) {
        let part = std::mem::replace(&mut self.part, Hasher::new(self.algorithm));
        self.whole.update(&part.finish());
    }

    fn finish(mut self) -> Vec<u8> {
        self.close();
        // Every byte came, so what is left are parts of none.
        while self.lengths.next().is_some() {
            self.close();
        }
        self.whole.finish()
    }
}

/// Which hash or length differs, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch(pub String);

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Algorithm; 6] = [
        Algorithm::Crc64Nvme,
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Sha1,
        Algorithm::Sha256,
        Algorithm::Md5,
    ];

    fn hash(algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    fn verified(checksum: &Checksum, bytes: &[u8], chunk: usize) -> Result<Proof, Mismatch> {
        let mut verifier = checksum.verifier();
        for chunk in bytes.chunks(chunk) {
            verifier.update(chunk);
        }
        verifier.finish()
    }

    fn of_parts(algorithm: Algorithm, parts: &[Vec<u8>]) -> Checksum {
        let hashes: Vec<u8> = parts
            .iter()
            .flat_map(|part| hash(algorithm, part))
            .collect();
        let claim = Claim::Parts {
            algorithm,
            digest: hash(algorithm, &hashes),
            count: parts.len() as u64,
        };
        let lengths: Vec<_> = parts.iter().map(|part| part.len() as u64).collect();
        Checksum::new(lengths.iter().sum(), claim, lengths)
    }

    #[test]
    fn a_part_of_no_bytes_counts_as_one() {
        let empty = of_parts(Algorithm::Md5, &[vec![]]);
        assert_eq!(verified(&empty, b"", 1), Ok(Proof::MultipartEtag));
        let last = of_parts(Algorithm::Crc32, &[b"abc".to_vec(), vec![]]);
        assert_eq!(verified(&last, b"abc", 1), Ok(Proof::Checksum("CRC32")));
    }

    #[test]
    fn a_length_is_checked_when_nothing_else_can_be() {
        let checksum = Checksum::new(3, Claim::Length, vec![]);
        assert_eq!(verified(&checksum, b"abc", 2), Ok(Proof::LengthOnly));
        for wrong in [&b"ab"[..], b"abcd", b""] {
            assert!(verified(&checksum, wrong, 2).is_err());
        }
    }

    proptest! {
        #[test]
        fn only_the_objects_own_bytes_pass(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..6),
            chunk in 1usize..300, at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let bytes = parts.concat();
            for algorithm in ALL {
                let whole = Checksum::new(
                    bytes.len() as u64,
                    Claim::Whole { algorithm, digest: hash(algorithm, &bytes) },
                    vec![],
                );
                for checksum in [whole, of_parts(algorithm, &parts)] {
                    prop_assert_eq!(verified(&checksum, &bytes, chunk), Ok(checksum.proof()));
                    let mut wrong = bytes.clone();
                    wrong[at.index(bytes.len())] ^= flip;
                    prop_assert!(verified(&checksum, &wrong, chunk).is_err());
                    prop_assert!(verified(&checksum, &bytes[1..], chunk).is_err());
                    wrong.push(0);
                    prop_assert!(verified(&checksum, &wrong, chunk).is_err());
                }
            }
        }
    }
}
