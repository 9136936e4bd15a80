//! `watch` beside a real Redis, and what it says of itself.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::process::{Process, Program, Signal};
use testkit::redis::Redis;

pub const LONG: Duration = Duration::from_secs(60);

/// A running `watch`, which samples every second.
pub struct Watch {
    pub process: Process,
    directory: tempfile::TempDir,
}

impl Watch {
    pub fn start(url: &str, args: &[&str], variables: &[(String, String)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let status = directory.path().join("status.json");
        let process = Program::new(env!("CARGO_BIN_EXE_queue-metrics"))
            .args(["watch", "--interval", "1s", "--environment", "test"])
            .args(["--service", "workers"])
            .args(args)
            .env("QUEUE_METRICS_BROKER_URL", url)
            .env("QUEUE_METRICS_STATUS_FILE", status)
            .envs(variables.iter().cloned())
            .directory(Path::new("/"))
            .spawn();
        Self { process, directory }
    }

    /// The status file, once it is there.
    pub fn status(&self) -> Value {
        testkit::until_some(LONG, "a status", || self.glance())
    }

    /// The status file as it is now, for who may not wait.
    pub fn glance(&self) -> Option<Value> {
        let path = self.directory.path().join("status.json");
        serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
    }

    /// Waits until the status fits, and returns it.
    pub fn until(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            testkit::until_some(LONG, what, || Some(self.status()).filter(&fits))
        }));
        match found {
            Ok(status) => status,
            Err(_) => panic!("{what}: {}\n{}", self.status(), self.process.stderr()),
        }
    }

    pub fn until_watching(&self) -> Value {
        self.until("it to watch", |status| status["phase"] == "watching")
    }

    /// Everything logged under this name.
    pub fn events(&self, name: &str) -> Vec<Value> {
        let lines = self.process.stderr();
        let lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.filter(|line: &Value| line["event"] == name).collect()
    }

    pub fn until_event(&self, name: &str) -> Value {
        testkit::until_some(LONG, name, || self.events(name).into_iter().next())
    }

    /// The lines on stdout that have this metric.
    pub fn emf(&self, metric: &str) -> Vec<Value> {
        let lines = self.process.stdout();
        let lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &Value| !line[metric].is_null())
            .collect()
    }

    /// Asks it to stop, and returns its exit code.
    pub fn stop(mut self) -> i32 {
        self.process.signal(Signal::TERM);
        self.process.exit_code(LONG)
    }
}

/// A message as kombu writes it, as far as anybody looks.
pub fn put(redis: &Redis, list: &str, tag: &str) {
    let message = format!(r#"{{"body": "", "properties": {{"delivery_tag": "{tag}"}}}}"#);
    redis.command(&["LPUSH", list, &message]);
}

/// A message that a worker took from a queue.
pub fn take(redis: &Redis, queue: &str, tag: &str) {
    redis.command(&["ZADD", "unacked_index", "1", tag]);
    let entry = format!(r#"[{{"body": ""}}, "", "{queue}"]"#);
    redis.command(&["HSET", "unacked", tag, &entry]);
}

/// A worker's heartbeat.
pub fn beat(redis: &Redis, worker: &str, active: u32) {
    let body =
        serde_json::json!({"type": "worker-heartbeat", "hostname": worker, "active": active});
    let published = serde_json::json!({"body": body.to_string()}).to_string();
    redis.command(&["PUBLISH", "/0.celeryev/worker.heartbeat", &published]);
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub fn group(status: &Value) -> &Value {
    &status["detail"]["groups"]["workers"]
}

/// Passes connections on, and can let those that listen to workers fall silent: nothing is lost, cut or
/// answered any more, as when a firewall forgets a connection.
pub struct Silencer {
    port: u16,
    silent: Arc<AtomicBool>,
}

impl Silencer {
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let silent = Arc::new(AtomicBool::new(false));
        let silenced = Arc::clone(&silent);
        std::thread::spawn(move || {
            while let Ok((here, _)) = listener.accept() {
                let there = TcpStream::connect(("127.0.0.1", target)).unwrap();
                let listens = Arc::new(AtomicBool::new(false));
                let ways = [(&here, &there), (&there, &here)];
                for (from, to) in ways.map(|(from, to)| (from.try_clone(), to.try_clone())) {
                    let (from, to) = (from.unwrap(), to.unwrap());
                    let (listens, silenced) = (Arc::clone(&listens), Arc::clone(&silenced));
                    std::thread::spawn(move || pass(from, to, &listens, &silenced));
                }
            }
        });
        Self { port, silent }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// From now on for the connections that listen at this moment.
    pub fn silence(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, listens: &AtomicBool, silenced: &AtomicBool) {
    let mut bytes = [0; 4096];
    let mut silent = false;
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let subscribes = bytes[..count].windows(9).any(|word| word == b"SUBSCRIBE");
        // A line that begins to listen after the silence began is another, which works.
        if subscribes && !silenced.load(Ordering::SeqCst) {
            listens.store(true, Ordering::SeqCst);
        }
        silent |= listens.load(Ordering::SeqCst) && silenced.load(Ordering::SeqCst);
        if !silent && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
