//! A fast S3 in memory, over HTTP on 127.0.0.1, with faults on demand.
//!
//! It is a hyper service of its own and not a backend of a protocol crate: half of the faults
//! (a reset in mid-body, a Content-Length that lies, XML that stops) sit below what such a crate
//! lets a backend touch, and a listing here is one cached `Bytes`, because the server shares two
//! cores with the client that is being measured.

mod body;
pub mod checksum;
mod chunked;
mod connection;
mod encoding;
mod error;
mod fault;
mod listing;
mod log;
mod multipart;
mod object;
mod read;
mod route;
mod serve;
mod store;
mod uploads;
mod write;
mod xml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::sync::mpsc;

use connection::Command;
use serve::Shared;
use store::Store;

pub use checksum::{Algorithm, Checksum, ChecksumType};
pub use error::Refusal;
pub use fault::{Fault, Faults, Keys, Rule, RuleId, When};
pub use log::Request;
pub use object::{ChecksumChoice, PutOptions, Sse};
pub use route::Operation;

/// The access key that [`Server::environment`] gives.
pub const ACCESS_KEY: &str = "test";
/// The secret key that [`Server::environment`] gives.
pub const SECRET_KEY: &str = "test";

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// 0: any free one.
    pub port: u16,
    /// Where the buckets say that they are.
    pub region: String,
    /// Keep every version ever held, for [`Server::history`].
    pub history: bool,
    /// Keep a log of requests; the counters are always kept.
    pub log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            port: 0,
            region: "us-east-1".to_owned(),
            history: true,
            log: true,
        }
    }
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts on a free port. For tests that are async: the server has a thread of its own anyhow.
    ///
    /// # Panics
    /// When no socket can be bound, or no thread started.
    #[expect(clippy::unused_async, reason = "reads the same in async tests")]
    pub async fn start() -> Server {
        Server::start_blocking()
    }

    /// Starts on a free port.
    ///
    /// # Panics
    /// When no socket can be bound, or no thread started.
    pub fn start_blocking() -> Server {
        match Server::start_with(Options::default()) {
            Ok(server) => server,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// Starts as the options say.
    ///
    /// # Errors
    /// When the port cannot be bound, or no thread started.
    pub fn start_with(options: Options) -> anyhow::Result<Server> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", options.port))
            .with_context(|| format!("port {} cannot be bound on 127.0.0.1", options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            store: Mutex::new(Store {
                keep_history: options.history,
                ..Store::default()
            }),
            faults: Faults::default(),
            log: Mutex::new(log::Log::new(options.log)),
            delays: [const { AtomicU64::new(0) }; Operation::COUNT],
            access_key: Mutex::new(None),
            region: options.region,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("s3-server".to_owned())
                .spawn(move || {
                    runtime.block_on(async move {
                        match tokio::net::TcpListener::from_std(listener) {
                            Ok(listener) => {
                                connection::run(shared, listener, address, receiver).await
                            }
                            Err(error) => panic!("the socket cannot be used: {error}"),
                        }
                    });
                })?
        };
        Ok(Server {
            shared,
            address,
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client's environment needs to find it, and nothing else of the machine's.
    pub fn environment(&self) -> Vec<(String, String)> {
        client_environment(&self.endpoint(), &self.shared.region)
    }

    /// Makes an empty bucket, if it is not there. The other calls here make theirs by themselves.
    pub fn create_bucket(&self, bucket: &str) {
        self.shared.store().bucket(bucket);
    }

    /// Takes a bucket away with all that is in it, its history too.
    pub fn delete_bucket(&self, bucket: &str) {
        self.shared.store().buckets.remove(bucket);
    }

    /// Puts an object as a plain upload does; returns its ETag, without quotes.
    pub fn put(&self, bucket: &str, key: &str, data: impl Into<Bytes>) -> String {
        self.put_with(bucket, key, data, PutOptions::default())
    }

    /// Puts an object in a way of its own; returns its ETag, without quotes.
    pub fn put_with(
        &self,
        bucket: &str,
        key: &str,
        data: impl Into<Bytes>,
        options: PutOptions,
    ) -> String {
        self.shared
            .store()
            .put(bucket, key, data.into(), options)
            .etag
            .clone()
    }

    /// Puts many objects at one instant: no listing sees some of them only.
    pub fn put_all<K: AsRef<str>, D: Into<Bytes>>(
        &self,
        bucket: &str,
        objects: impl IntoIterator<Item = (K, D)>,
    ) {
        let mut store = self.shared.store();
        for (key, data) in objects {
            store.put(bucket, key.as_ref(), data.into(), PutOptions::default());
        }
    }

    /// Deletes an object; says whether it was there.
    pub fn delete(&self, bucket: &str, key: &str) -> bool {
        self.shared.store().bucket(bucket).remove(key).is_some()
    }

    /// Deletes every object whose key begins so; says how many.
    pub fn delete_prefix(&self, bucket: &str, prefix: &str) -> usize {
        let mut store = self.shared.store();
        let bucket = store.bucket(bucket);
        let keys: Vec<Arc<str>> = bucket
            .objects
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect();
        keys.iter()
            .filter(|key| bucket.remove(key).is_some())
            .count()
    }

    /// The bytes of an object.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Bytes> {
        let mut store = self.shared.store();
        store
            .bucket(bucket)
            .objects
            .get(key)
            .map(|object| object.data.clone())
    }

    /// The ETag of an object, without quotes.
    pub fn etag(&self, bucket: &str, key: &str) -> Option<String> {
        let mut store = self.shared.store();
        store
            .bucket(bucket)
            .objects
            .get(key)
            .map(|object| object.etag.clone())
    }

    /// All keys of a bucket, and their bytes.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Bytes> {
        let mut store = self.shared.store();
        let objects = store.bucket(bucket).objects.iter();
        objects
            .map(|(key, object)| (key.to_string(), object.data.clone()))
            .collect()
    }

    /// Every version that the key ever had, the oldest first; deletes leave no mark.
    pub fn history(&self, bucket: &str, key: &str) -> Vec<Bytes> {
        self.shared.store().bucket(bucket).history(key)
    }

    /// The rules for what goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Each answer to this operation waits so long first.
    pub fn delay(&self, operation: Operation, delay: Duration) {
        let microseconds = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.shared.delays[operation as usize].store(microseconds, Ordering::Relaxed);
    }

    /// Lets in requests of this access key alone (`None`: all, signed or not).
    pub fn only_access_key(&self, key: Option<&str>) {
        *self
            .shared
            .access_key
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = key.map(str::to_owned);
    }

    /// The requests since the start or the last reset, in the order of their answers.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log().requests.clone()
    }

    /// How many requests there were of this operation since the start or the last reset.
    pub fn count(&self, operation: Operation) -> u64 {
        self.shared.log().counts[operation as usize]
    }

    /// The numbers of all operations that were asked for.
    pub fn counts(&self) -> BTreeMap<Operation, u64> {
        let log = self.shared.log();
        Operation::ALL
            .into_iter()
            .map(|operation| (operation, log.counts[operation as usize]))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Forgets requests and counters.
    pub fn reset_requests(&self) {
        self.shared.log().reset();
    }

    /// Stops listening and ends every connection: the endpoint is unreachable.
    ///
    /// # Panics
    /// When the server's thread is gone.
    pub fn go_down(&self) {
        self.command(Command::Down);
    }

    /// Listens again on the same port.
    ///
    /// # Panics
    /// When the port is taken, or the server's thread gone.
    pub fn come_back(&self) {
        self.command(Command::Up);
    }

    fn command(
        &self,
        command: impl FnOnce(std::sync::mpsc::Sender<std::io::Result<()>>) -> Command,
    ) {
        let (sender, receiver) = std::sync::mpsc::channel();
        let sent = self
            .commands
            .as_ref()
            .is_some_and(|commands| commands.send(command(sender)).is_ok());
        match receiver.recv_timeout(Duration::from_secs(10)) {
            Ok(Ok(())) if sent => {}
            answer => panic!("the server at {} does not obey: {answer:?}", self.address),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Everything an AWS client reads from its environment, so that nothing of the machine's own
/// configuration gets in.
pub(crate) fn client_environment(endpoint: &str, region: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}
