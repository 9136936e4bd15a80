//! A real Redis, a real Celery, and `once`.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use std::path::Path;
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
"#;

/// An application of Celery whose tasks run until the file `gate` is there.
pub struct Celery<'a> {
    pub redis: &'a Redis,
    pub directory: tempfile::TempDir,
    conf: String,
}

impl<'a> Celery<'a> {
    pub fn new(redis: &'a Redis, conf: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("app.py"), APP).unwrap();
        let conf = conf.to_owned();
        Self {
            redis,
            directory,
            conf,
        }
    }

    fn program(&self, name: &str) -> Program {
        let bin = Airflow::of(Release::V3_1).bin();
        Program::new(bin.join(name))
            .directory(self.directory.path())
            .env("BROKER", self.redis.url())
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

    /// A worker, which is ready.
    pub fn worker(&self, concurrency: u32) -> Process {
        let concurrency = concurrency.to_string();
        let worker = self
            .program("celery")
            .args(["-A", "app", "worker", "-P", "threads", "-l", "INFO"])
            .args(["-n", "w@%h", "--without-gossip", "--without-mingle"])
            .args(["-O", "fair", "-c", concurrency.as_str()])
            .spawn();
        worker.wait_for(|line| line.contains("ready."), LONG);
        worker
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
