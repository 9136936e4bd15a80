//! What these tests share: a tree, a bucket, and the program between them.

use s3sync::release::{Pointer, ReleaseManifest, content_key, manifest_key};
use s3sync::revision::{Hash, hex, unhex};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use testkit::process::{Finished, Process, Program};
use testkit::s3::{Fault, Operation, Refusal, Rule, RuleId, Server};

/// Longer than anything here takes, on a machine that is busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const BUCKET: &str = "bucket";
pub(crate) const PLACE: &str = "s3://bucket/dags";
pub(crate) const POINTER: &str = "dags/.s3sync/current";
pub(crate) const PRUNING: &str = "dags/.s3sync/releases/pruning";

/// A directory of files.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let tree = Tree(tempfile::tempdir().expect("a temporary directory"));
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.path(path)).expect("the file to go");
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }
}

/// The program with these variables, and nobody's name unless one is given.
pub(crate) fn program(environment: Vec<(String, String)>, arguments: &[&str]) -> Program {
    Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .args(arguments.iter().copied())
        .envs(environment)
}

/// Runs it; it must end with `code`.
pub(crate) fn run(program: &Program, code: i32) -> Finished {
    let finished = program.run(DEADLINE);
    assert_eq!(
        finished.code, code,
        "{}{}",
        finished.stdout, finished.stderr
    );
    finished
}

pub(crate) fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", finished.stdout, finished.stderr))
}

/// A server in memory with a bucket.
pub(crate) struct Bench {
    pub(crate) s3: Server,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let s3 = Server::start_blocking();
        s3.create_bucket(BUCKET);
        Bench { s3 }
    }

    pub(crate) fn program(&self, arguments: &[&str]) -> Program {
        program(self.s3.environment(), arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str], code: i32) -> Finished {
        run(&self.program(arguments), code)
    }

    /// `publish --output json` of this tree under this name.
    pub(crate) fn publish(&self, tree: &Tree, name: &str, more: &[&str]) -> Value {
        json(&run(&self.publisher(tree, name, more), 0))
    }

    pub(crate) fn publisher(&self, tree: &Tree, name: &str, more: &[&str]) -> Program {
        self.program(&["publish"])
            .arg(tree.root())
            .args([PLACE, "--name", name, "--author", "ann", "--output", "json"])
            .args(more.iter().copied())
    }

    pub(crate) fn pointer(&self) -> Option<Pointer> {
        let bytes = self.s3.get(BUCKET, POINTER)?;
        Some(Pointer::parse(&bytes).expect("a pointer"))
    }

    /// The release that the pointer names now.
    pub(crate) fn current(&self) -> Hash {
        self.pointer().expect("something published").release
    }

    /// The files of a release, each with its bytes; what is wrong with it, if it is not whole.
    pub(crate) fn contents(&self, release: &Hash) -> Result<Vec<(String, Vec<u8>)>, String> {
        let get = |key: &str| {
            let bytes = self.s3.get(BUCKET, &format!("dags/{key}"));
            bytes.ok_or_else(|| format!("{key} is missing"))
        };
        let manifest = ReleaseManifest::parse(release, &get(&manifest_key(release))?)?;
        let file = |file: &s3sync::release::File| {
            use sha2::Digest as _;
            let bytes = get(&content_key(&file.sha256))?.to_vec();
            match Hash::from(sha2::Sha256::digest(&bytes)) == file.sha256 {
                true => Ok((file.path.to_string(), bytes)),
                false => Err(format!("{} has other bytes", file.path)),
            }
        };
        manifest.files.iter().map(file).collect()
    }

    /// The files of the current release.
    pub(crate) fn now(&self) -> Vec<(String, String)> {
        let contents = self.contents(&self.current()).expect("a whole release");
        let text = |(path, bytes)| (path, String::from_utf8(bytes).expect("text"));
        contents.into_iter().map(text).collect()
    }

    /// Starts a program, which stands still at its first request of this operation and part of a key.
    pub(crate) fn stopped_at(
        &self,
        operation: Operation,
        part: &'static str,
        program: Program,
    ) -> Process {
        let trap = self.at(Some(operation), part, 1, rustix::process::Signal::STOP);
        let process = program.spawn();
        trap.set(&process);
        trap.wait();
        process
    }

    /// Does something to the process whose ID is stored, at the moment a request arrives, before
    /// the server acts on it: the `nth`, from 1, that this operation and part of a key fit.
    pub(crate) fn at(
        &self,
        operation: Option<Operation>,
        part: &'static str,
        nth: u32,
        signal: rustix::process::Signal,
    ) -> Trap {
        let trap = Trap {
            process: Arc::default(),
            seen: Arc::default(),
            nth,
        };
        let (process, seen) = (Arc::clone(&trap.process), Arc::clone(&trap.seen));
        let rule = Rule::new(Refusal::internal_error()).matching(move |key| {
            if key.contains(part) && seen.fetch_add(1, Ordering::AcqRel) + 1 == nth {
                let id = loop {
                    match process.load(Ordering::Acquire) {
                        0 => std::thread::yield_now(),
                        id => break id,
                    }
                };
                let id = i32::try_from(id)
                    .ok()
                    .and_then(rustix::process::Pid::from_raw);
                // It may have ended by itself.
                let _ = rustix::process::kill_process(id.expect("a process"), signal);
            }
            false
        });
        self.s3.faults().add(match operation {
            Some(operation) => rule.on(operation),
            None => rule,
        });
        trap
    }

    /// Puts an object anew, as if it had been put so many days ago.
    pub(crate) fn age(&self, key: &str, days: u64) {
        let bytes = self.s3.get(BUCKET, key).expect("the object");
        let options = testkit::s3::PutOptions {
            last_modified: Some(std::time::SystemTime::now() - Duration::from_secs(days * 86_400)),
            ..testkit::s3::PutOptions::default()
        };
        self.s3.put_with(BUCKET, key, bytes, options);
    }

    /// Every object of releases, that is younger, becomes so many days old.
    pub(crate) fn age_all(&self, days: u64, but_for: &[String]) {
        for key in self.s3.objects(BUCKET).into_keys() {
            if key.starts_with("dags/.s3sync/releases/") && !but_for.contains(&key) {
                self.age(&key, days);
            }
        }
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.s3.objects(BUCKET).into_keys().collect()
    }

    pub(crate) fn fault(
        &self,
        fault: impl Into<Fault>,
        operation: Operation,
        glob: &str,
    ) -> RuleId {
        self.s3
            .faults()
            .add(Rule::new(fault).on(operation).glob(glob))
    }
}

/// See [`Bench::at`].
pub(crate) struct Trap {
    process: Arc<AtomicU32>,
    seen: Arc<AtomicU32>,
    nth: u32,
}

impl Trap {
    /// Whose process it is for.
    pub(crate) fn set(&self, process: &Process) {
        self.process.store(process.id(), Ordering::Release);
    }

    pub(crate) fn sprung(&self) -> bool {
        self.seen.load(Ordering::Acquire) >= self.nth
    }

    /// Waits until the request came.
    pub(crate) fn wait(&self) {
        testkit::until(DEADLINE, "the request to arrive", || self.sprung());
    }
}

/// The release in an answer.
pub(crate) fn release(answer: &Value) -> Hash {
    unhex(answer["release"].as_str().expect("a release")).expect("a hash")
}

pub(crate) fn text(release: &Hash) -> String {
    hex(release)
}
