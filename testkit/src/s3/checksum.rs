//! The checksums that S3 keeps beside an object, and its ETags.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};

/// An algorithm S3 can store a checksum of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// CRC-32 (ISO-HDLC), four bytes.
    Crc32,
    /// CRC-32C (Castagnoli), four bytes.
    Crc32c,
    /// CRC-64/NVME, eight bytes: what S3 adds by itself.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// All of them, in the order in which S3 documents them.
    pub const ALL: [Algorithm; 5] = [
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Crc64Nvme,
        Algorithm::Sha1,
        Algorithm::Sha256,
    ];

    /// As it stands in listings and in `x-amz-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64Nvme => "CRC64NVME",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
        }
    }

    /// The header that carries its value.
    pub fn header(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "x-amz-checksum-crc32",
            Algorithm::Crc32c => "x-amz-checksum-crc32c",
            Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Algorithm::Sha1 => "x-amz-checksum-sha1",
            Algorithm::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The algorithm of that name, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// What S3 makes of a multipart upload when the uploader does not say.
    pub fn default_type(self) -> ChecksumType {
        match self {
            Algorithm::Crc64Nvme => ChecksumType::FullObject,
            _ => ChecksumType::Composite,
        }
    }

    /// The raw bytes of the checksum.
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        let crc32 = |algorithm| {
            let value = crc_fast::checksum(algorithm, data) as u32;
            value.to_be_bytes().to_vec()
        };
        match self {
            Algorithm::Crc32 => crc32(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => crc32(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => crc_fast::checksum(CrcAlgorithm::Crc64Nvme, data)
                .to_be_bytes()
                .to_vec(),
            Algorithm::Sha1 => sha1::Sha1::digest(data).to_vec(),
            Algorithm::Sha256 => sha2::Sha256::digest(data).to_vec(),
        }
    }

    /// The checksum in base64, as headers carry it.
    pub fn encoded(self, data: &[u8]) -> String {
        STANDARD.encode(self.digest(data))
    }

    /// The checksum of the parts' checksums, `base64-N`.
    pub fn composite<'a>(self, parts: impl Iterator<Item = &'a [u8]>) -> String {
        let mut digests = Vec::new();
        let mut count = 0_usize;
        for part in parts {
            digests.extend(self.digest(part));
            count += 1;
        }
        format!("{}-{count}", self.encoded(&digests))
    }
}

/// Whether a multipart object's checksum is that of its bytes or that of its parts' checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumType {
    /// Of the bytes.
    FullObject,
    /// Of the parts' checksums, written `base64-N`.
    Composite,
}

impl ChecksumType {
    /// As it stands in listings and in `x-amz-checksum-type`.
    pub fn name(self) -> &'static str {
        match self {
            ChecksumType::FullObject => "FULL_OBJECT",
            ChecksumType::Composite => "COMPOSITE",
        }
    }
}

/// A stored checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// What it is the checksum of.
    pub kind: ChecksumType,
    /// In base64, with `-N` when composite.
    pub value: String,
}

/// The ETag of a single upload: the MD5 in hexadecimal, without quotes.
pub fn single_etag(data: &[u8]) -> String {
    hex(&Md5::digest(data))
}

/// The ETag of a multipart upload: the MD5 of the parts' MD5s, and their number.
pub fn multipart_etag<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut outer = Md5::new();
    let mut count = 0_usize;
    for part in parts {
        outer.update(Md5::digest(part));
        count += 1;
    }
    format!("{}-{count}", hex(&outer.finalize()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_have_their_published_check_values() {
        let text = b"123456789";
        for (algorithm, expected) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (
                Algorithm::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            assert_eq!(
                hex(&algorithm.digest(text)),
                expected,
                "{}",
                algorithm.name()
            );
        }
    }

    #[test]
    fn a_multipart_etag_counts_its_parts() {
        let etag = multipart_etag([b"a".as_slice(), b"b".as_slice()].into_iter());
        // printf a | md5 and printf b | md5, their 32 bytes hashed again.
        assert_eq!(etag, "96e024ba2074fe77e8e965ba43a704be-2");
    }
}
