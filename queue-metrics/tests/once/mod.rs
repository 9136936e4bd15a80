//! A real Redis, a real Celery, and `once`.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use testkit::airflow::{Airflow, Release};
use testkit::process::{Finished, Process, Program};
use testkit::redis::Redis;

pub const LONG: Duration = Duration::from_secs(60);

const APP: &str = r#"
import json, os, time
from celery import Celery
app = Celery("app", broker=os.environ["BROKER"])
app.conf.update(json.loads(os.environ["CONF"]), task_default_queue="default", result_backend=None)
@app.task(name="nap")
def nap(gate):
    while not os.path.exists(gate):
        time.sleep(0.05)
@app.task(name="run")
def run(queued, seconds):
    with open("waits", "a") as waits:
        waits.write(f"{time.time() - queued}\n")
    time.sleep(seconds)
"#;

/// An application of Celery whose tasks run until the file `gate` is there.
pub struct Celery {
    url: String,
    pub directory: tempfile::TempDir,
    conf: String,
}

impl Celery {
    pub fn new(redis: &Redis, conf: &str) -> Self {
        Self::at(&redis.url(), conf)
    }

    /// At a broker's URL as Celery has it.
    pub fn at(url: &str, conf: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("app.py"), APP).unwrap();
        Self {
            url: url.to_owned(),
            directory,
            conf: conf.to_owned(),
        }
    }

    fn program(&self, name: &str) -> Program {
        let bin = Airflow::of(Release::V3_1).bin();
        Program::new(bin.join(name))
            .directory(self.directory.path())
            .env("BROKER", &self.url)
            .env("CONF", &self.conf)
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.directory.path())
    }

    pub fn gate(&self) -> std::path::PathBuf {
        self.directory.path().join("gate")
    }

    /// Puts messages: (queue, priority, count).
    pub fn put(&self, messages: &[(&str, u8, u32)]) {
        let script = "import sys, json\nfrom app import app, nap\nfor q, p, n in json.loads(sys.argv[1]):\n    for _ in range(n): nap.apply_async([sys.argv[2]], queue=q, priority=p)";
        let messages = serde_json::to_string(messages).unwrap();
        let gate = self.gate().display().to_string();
        let done = self
            .program("python")
            .args(["-c", script, messages.as_str(), gate.as_str()])
            .run(LONG);
        assert_eq!(done.code, 0, "{}", done.stderr);
    }

    /// Puts tasks that run for so many seconds: (second of the wall clock, count). Ends when all are there.
    pub fn put_at(&self, waves: &[(f64, u32)], seconds: f64) -> Process {
        let script = "import sys, json, time\nfrom app import app, run\nfor at, n in json.loads(sys.argv[1]):\n    time.sleep(max(0, at - time.time()))\n    for _ in range(n): run.apply_async([time.time(), float(sys.argv[2])], queue='default')";
        let waves = serde_json::to_string(waves).unwrap();
        self.program("python")
            .args(["-c", script, waves.as_str(), &seconds.to_string()])
            .spawn()
    }

    /// A worker, which is ready.
    pub fn worker(&self, concurrency: u32) -> Process {
        let worker = self.worker_of("w@%h", "default", concurrency);
        worker.wait_for(|line| line.contains("ready."), LONG);
        worker
    }

    /// A worker by its name and its queue, which comes up.
    pub fn worker_of(&self, name: &str, queue: &str, concurrency: u32) -> Process {
        let concurrency = concurrency.to_string();
        self.program("celery")
            .args(["-A", "app", "worker", "-P", "threads", "-l", "INFO"])
            .args(["-n", name, "-Q", queue])
            .args(["--without-gossip", "--without-mingle"])
            .args(["-O", "fair", "-c", concurrency.as_str()])
            .spawn()
    }
}

pub fn once(url: &str, args: &[&str], variables: &[(&str, &str)]) -> Finished {
    let mut program = Program::new(env!("CARGO_BIN_EXE_queue-metrics"))
        .args(["once", "--observe", "3s", "--output", "json"])
        .args(args)
        .env("QUEUE_METRICS_BROKER_URL", url)
        .directory(Path::new("/"));
    for (name, value) in variables {
        program = program.env(*name, *value);
    }
    program.run(LONG)
}

pub fn answer(url: &str, args: &[&str], variables: &[(&str, &str)]) -> Value {
    let done = once(url, args, variables);
    assert_eq!(done.code, 0, "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

/// The numbers of an answer.
pub fn numbers<const N: usize>(seen: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| seen[name].as_u64().unwrap())
}

/// A number that a server answers in one of its databases.
pub fn number(redis: &Redis, database: u8, command: [&str; 2]) -> i64 {
    let script = "redis.call('SELECT', ARGV[1]) return redis.call(ARGV[2], ARGV[3])";
    let database = database.to_string();
    let words = ["EVAL", script, "0", &database, command[0], command[1]];
    match redis.command(&words) {
        testkit::redis::Value::Int(number) => number,
        other => panic!("{command:?}: {other:?}"),
    }
}

/// A wire before a server that counts the turns to ask.
pub struct Turns {
    port: u16,
    count: Arc<AtomicUsize>,
}

impl Turns {
    /// For one connection.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        std::thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let server = TcpStream::connect(("127.0.0.1", target)).unwrap();
            let asking = Arc::new(AtomicBool::new(false));
            let both = [client.try_clone().unwrap(), server.try_clone().unwrap()];
            let answers = Arc::clone(&asking);
            std::thread::spawn(move || {
                let [client, server] = both;
                pass(server, client, || answers.store(false, Ordering::SeqCst));
            });
            pass(client, server, || {
                if !asking.swap(true, Ordering::SeqCst) {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            });
        });
        Self { port, count }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut notice: impl FnMut()) {
    let mut buffer = [0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        notice();
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
