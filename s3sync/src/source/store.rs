//! Objects below the prefix that are documents of s3sync's own, read whole and listed.
//!
//! [`fetch`](super::fetch) brings the content of files; here are pointers, manifests, reports and
//! markers, which fit into memory.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use super::explain::{Operation, Trouble};
use super::fetch::{ATTEMPTS, pause};
use super::get::{Body, Broken};
use super::trouble::{self, date};
use super::{Kind, Source, SourceError};

/// What a read of one object found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// It still has the ETag that was given.
    NotModified {
        /// The server's clock, in milliseconds since the epoch.
        server_time: Option<i64>,
    },
    /// There is no such object.
    Absent {
        /// The server's clock, in milliseconds since the epoch.
        server_time: Option<i64>,
    },
    /// It was read.
    Found(Small),
}

/// An object that was read whole, or its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Small {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// The entity tag without its quotes.
    pub etag: Box<str>,
    /// S3's LastModified, in milliseconds since the epoch.
    pub modified: i64,
    /// The server's clock, in milliseconds since the epoch.
    pub server_time: Option<i64>,
}

/// An object of a listing of documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The key below the prefix.
    pub key: Box<str>,
    /// Bytes.
    pub size: u64,
    /// S3's LastModified, in milliseconds since the epoch.
    pub modified: i64,
}

/// Every object below a key, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredList {
    /// Sorted by the bytes of the key.
    pub objects: Vec<Stored>,
    /// The server's clock at the last page, in milliseconds since the epoch.
    pub server_time: Option<i64>,
}

impl Source {
    /// Reads an object below the prefix into memory: of at most `longest` bytes, and only when its
    /// ETag is another than `if_none_match`, which has no quotes.
    ///
    /// # Errors
    /// As S3 answers, and when the object is longer.
    pub async fn read_small(
        &self,
        key: &str,
        if_none_match: Option<&str>,
        longest: usize,
    ) -> Result<Got, SourceError> {
        self.read(key, if_none_match, longest, None).await
    }

    /// Reads the first bytes of an object below the prefix, at most `first` of them.
    ///
    /// # Errors
    /// As S3 answers.
    pub async fn read_first(&self, key: &str, first: usize) -> Result<Got, SourceError> {
        let range = format!("bytes=0-{}", first.max(1) - 1);
        self.read(key, None, first, Some(range)).await
    }

    /// Lists what lies below `key` below the prefix, such as `.s3sync/reports/`.
    ///
    /// # Errors
    /// When not every page came whole.
    pub async fn list_below(&self, key: &str) -> Result<StoredList, SourceError> {
        let refused = |why: &str| {
            let trouble = Trouble::Page(why.to_owned());
            self.failed_at(Operation::List, key, &trouble)
        };
        let mut list = StoredList::default();
        let mut tokens = HashSet::new();
        let mut next: Option<String> = None;
        loop {
            let clock = ServerClock::default();
            let request = self
                .client
                .list_objects_v2()
                .bucket(&self.location.bucket)
                .prefix(self.below(key))
                .set_continuation_token(next.take())
                .customize()
                .interceptor(clock.clone());
            let page = match request.send().await {
                Ok(page) => page,
                Err(error) => {
                    return Err(self.failed_at(Operation::List, key, &trouble::of(&error)));
                }
            };
            // The SDK takes a page that was cut for a whole one; its count gives that away.
            if page.key_count() != i32::try_from(page.contents().len()).ok() {
                return Err(refused("it holds other than KeyCount keys"));
            }
            list.server_time = clock.time().or(list.server_time);
            for object in page.contents() {
                let Some(below) = object
                    .key()
                    .and_then(|key| key.strip_prefix(&*self.location.prefix))
                else {
                    return Err(refused("it holds a key that was not asked for"));
                };
                list.objects.push(Stored {
                    key: below.into(),
                    size: unsigned(object.size()),
                    modified: millis(object.last_modified()),
                });
            }
            match (page.is_truncated(), page.next_continuation_token()) {
                (Some(true), Some(token)) if tokens.insert(token.to_owned()) => {
                    next = Some(token.to_owned());
                }
                (Some(true), _) => return Err(refused("no next page is named")),
                _ => break,
            }
        }
        // Directory buckets list in no order.
        list.objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(list)
    }

    async fn read(
        &self,
        key: &str,
        if_none_match: Option<&str>,
        longest: usize,
        range: Option<String>,
    ) -> Result<Got, SourceError> {
        for attempt in 1.. {
            let clock = ServerClock::default();
            let request = self
                .client
                .get_object()
                .bucket(&self.location.bucket)
                .key(self.below(key))
                .set_if_none_match(if_none_match.map(|etag| format!("\"{etag}\"")))
                .set_range(range.clone())
                .customize()
                .interceptor(clock.clone());
            let output = match request.send().await {
                Ok(output) => output,
                Err(error) => return self.not_read(key, &error),
            };
            let small = Small {
                bytes: Vec::new(),
                etag: unquoted(output.e_tag().unwrap_or_default()).into(),
                modified: millis(output.last_modified()),
                server_time: clock.time(),
            };
            match self.collected(key, output, longest, range.is_some()).await {
                Ok(bytes) => return Ok(Got::Found(Small { bytes, ..small })),
                Err((error, again)) if !again || attempt >= ATTEMPTS => return Err(error),
                Err(_) => pause(attempt).await,
            }
        }
        unreachable!("the last attempt returns")
    }

    fn not_read<E>(&self, key: &str, error: &SdkError<E, HttpResponse>) -> Result<Got, SourceError>
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let server_time = error.raw_response().and_then(|raw| date(raw.headers()));
        match trouble::of(error) {
            Trouble::Answer(answer) if answer.status == 304 => Ok(Got::NotModified { server_time }),
            Trouble::Answer(answer) if is_absent(&answer) => Ok(Got::Absent { server_time }),
            trouble => {
                let mut error = self.failed_at(Operation::Get, key, &trouble);
                if matches!(error.kind, Kind::Denied) {
                    error.message +=
                        "; without s3:ListBucket it is also S3's answer where nothing is";
                }
                Err(error)
            }
        }
    }

    /// The body, and whether another try may help when there is none.
    async fn collected(
        &self,
        key: &str,
        output: GetObjectOutput,
        longest: usize,
        ranged: bool,
    ) -> Result<Vec<u8>, (SourceError, bool)> {
        let length = output
            .content_length()
            .and_then(|length| usize::try_from(length).ok());
        let length = match length {
            Some(length) if length <= longest => length,
            // A store that knows no ranges sends the whole.
            Some(_) if ranged => longest,
            length => {
                let long = length.map_or("no length".to_owned(), |bytes| format!("{bytes} bytes"));
                let what = format!(
                    "{}: it has {long}, and at most {longest} are read: check who wrote it",
                    self.location.uri_of(key)
                );
                return Err((SourceError::new(Kind::Corrupt, what), false));
            }
        };
        let mut body = Body::of(output.body, length as u64, self.stall);
        let mut bytes = Vec::with_capacity(length.min(1 << 20));
        loop {
            match body.next().await {
                Ok(Some(more)) => bytes.extend_from_slice(&more),
                Ok(None) => return Ok(bytes),
                Err(Broken::TooLong) if ranged => return Ok(bytes),
                Err(Broken::TooLong) => {
                    let trouble = Trouble::Connection("the answer is longer than it said".into());
                    return Err((self.failed_at(Operation::Get, key, &trouble), true));
                }
                Err(Broken::Cut(trouble)) => {
                    return Err((self.failed_at(Operation::Get, key, &trouble), true));
                }
            }
        }
    }

    pub(super) fn below(&self, key: &str) -> String {
        format!("{}{key}", self.location.prefix)
    }

    pub(super) fn failed_at(
        &self,
        operation: Operation,
        key: &str,
        trouble: &Trouble,
    ) -> SourceError {
        self.error(operation, &self.location.uri_of(key), trouble)
    }
}

/// Reads the server's clock from the head of an answer.
#[derive(Clone, Debug, Default)]
struct ServerClock(Arc<Mutex<Option<i64>>>);

impl ServerClock {
    fn time(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[dyn_dispatch_hint]
impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "ServerClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let time = date(context.response().headers());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time;
        Ok(())
    }
}

/// A HEAD's 404 has no body; another code of a 404 is of a bucket that is not there.
fn is_absent(answer: &super::explain::Answer) -> bool {
    answer.status == 404 && matches!(&*answer.code, "" | "NoSuchKey" | "NotFound")
}

pub(super) fn unquoted(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

fn unsigned(length: Option<i64>) -> u64 {
    length
        .and_then(|length| u64::try_from(length).ok())
        .unwrap_or(0)
}

fn millis(time: Option<&aws_sdk_s3::primitives::DateTime>) -> i64 {
    time.and_then(|time| time.to_millis().ok()).unwrap_or(0)
}
