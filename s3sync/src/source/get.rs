//! The requests about one object: GET and HEAD under If-Match, and what their answers say of it.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::explain::{Operation, Trouble};
use super::hash::Algorithm;
use super::trouble;
use super::{Kind, Object, Source, SourceError};
use crate::release::content_key;
use crate::revision::{Hash, hex};

/// The slowest that a body may come, in bytes a second, after what it may stall.
pub(super) const SLOWEST: u64 = 16 * 1024;

/// What an answer says of the object.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) length: Option<u64>,
    pub(super) parts: Option<u64>,
    /// The stored checksums of algorithms that are known here.
    pub(super) stored: Vec<(Algorithm, String)>,
    /// The encryption leaves the ETag an MD5.
    pub(super) etag_is_md5: bool,
    etag: Option<String>,
    range: Option<String>,
}

/// GetObject and HeadObject answer with different types of the same fields.
macro_rules! answer {
    ($output:expr) => {{
        let output = &$output;
        let stored = [
            (Algorithm::Crc64Nvme, output.checksum_crc64_nvme()),
            (Algorithm::Crc32, output.checksum_crc32()),
            (Algorithm::Crc32c, output.checksum_crc32_c()),
            (Algorithm::Sha1, output.checksum_sha1()),
            (Algorithm::Sha256, output.checksum_sha256()),
        ];
        let keys_of_s3 = matches!(
            output.server_side_encryption(),
            None | Some(ServerSideEncryption::Aes256)
        );
        Answer {
            length: output
                .content_length()
                .and_then(|length| u64::try_from(length).ok()),
            parts: output
                .parts_count()
                .and_then(|parts| u64::try_from(parts).ok()),
            stored: stored
                .into_iter()
                .filter_map(|(algorithm, value)| Some((algorithm, value?.to_owned())))
                .collect(),
            etag_is_md5: keys_of_s3 && output.sse_customer_algorithm().is_none(),
            etag: output.e_tag().map(str::to_owned),
            range: output.content_range().map(str::to_owned),
        }
    }};
}

/// The body of a GET, read with bounds on time and length.
pub(super) struct Body {
    stream: ByteStream,
    left: u64,
    stall: Duration,
    deadline: Instant,
}

/// Why a body ended.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection: asking again may help.
    Cut(Trouble),
    /// More bytes than there are.
    TooLong,
}

impl Body {
    /// A body of so many bytes, which may send nothing for `stall`.
    pub(super) fn of(stream: ByteStream, length: u64, stall: Duration) -> Self {
        Body {
            stream,
            left: length,
            stall,
            deadline: Instant::now() + 3 * stall + Duration::from_secs(length / SLOWEST),
        }
    }

    /// The next bytes; none once all came.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.left == 0 {
            return self.end().await.map(|()| None);
        }
        match self.read().await? {
            None => Err(Broken::Cut(Trouble::Connection(format!(
                "the answer ended {} bytes early",
                self.left
            )))),
            Some(bytes) if bytes.len() as u64 > self.left => Err(Broken::TooLong),
            Some(bytes) => {
                self.left -= bytes.len() as u64;
                Ok(Some(bytes))
            }
        }
    }

    /// Reads the end too: it frees the connection for the next request.
    async fn end(&mut self) -> Result<(), Broken> {
        while let Some(bytes) = self.read().await? {
            if !bytes.is_empty() {
                return Err(Broken::TooLong);
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Broken> {
        let until = self.deadline.min(Instant::now() + self.stall);
        match timeout_at(until, self.stream.next()).await {
            Err(_) => Err(Broken::Cut(Trouble::TimedOut)),
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(error))) => Err(Broken::Cut(Trouble::Connection(trouble::deepest(&error)))),
        }
    }
}

impl Source {
    /// The object, or a range of it. A body that cannot be what was asked for is an error here.
    pub(super) async fn get(
        &self,
        object: &Object,
        range: Option<Range<u64>>,
    ) -> Result<(Answer, Body), SourceError> {
        let length = range
            .as_ref()
            .map_or(object.size, |range| range.end - range.start);
        let wanted = range.map(|Range { start, end }| format!("bytes={start}-{}", end - 1));
        let request = self
            .client
            .get_object()
            .bucket(&self.location.bucket)
            .key(self.key(object))
            .set_if_match(condition(object))
            .set_range(wanted.clone());
        let output = match request.send().await {
            Ok(output) => output,
            Err(error) => return Err(self.failed(Operation::Get, object, &trouble::of(&error))),
        };
        let answer = answer!(output);
        self.same_version(object, &answer)?;
        if let Some(wanted) = wanted {
            let expected = format!("{}/{}", wanted.replace('=', " "), object.size);
            if answer.range.as_deref() != Some(&expected) {
                return Err(self.corrupt(
                    object,
                    &format!(
                        "asked for {expected} the answer is {}",
                        answer.range.as_deref().unwrap_or("no range")
                    ),
                ));
            }
        }
        if let Some(other) = answer.length.filter(|other| *other != length) {
            return Err(self.corrupt(
                object,
                &format!("the answer has {other} bytes where {length} must be"),
            ));
        }
        Ok((answer, Body::of(output.body, length, self.stall)))
    }

    /// What S3 says of the object, or of one of its parts.
    pub(super) async fn head(
        &self,
        object: &Object,
        part: Option<u64>,
    ) -> Result<Answer, SourceError> {
        let part = part.and_then(|part| i32::try_from(part).ok());
        let mode = (!self.options.checksum_when_required).then_some(ChecksumMode::Enabled);
        let request = self
            .client
            .head_object()
            .bucket(&self.location.bucket)
            .key(self.key(object))
            .set_if_match(condition(object))
            .set_checksum_mode(mode)
            .set_part_number(part);
        match request.send().await {
            Ok(output) => {
                let answer = answer!(output);
                self.same_version(object, &answer)?;
                Ok(answer)
            }
            Err(error) => Err(self.failed(Operation::Head, object, &trouble::of(&error))),
        }
    }

    pub(super) fn failed(
        &self,
        operation: Operation,
        object: &Object,
        trouble: &Trouble,
    ) -> SourceError {
        self.error(operation, &self.uri(object), trouble)
    }

    pub(super) fn corrupt(&self, object: &Object, what: &str) -> SourceError {
        let next = match object.content() {
            // Publishing puts only what is missing.
            Some(_) => "delete this object and publish the release again",
            None => "upload the object again",
        };
        SourceError::new(
            Kind::Corrupt,
            format!(
                "{}: {what}: nothing was published; if it stays so, {next}",
                self.uri(object)
            ),
        )
    }

    /// What a release needs and the bucket does not hold.
    pub(crate) fn missing_content(&self, object: &Object) -> SourceError {
        SourceError::new(
            Kind::Corrupt,
            format!(
                "{}: there is no such object: publish the release again",
                self.uri(object)
            ),
        )
    }

    /// The content of a release is another than its manifest says.
    pub(crate) fn other_content(&self, object: &Object, found: &Hash) -> SourceError {
        self.corrupt(object, &format!("its SHA-256 is {}", hex(found)))
    }

    /// The object for messages; the content of a release with the path that it is for.
    pub(super) fn uri(&self, object: &Object) -> String {
        match object.content() {
            Some(hash) => format!(
                "`{}` of the release, {}",
                object.key.escape_debug(),
                self.location.uri_of(&content_key(&hash))
            ),
            None => self.location.uri_of(&object.key),
        }
    }

    fn key(&self, object: &Object) -> String {
        match object.content() {
            Some(hash) => format!("{}{}", self.location.prefix, content_key(&hash)),
            None => format!("{}{}", self.location.prefix, object.key),
        }
    }

    /// A store that ignores If-Match answers with whatever is there now.
    fn same_version(&self, object: &Object, answer: &Answer) -> Result<(), SourceError> {
        match &answer.etag {
            Some(etag) if object.content().is_none() && unquoted(etag) != &*object.etag => {
                let changed = super::explain::Answer {
                    status: 412,
                    ..Default::default()
                };
                Err(self.failed(Operation::Get, object, &Trouble::Answer(changed)))
            }
            _ => Ok(()),
        }
    }
}

/// If-Match; content by its hash has one version only.
fn condition(object: &Object) -> Option<String> {
    match object.content() {
        Some(_) => None,
        None => Some(format!("\"{}\"", object.etag)),
    }
}

fn unquoted(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}
