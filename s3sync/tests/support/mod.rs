//! What the tests of the program share: a server, a DEST, and the program run against both.

#![allow(dead_code, reason = "each test file uses its own part of it")]

pub(crate) mod kills;

pub(crate) mod releases;

pub(crate) mod trace;

pub(crate) mod watcher;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::fs::Picture;
use testkit::process::{Finished, Process, Program};
use testkit::s3::Server;

/// Longer than anything here takes, on a machine that is busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The bucket of every bench; its prefix is `dags`.
pub(crate) const BUCKET: &str = "bucket";

/// A server, a directory beside DEST for a test's own use, and DEST.
pub(crate) struct Bench {
    pub(crate) s3: Server,
    pub(crate) outside: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let s3 = Server::start_blocking();
        s3.create_bucket(BUCKET);
        let outside = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(outside.path().join("dest")).expect("DEST");
        Bench { s3, outside }
    }

    /// With these objects below the prefix.
    pub(crate) fn with(objects: &[(&str, &str)]) -> Self {
        let bench = Bench::new();
        for (path, text) in objects {
            bench.put(path, *text);
        }
        bench
    }

    /// Puts an object below the prefix.
    pub(crate) fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.s3.put(BUCKET, &key(path), bytes.into())
    }

    pub(crate) fn delete(&self, path: &str) {
        assert!(self.s3.delete(BUCKET, &key(path)), "there is no {path}");
    }

    pub(crate) fn dest(&self) -> PathBuf {
        self.outside.path().join("dest")
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dest().join(path)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dest().join(".s3sync")
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// What readers see in DEST.
    pub(crate) fn picture(&self) -> Picture {
        Picture::of(self.dest()).without(".s3sync")
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.picture().files()
    }

    /// What the prefix holds.
    pub(crate) fn wanted(&self) -> BTreeMap<String, Vec<u8>> {
        let objects = self.s3.objects(BUCKET).into_iter();
        objects
            .filter_map(|(name, bytes)| {
                Some((name.strip_prefix("dags/")?.to_string(), bytes.to_vec()))
            })
            .filter(|(path, _)| !path.starts_with(".s3sync/"))
            .collect()
    }

    /// A command with source, DEST and an environment; `arguments` come after.
    pub(crate) fn program(&self, command: &str, arguments: &[&str]) -> Program {
        let program = Program::new(env!("CARGO_BIN_EXE_s3sync"))
            .args([command, "s3://bucket/dags"])
            .arg(self.dest())
            .args(arguments.iter().copied())
            .envs(self.s3.environment());
        match command {
            "once" | "watch" => program.env("S3SYNC_STATUS_FILE", self.status_file()),
            _ => program,
        }
        .env("S3SYNC_METRICS", "none")
    }

    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> Finished {
        self.program(command, arguments).run(DEADLINE)
    }

    /// `once --output json`, which must end with `code`; its report.
    pub(crate) fn once(&self, code: i32, arguments: &[&str]) -> Report {
        let arguments = [arguments, &["--output", "json"]].concat();
        report(&self.run("once", &arguments), code)
    }

    /// `watch` with an interval of 200 ms and a settle of 100 ms.
    pub(crate) fn watch(&self, arguments: &[&str]) -> Process {
        let program = self.program("watch", arguments);
        program
            .env("S3SYNC_INTERVAL", "200ms")
            .env("S3SYNC_SETTLE", "100ms")
            .spawn()
    }

    /// `watch`, once its first pass is complete.
    pub(crate) fn watch_settled(&self, arguments: &[&str]) -> Process {
        let process = self.watch(arguments);
        self.until_healthy();
        process
    }

    pub(crate) fn status_file(&self) -> PathBuf {
        self.outside.path().join("status.json")
    }

    /// The status file's content; null while there is none.
    pub(crate) fn status(&self) -> serde_json::Value {
        let text = std::fs::read_to_string(self.status_file()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) fn until_healthy(&self) {
        testkit::until(DEADLINE, "a healthy status", || {
            self.status()["healthy"] == true
        });
    }

    /// Waits until DEST holds the prefix's files and nothing else.
    pub(crate) fn until_equal(&self) {
        testkit::until(DEADLINE, "DEST to be equal to S3", || {
            self.files() == self.wanted()
        });
    }

    /// Waits until DEST holds the prefix's files but for so many.
    pub(crate) fn until_equal_but_for_rejected(&self, count: usize) {
        testkit::until(DEADLINE, "DEST to hold what can be kept", || {
            self.files().len() + count == self.wanted().len()
        });
    }

    /// Waits until so many more listings were answered: what is in flight now is then over.
    pub(crate) fn after_listings(&self, count: u64) {
        let before = self.s3.count(testkit::s3::Operation::List);
        testkit::until(DEADLINE, "more listings", || {
            self.s3.count(testkit::s3::Operation::List) >= before + count
        });
    }
}

/// The key of a path.
pub(crate) fn key(path: &str) -> String {
    format!("dags/{path}")
}

/// The answer of `once --output json`.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Report {
    pub(crate) revision: String,
    pub(crate) listed: u64,
    pub(crate) added: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    pub(crate) unchanged: u64,
    pub(crate) repaired: u64,
    pub(crate) held_deletes: u64,
    pub(crate) rejected: Vec<Named>,
    pub(crate) failed: Vec<Named>,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}

/// A key and why.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Named {
    pub(crate) key: String,
    pub(crate) reason: String,
}

/// Reads a report.
pub(crate) fn report(finished: &Finished, code: i32) -> Report {
    assert_eq!(
        finished.code, code,
        "{}{}",
        finished.stdout, finished.stderr
    );
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", finished.stdout))
}

/// The metadata that "untouched" is about.
pub(crate) fn identity(path: impl AsRef<Path>) -> (u64, i64, i64, i64, i64) {
    use std::os::unix::fs::MetadataExt;
    let data = std::fs::symlink_metadata(path).expect("a file");
    (
        data.ino(),
        data.mtime(),
        data.mtime_nsec(),
        data.ctime(),
        data.ctime_nsec(),
    )
}

/// The names of the metrics: the constants of `src/metrics.rs`.
pub(crate) fn metric_names() -> Vec<String> {
    let constants = include_str!("../../src/metrics.rs")
        .lines()
        .filter(|line| line.starts_with("pub const "));
    let names: Vec<String> = constants
        .filter_map(|line| Some(line.split('"').nth(1)?.to_string()))
        .collect();
    assert!(names.len() >= 8, "{names:?}");
    names
}
