//! What is written below the prefix: documents under a condition, and the bytes of files.

use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, Length};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::explain::{Operation, Trouble};
use super::fetch::{ATTEMPTS, pause};
use super::get::SLOWEST;
use super::store::unquoted;
use super::{Kind, Source, SourceError, trouble};
use crate::revision::Hash;

/// What must hold for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Nothing.
    None,
    /// No object has the key.
    IfAbsent,
    /// The object has this ETag, without quotes.
    IfMatch(&'a str),
}

/// How a write under a condition ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutResult {
    /// It is there.
    Done {
        /// Its entity tag without the quotes.
        etag: Box<str>,
    },
    /// The condition did not hold. A write whose answer was lost ends so too, when it was tried
    /// again: who must know reads the object and compares.
    Refused,
}

impl Source {
    /// Writes an object below the prefix, if the condition holds. S3 checks its SHA-256.
    ///
    /// # Errors
    /// As S3 answers the PUT.
    pub async fn put_small(
        &self,
        key: &str,
        body: impl Into<Bytes>,
        condition: Condition<'_>,
    ) -> Result<PutResult, SourceError> {
        let body: Bytes = body.into();
        let sha256 = BASE64_STANDARD.encode(Sha256::digest(&body));
        for attempt in 1.. {
            let request = self
                .client
                .put_object()
                .bucket(&self.location.bucket)
                .key(self.below(key))
                .checksum_sha256(&sha256)
                .body(ByteStream::from(body.clone()));
            let request = match condition {
                Condition::None => request,
                Condition::IfAbsent => request.if_none_match("*"),
                Condition::IfMatch(etag) => request.if_match(format!("\"{etag}\"")),
            };
            let trouble = match request.send().await {
                Ok(output) => {
                    let etag = unquoted(output.e_tag().unwrap_or_default());
                    return Ok(PutResult::Done { etag: etag.into() });
                }
                Err(error) => trouble::of(&error),
            };
            match (&trouble, condition) {
                // Another write is under way: S3 asks to try again.
                (Trouble::Answer(answer), Condition::IfAbsent | Condition::IfMatch(_))
                    if answer.status == 409 && attempt < ATTEMPTS =>
                {
                    pause(attempt).await;
                }
                (Trouble::Answer(answer), Condition::IfAbsent | Condition::IfMatch(_))
                    if matches!(answer.status, 409 | 412) =>
                {
                    return Ok(PutResult::Refused);
                }
                // S3's answer to If-Match where there is nothing.
                (Trouble::Answer(answer), Condition::IfMatch(_))
                    if answer.status == 404 && answer.code == "NoSuchKey" =>
                {
                    return Ok(PutResult::Refused);
                }
                _ => return Err(self.failed_at(Operation::Put, key, &trouble)),
            }
        }
        Ok(PutResult::Refused)
    }

    /// Puts a file's bytes below the prefix, streamed from the disk: S3 refuses them when their
    /// SHA-256 is another.
    ///
    /// # Errors
    /// As S3 answers the PUT; [`Kind::Corrupt`] when the bytes are not those.
    pub async fn put_file(
        &self,
        key: &str,
        path: &Path,
        size: u64,
        sha256: &Hash,
    ) -> Result<(), SourceError> {
        let body = ByteStream::read_from()
            .path(path)
            .length(Length::Exact(size))
            .build()
            .await;
        let body = match body {
            Ok(body) => body,
            Err(error) => {
                let what = trouble::deepest(&error);
                return Err(SourceError::new(
                    Kind::Other,
                    format!("{} cannot be read: {what}", path.display()),
                ));
            }
        };
        // The SDK's read timeout begins with the first byte that is sent.
        let limit = 3 * self.stall + Duration::from_secs(size / SLOWEST);
        let timeouts = TimeoutConfig::builder()
            .read_timeout(limit)
            .operation_attempt_timeout(limit)
            .build();
        let request = self
            .client
            .put_object()
            .bucket(&self.location.bucket)
            .key(self.below(key))
            .content_length(i64::try_from(size).unwrap_or(i64::MAX))
            .checksum_sha256(BASE64_STANDARD.encode(sha256))
            .body(body)
            .customize()
            .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeouts));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => match trouble::of(&error) {
                Trouble::Answer(answer)
                    if matches!(&*answer.code, "BadDigest" | "XAmzContentChecksumMismatch") =>
                {
                    Err(SourceError::new(
                        Kind::Corrupt,
                        format!("{} changed while it was read", path.display()),
                    ))
                }
                trouble => Err(self.failed_at(Operation::Put, key, &trouble)),
            },
        }
    }

    /// Deletes an object below the prefix; one that is gone is deleted.
    ///
    /// # Errors
    /// As S3 answers the DELETE.
    pub async fn delete(&self, key: &str) -> Result<(), SourceError> {
        let request = self
            .client
            .delete_object()
            .bucket(&self.location.bucket)
            .key(self.below(key));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed_at(Operation::Delete, key, &trouble::of(&error))),
        }
    }
}
