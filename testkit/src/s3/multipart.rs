//! Multipart uploads: collecting parts, and what they become.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::checksum::{Algorithm, ChecksumType, single_etag};
use super::error::Refusal;
use super::object::{ChecksumChoice, PutOptions};
use super::xml::Element;

/// S3's floor for every part but the last, in bytes.
const SMALLEST_PART: usize = 5 << 20;

/// An upload that is under way.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) options: PutOptions,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) parts: BTreeMap<u32, UploadedPart>,
}

/// A part that has arrived.
#[derive(Clone, Debug)]
pub(super) struct UploadedPart {
    pub(super) data: Bytes,
    pub(super) etag: String,
}

impl UploadedPart {
    pub(super) fn new(data: Bytes) -> Self {
        UploadedPart {
            etag: single_etag(&data),
            data,
        }
    }
}

/// A part that the completion names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedPart {
    number: u32,
    etag: String,
}

/// Reads the body of CompleteMultipartUpload.
pub(super) fn named_parts(document: &Element) -> Result<Vec<NamedPart>, Refusal> {
    document
        .children("Part")
        .map(|part| {
            let number = part.text("PartNumber").and_then(|text| text.parse().ok());
            let etag = part
                .text("ETag")
                .map(|etag| etag.trim_matches('"').to_owned());
            match (number, etag) {
                (Some(number), Some(etag)) => Ok(NamedPart { number, etag }),
                _ => Err(Refusal::malformed_xml()),
            }
        })
        .collect()
}

impl Upload {
    /// The bytes and options of the object that the named parts make.
    pub(super) fn complete(&self, named: &[NamedPart]) -> Result<(Bytes, PutOptions), Refusal> {
        if named.is_empty() {
            return Err(Refusal::malformed_xml());
        }
        if named
            .windows(2)
            .any(|pair| pair[0].number >= pair[1].number)
        {
            return Err(Refusal::new(
                400,
                "InvalidPartOrder",
                "The list of parts was not in ascending order. Parts must be ordered by part number.",
            ));
        }
        let mut data = BytesMut::new();
        let mut sizes = Vec::with_capacity(named.len());
        for (index, name) in named.iter().enumerate() {
            let part = self
                .parts
                .get(&name.number)
                .filter(|part| part.etag == name.etag);
            let part = part.ok_or_else(|| {
                Refusal::new(
                    400,
                    "InvalidPart",
                    "One or more of the specified parts could not be found. The part may not have \
                     been uploaded, or the specified entity tag may not match the part's entity tag.",
                )
            })?;
            if part.data.len() < SMALLEST_PART && index + 1 < named.len() {
                return Err(Refusal::new(
                    400,
                    "EntityTooSmall",
                    "Your proposed upload is smaller than the minimum allowed size",
                ));
            }
            sizes.push(part.data.len());
            data.extend_from_slice(&part.data);
        }
        let mut options = self.options.clone();
        options.parts = Some(sizes);
        Ok((data.freeze(), options))
    }
}

/// The checksum an upload asks for by `x-amz-checksum-algorithm` and `x-amz-checksum-type`.
pub(super) fn wanted_checksum(
    algorithm: Option<&str>,
    kind: Option<&str>,
) -> Result<(Option<Algorithm>, ChecksumChoice, Option<ChecksumType>), Refusal> {
    let algorithm = match algorithm {
        None => None,
        Some(name) => Some(Algorithm::named(name).ok_or_else(|| {
            Refusal::new(
                400,
                "InvalidRequest",
                "Checksum algorithm provided is unsupported.",
            )
        })?),
    };
    let kind = match kind {
        Some("FULL_OBJECT") => Some(ChecksumType::FullObject),
        Some("COMPOSITE") => Some(ChecksumType::Composite),
        _ => None,
    };
    let choice = algorithm.map(choice_of).unwrap_or_default();
    Ok((algorithm, choice, kind))
}

/// The choice that stores a checksum of that algorithm.
pub(super) fn choice_of(algorithm: Algorithm) -> ChecksumChoice {
    match algorithm {
        Algorithm::Crc32 => ChecksumChoice::Crc32,
        Algorithm::Crc32c => ChecksumChoice::Crc32c,
        Algorithm::Crc64Nvme => ChecksumChoice::Crc64Nvme,
        Algorithm::Sha1 => ChecksumChoice::Sha1,
        Algorithm::Sha256 => ChecksumChoice::Sha256,
    }
}
