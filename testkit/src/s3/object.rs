//! One object as S3 keeps it: bytes, ETag, checksums, parts, and the headers of an answer.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};

use super::checksum::{Algorithm, Checksum, ChecksumType, hex, multipart_etag, single_etag};
use super::encoding::{http_time, iso_time};

/// How an object is encrypted at rest, as far as a client can see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sse {
    /// SSE-S3, the default: the ETag is an MD5.
    #[default]
    None,
    /// SSE-KMS: the ETag is not an MD5 of anything that a client has.
    Kms,
}

/// Which checksum S3 has stored for an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumChoice {
    /// CRC64NVME over the whole object: what S3 adds when the uploader sends none.
    #[default]
    Default,
    /// None, as for objects from before December 2024.
    None,
    /// CRC32.
    Crc32,
    /// CRC32C.
    Crc32c,
    /// CRC64NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl ChecksumChoice {
    fn algorithm(self) -> Option<Algorithm> {
        match self {
            ChecksumChoice::None => None,
            ChecksumChoice::Default | ChecksumChoice::Crc64Nvme => Some(Algorithm::Crc64Nvme),
            ChecksumChoice::Crc32 => Some(Algorithm::Crc32),
            ChecksumChoice::Crc32c => Some(Algorithm::Crc32c),
            ChecksumChoice::Sha1 => Some(Algorithm::Sha1),
            ChecksumChoice::Sha256 => Some(Algorithm::Sha256),
        }
    }
}

/// How to put an object; all of it has the default of a plain upload.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// `STANDARD` when `None`. GLACIER and DEEP_ARCHIVE refuse GET.
    pub storage_class: Option<String>,
    /// An archived object that somebody restored: GET works.
    pub restored: bool,
    /// Encryption at rest.
    pub sse: Sse,
    /// Now when `None`. S3 shows whole seconds.
    pub last_modified: Option<SystemTime>,
    /// The stored checksum.
    pub checksum: ChecksumChoice,
    /// Sizes of the parts of a multipart upload, in bytes; what is left over is one more part.
    pub parts: Option<Vec<usize>>,
    /// Of a multipart upload's checksum; S3's default for the algorithm when `None`.
    pub checksum_type: Option<ChecksumType>,
    /// Another ETag than S3 would make, without quotes.
    pub etag: Option<String>,
    /// Headers that GET and HEAD answer: `content-type`, `x-amz-meta-…`.
    pub metadata: Vec<(HeaderName, HeaderValue)>,
}

/// One part of a multipart object.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) size: usize,
    /// In base64; kept for composite checksums only.
    pub(super) checksum: Option<String>,
}

/// An object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) data: Bytes,
    pub(super) etag: String,
    pub(super) modified: SystemTime,
    pub(super) storage_class: String,
    pub(super) restored: bool,
    pub(super) sse: Sse,
    pub(super) checksum: Option<Checksum>,
    /// Empty for a single upload.
    pub(super) parts: Vec<Part>,
    pub(super) metadata: Vec<(HeaderName, HeaderValue)>,
    pub(super) etag_header: HeaderValue,
    pub(super) modified_header: HeaderValue,
    /// All that a listing says after the key, ready to be copied into a page.
    pub(super) listing_tail: Box<str>,
}

impl Object {
    pub(super) fn new(data: Bytes, options: PutOptions, serial: u64) -> Object {
        let parts = options
            .parts
            .as_deref()
            .map(|sizes| split(&data, sizes))
            .unwrap_or_default();
        let etag = options
            .etag
            .unwrap_or_else(|| match (options.sse, parts.is_empty()) {
                (Sse::None, true) => single_etag(&data),
                (Sse::None, false) => multipart_etag(parts.iter().copied()),
                (Sse::Kms, true) => kms_etag(serial),
                (Sse::Kms, false) => format!("{}-{}", kms_etag(serial), parts.len()),
            });
        let checksum = options.checksum.algorithm().map(|algorithm| {
            let composite = !parts.is_empty()
                && options.checksum_type.unwrap_or(algorithm.default_type())
                    == ChecksumType::Composite;
            match composite {
                true => Checksum {
                    algorithm,
                    kind: ChecksumType::Composite,
                    value: algorithm.composite(parts.iter().copied()),
                },
                false => Checksum {
                    algorithm,
                    kind: ChecksumType::FullObject,
                    value: algorithm.encoded(&data),
                },
            }
        });
        let parts = parts
            .iter()
            .map(|part| Part {
                size: part.len(),
                checksum: checksum
                    .as_ref()
                    .filter(|checksum| checksum.kind == ChecksumType::Composite)
                    .map(|checksum| checksum.algorithm.encoded(part)),
            })
            .collect();
        let modified = options.last_modified.unwrap_or_else(SystemTime::now);
        let storage_class = options
            .storage_class
            .unwrap_or_else(|| "STANDARD".to_owned());
        let mut object = Object {
            etag_header: header(&format!("\"{etag}\"")),
            modified_header: header(&http_time(modified)),
            listing_tail: Box::default(),
            data,
            etag,
            modified,
            storage_class,
            restored: options.restored,
            sse: options.sse,
            checksum,
            parts,
            metadata: options.metadata,
        };
        object.listing_tail = object.tail().into_boxed_str();
        object
    }

    /// Whether a GET is refused until somebody restores it.
    pub(super) fn archived(&self) -> bool {
        !self.restored && matches!(self.storage_class.as_str(), "GLACIER" | "DEEP_ARCHIVE")
    }

    fn tail(&self) -> String {
        let mut tail = format!(
            "</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag>",
            iso_time(self.modified),
            self.etag
        );
        if let Some(checksum) = &self.checksum {
            tail.push_str(&format!(
                "<ChecksumAlgorithm>{}</ChecksumAlgorithm><ChecksumType>{}</ChecksumType>",
                checksum.algorithm.name(),
                checksum.kind.name()
            ));
        }
        tail.push_str(&format!(
            "<Size>{}</Size><StorageClass>{}</StorageClass>",
            self.data.len(),
            self.storage_class
        ));
        tail
    }
}

fn split<'a>(data: &'a Bytes, sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut rest: &[u8] = data;
    let mut parts = Vec::new();
    for size in sizes {
        let (part, tail) = rest.split_at((*size).min(rest.len()));
        parts.push(part);
        rest = tail;
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(rest);
    }
    parts
}

/// S3's KMS ETags look like an MD5 and are none; each upload of the same bytes has another.
fn kms_etag(serial: u64) -> String {
    single_etag(hex(&serial.to_be_bytes()).as_bytes())
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(options: PutOptions) -> Object {
        Object::new(Bytes::from_static(b"0123456789"), options, 7)
    }

    #[test]
    fn a_plain_upload_has_an_md5_etag_and_a_full_crc64() {
        let object = object(PutOptions::default());
        assert_eq!(object.etag, "781e5e245d69b566979b86e28d23f2c7");
        let checksum = object.checksum.unwrap();
        assert_eq!(
            (checksum.algorithm.name(), checksum.kind),
            ("CRC64NVME", ChecksumType::FullObject)
        );
        assert!(object.parts.is_empty());
    }

    #[test]
    fn a_kms_etag_is_never_the_md5_and_differs_by_upload() {
        let options = || PutOptions {
            sse: Sse::Kms,
            ..PutOptions::default()
        };
        let first = Object::new(Bytes::from_static(b"x"), options(), 1);
        let second = Object::new(Bytes::from_static(b"x"), options(), 2);
        assert_ne!(first.etag, second.etag);
        assert_ne!(first.etag, single_etag(b"x"));
        assert_eq!(first.etag.len(), 32);
    }

    #[test]
    fn parts_take_the_rest_and_composite_checksums_count_them() {
        let object = object(PutOptions {
            parts: Some(vec![4, 4]),
            checksum: ChecksumChoice::Sha256,
            ..PutOptions::default()
        });
        assert_eq!(
            object
                .parts
                .iter()
                .map(|part| part.size)
                .collect::<Vec<_>>(),
            [4, 4, 2]
        );
        assert!(object.etag.ends_with("-3"));
        assert!(object.checksum.unwrap().value.ends_with("-3"));
        assert_eq!(
            object.parts[0].checksum.as_deref(),
            Some(&*Algorithm::Sha256.encoded(b"0123"))
        );
    }
}
