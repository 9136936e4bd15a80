//! What the tests of `source` share: a source at a server, and a sink that keeps count.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use s3sync::source::{Fetched, Object, Options, Sink, Source, SourceError};

/// Small enough that objects of some kilobytes are fetched in parts.
pub(crate) const PART: u64 = 16 * 1024;

/// How long a body may stall here.
pub(crate) const STALL: Duration = Duration::from_millis(500);

pub(crate) const OPTIONS: Options = Options {
    part_size: PART,
    concurrency: 4,
    checksum_when_required: false,
};

pub(crate) fn config(endpoint: &str) -> SdkConfig {
    builder(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "test",
        )))
        .build()
}

/// Settings without credentials.
pub(crate) fn builder(endpoint: &str) -> aws_types::sdk_config::Builder {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::new(SystemTimeSource::new()))
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(3)
                .with_initial_backoff(Duration::from_millis(1)),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(2))
                .read_timeout(STALL)
                .operation_attempt_timeout(Duration::from_secs(1))
                .build(),
        )
}

pub(crate) fn source(endpoint: &str, location: &str) -> Source {
    source_with(endpoint, location, OPTIONS)
}

pub(crate) fn source_with(endpoint: &str, location: &str, options: Options) -> Source {
    Source::new(&config(endpoint), location.parse().unwrap(), true, options)
}

/// The one object of a listing with this key.
pub(crate) async fn object(source: &Source, key: &str) -> Object {
    let listing = source.list().await.unwrap();
    let found = listing.objects.iter().find(|object| &*object.key == key);
    found
        .unwrap_or_else(|| panic!("no {key} in {listing:?}"))
        .clone()
}

/// What became of the sinks of one fetch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) opened: AtomicUsize,
    pub(crate) finished: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
    pub(crate) written: AtomicUsize,
}

impl Tally {
    pub(crate) fn finished(&self) -> usize {
        self.finished.load(Ordering::SeqCst)
    }

    /// Sinks that are open now.
    pub(crate) fn open(&self) -> usize {
        self.opened.load(Ordering::SeqCst) - self.dropped.load(Ordering::SeqCst)
    }
}

/// What was fetched; too long to be printed.
#[derive(PartialEq, Eq)]
pub(crate) struct Content(pub(crate) Vec<u8>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl PartialEq<Vec<u8>> for Content {
    fn eq(&self, other: &Vec<u8>) -> bool {
        self.0 == *other
    }
}

/// Keeps the bytes, and fails where it is told to.
pub(crate) struct Memory {
    bytes: Vec<u8>,
    tally: Arc<Tally>,
    fails_after: Option<usize>,
}

impl Sink for Memory {
    type Done = Content;

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        self.tally.written.fetch_add(bytes.len(), Ordering::SeqCst);
        match self.fails_after {
            Some(most) if self.bytes.len() > most => {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> io::Result<Content> {
        self.tally.finished.fetch_add(1, Ordering::SeqCst);
        Ok(Content(std::mem::take(&mut self.bytes)))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.tally.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) fn opener(
    tally: &Arc<Tally>,
    fails_after: Option<usize>,
) -> impl FnMut() -> io::Result<Memory> + Send + 'static + use<> {
    let tally = Arc::clone(tally);
    move || {
        tally.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Memory {
            bytes: Vec::new(),
            tally: Arc::clone(&tally),
            fails_after,
        })
    }
}

/// Fetches, and checks what holds for every fetch: a sink is finished at success only, and none stays
/// open.
pub(crate) async fn fetch(
    source: &Source,
    object: &Object,
) -> Result<Fetched<Content>, SourceError> {
    let tally = Arc::new(Tally::default());
    let fetched = source.fetch(object, opener(&tally, None)).await;
    assert_eq!(
        tally.finished(),
        usize::from(fetched.is_ok()),
        "{fetched:?}"
    );
    until("the sinks are dropped", || tally.open() == 0).await;
    fetched
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Bytes that differ from place to place, the same for the same seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect()
}

/// Answers each request with the next of these bytes, the last one for ever, and keeps the requests'
/// heads. For answers that no real server gives.
pub(crate) struct Canned {
    pub(crate) endpoint: String,
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    pub(crate) async fn start(answers: Vec<String>) -> Self {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            let mut answers = answers.into_iter().peekable();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read_buf(&mut head).await {
                        Ok(0) | Err(_) => break,
                        Ok(_) => {}
                    }
                }
                kept.lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&head).into_owned());
                let answer = answers.next().unwrap();
                if answers.peek().is_none() {
                    answers = vec![answer.clone()].into_iter().peekable();
                }
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { endpoint, heads }
    }

    pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
            body.len()
        )
    }
}
