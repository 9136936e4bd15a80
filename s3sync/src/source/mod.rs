//! Everything that talks to S3: listing a prefix, fetching objects with proof that the bytes are
//! S3's, and errors that name their cause and their fix.
//!
//! Nothing here decides what is synced or where it lands: a [`Listing`] is complete or an error,
//! and a [`Fetched`] was verified or is an error.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod checksum;
mod claim;
mod client;
mod error;
mod explain;
mod fetch;
mod get;
mod hash;
mod list;
mod location;
mod page;
mod parts;
mod put;
mod store;
mod trouble;
mod url_encoding;
mod whole;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use tokio::sync::Semaphore;

pub use checksum::{Checksum, Mismatch, Proof, Verifier};
pub use error::{Kind, SourceError};
pub use location::Location;
pub use put::{Condition, PutResult};
pub use store::{Got, Small, Stored, StoredList};

use crate::release::{CONTENT_ETAG, File};
use crate::revision::{Hash, hex, unhex};
use client::client;
use explain::{Operation, Request, Trouble};

/// How long a body may send nothing when the settings have no read timeout.
const STALL: Duration = Duration::from_secs(20);

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The key below the prefix, decoded.
    pub key: Box<str>,
    /// The entity tag without its quotes: an opaque name of this content.
    pub etag: Box<str>,
    /// Bytes.
    pub size: u64,
    /// S3's LastModified, in milliseconds since the epoch.
    pub modified: i64,
    /// In GLACIER or DEEP_ARCHIVE and not restored: a GET would be refused.
    pub archived: bool,
}

impl Object {
    /// A file of a release: its ETag names the content, and stands for no object of its own.
    pub fn of_release(file: File) -> Self {
        Object {
            key: file.path,
            etag: format!("{CONTENT_ETAG}{}", hex(&file.sha256)).into(),
            size: file.size,
            modified: 0,
            archived: false,
        }
    }

    /// The SHA-256 of a file of a release; none of an object that lies in the prefix.
    pub fn content(&self) -> Option<Hash> {
        unhex(self.etag.strip_prefix(CONTENT_ETAG)?)
    }
}

/// A request to release a held set of deletes: an object `.s3sync/approve/ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The ID of the held set.
    pub id: String,
    /// When it was put, in milliseconds since the epoch by S3's clock.
    pub modified: i64,
}

/// The release that a listing is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// SHA-256 of its manifest.
    pub id: Hash,
    /// What a person called it.
    pub name: Option<String>,
}

/// A complete listing of a prefix: every page was read, or there is no listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Sorted by the bytes of the key, without anything below `.s3sync/`.
    pub objects: Vec<Object>,
    /// Keys that are no UTF-8: a readable form, and the reason.
    pub undecodable: Vec<(String, String)>,
    /// What lies below `.s3sync/approve/`.
    pub approvals: Vec<Approval>,
    /// LIST requests that this took, without the SDK's retries.
    pub pages: u32,
    /// The server's clock at the last page, in milliseconds since the epoch.
    pub server_time: Option<i64>,
    /// There is a pointer to a release: the listing ended where it was met, and holds no object.
    pub pointer: bool,
    /// The release that the objects are of; none where they lie in the prefix as files.
    pub release: Option<Release>,
}

/// Where the bytes of an object go. Called on blocking threads only, in order.
pub trait Sink: Send + 'static {
    /// What a finished sink leaves behind.
    type Done: Send + 'static;

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What the destination says; the fetch ends with [`Kind::Destination`].
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Called once, after the last byte was verified.
    ///
    /// # Errors
    /// What the destination says; the fetch ends with [`Kind::Destination`].
    fn finish(self) -> io::Result<Self::Done>;
}

/// A fetched object.
#[derive(Debug)]
pub struct Fetched<D> {
    /// What the sink made of it.
    pub done: D,
    /// How it is known that the bytes are S3's.
    pub proof: Proof,
}

/// How a [`Source`] reads.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Larger objects are fetched in parts of this many bytes.
    pub part_size: u64,
    /// GETs of objects and parts at once; memory is bounded by this times `part_size`.
    pub concurrency: usize,
    /// Ask for no stored checksums: some stores answer the header with an error.
    pub checksum_when_required: bool,
}

/// A prefix of a bucket, and the client to read it with. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Source {
    client: Client,
    location: Arc<Location>,
    options: Options,
    region: Option<Arc<str>>,
    endpoint: Option<Arc<str>>,
    /// How long a body may send nothing.
    stall: Duration,
    /// One permit is one GET whose bytes may be in memory, over all files.
    permits: Arc<Semaphore>,
}

impl Source {
    /// A client for `location` from the shared AWS settings. No request is made. Its read timeout
    /// (20 s when unset) is also how long a body may send nothing.
    pub fn new(config: &SdkConfig, location: Location, path_style: bool, options: Options) -> Self {
        let stall = config
            .timeout_config()
            .and_then(|timeouts| timeouts.read_timeout());
        Self {
            client: client(config, path_style, options),
            location: Arc::new(location),
            options,
            region: config.region().map(|region| region.as_ref().into()),
            endpoint: config.endpoint_url().map(Into::into),
            stall: stall.unwrap_or(STALL),
            permits: Arc::new(Semaphore::new(options.concurrency.max(1))),
        }
    }

    /// What is read.
    pub fn location(&self) -> &Location {
        &self.location
    }

    fn error(&self, operation: Operation, uri: &str, trouble: &Trouble) -> SourceError {
        let request = Request {
            operation,
            uri,
            bucket: &self.location.bucket,
            prefix: &self.location.prefix,
            region: self.region.as_deref(),
            endpoint: self.endpoint.as_deref(),
        };
        explain::explain(&request, trouble)
    }
}
