//! A source that keeps changing while it is read, and what must hold of DEST at every instant.

#![allow(dead_code, reason = "each test file uses its own part of it")]

pub(crate) mod faults;

use crate::support::{BUCKET, Bench, key, kills};
use bytes::Bytes;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::s3::{ChecksumChoice, ChecksumType, PutOptions};

/// Deletes are not held for their number, which adds up over a test's many; an empty listing's are.
/// Parts are small, so that some objects have several.
pub(crate) const ARGUMENTS: &[&str] = &["--max-delete", "1000000", "--part-size", "1MiB"];

/// Keys that are edited and never deleted: once published, they are always there.
const STAYING: usize = 20;
const SHORTEST: usize = 64;

/// The seed of this run: fixed, or `TRIMTAB_SEED` to have another's again.
pub(crate) fn seed() -> u64 {
    let seed = number("TRIMTAB_SEED", 20_260_301);
    println!("TRIMTAB_SEED={seed}");
    seed
}

/// A number from the environment, or without one this.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    kills::number(variable).unwrap_or(default)
}

/// Changes a source, one small upload at a time.
pub(crate) struct Churn {
    random: Rng,
    /// In each body once, so that no two versions are alike by chance.
    serial: u64,
    /// Shared by all versions: thousands of uploads of megabytes would not fit into memory.
    large: Vec<Bytes>,
}

impl Churn {
    /// Fills an empty source.
    pub(crate) fn begin(bench: &Bench, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let sizes = [1_300_000, 2_097_152, 2_500_000, 2_500_000, 1_048_577];
        let large =
            sizes.map(|size| Bytes::from_iter(std::iter::repeat_with(|| random.u8(..)).take(size)));
        let mut churn = Churn {
            random,
            serial: 0,
            large: large.into(),
        };
        for file in 0..STAYING {
            churn.put(bench, &staying(file), file % 2 == 0);
        }
        for file in 0..30 {
            churn.put(bench, &loose(file), false);
        }
        churn.upload_set(bench);
        (0..3).for_each(|file| churn.upload_large(bench, file));
        churn
    }

    /// Changes something.
    pub(crate) fn step(&mut self, bench: &Bench) {
        let file = self.random.usize(0..40);
        match self.random.u8(0..100) {
            0..25 => self.put(bench, &staying(file % STAYING), file.is_multiple_of(2)),
            25..40 => self.upload_set(bench),
            40..55 => self.put(bench, &loose(file), false),
            55..70 => self.delete(bench, &loose(file)),
            70..85 => self.swap(bench, file % 5),
            85..88 => self.upload_large(bench, file % 3),
            88..92 => self.rename(bench, file),
            92..96 => drop(bench.put(&loose(file), "")),
            _ => self.upload_again(bench, &staying(file % STAYING)),
        }
    }

    fn body(&mut self, path: &str, same_size: bool) -> Vec<u8> {
        self.serial += 1;
        let length = if same_size {
            SHORTEST
        } else {
            self.random.usize(SHORTEST..4_000)
        };
        let mut body = format!("# {} {path}\n", self.serial).into_bytes();
        body.resize(length, b'.');
        body
    }

    fn put(&mut self, bench: &Bench, path: &str, same_size: bool) {
        let body = self.body(path, same_size);
        bench.put(path, body);
    }

    fn delete(&self, bench: &Bench, path: &str) {
        bench.s3.delete(BUCKET, &key(path));
    }

    /// Files that belong together, at one instant.
    fn upload_set(&mut self, bench: &Bench) {
        let paths: Vec<String> = (0..10).map(|file| format!("set/part{file}.py")).collect();
        let objects: Vec<_> = paths
            .iter()
            .map(|path| (key(path), self.body("set", file_is_even(path))))
            .collect();
        bench.s3.put_all(BUCKET, objects);
    }

    /// A file becomes a directory of the same name, or a directory a file.
    fn swap(&mut self, bench: &Bench, file: usize) {
        let name = format!("swap/s{file}");
        let inner = [format!("{name}/inner.py"), format!("{name}/deep/query.sql")];
        if bench.s3.delete(BUCKET, &key(&name)) {
            inner.iter().for_each(|path| self.put(bench, path, false));
        } else {
            inner.iter().for_each(|path| self.delete(bench, path));
            self.put(bench, &name, false);
        }
    }

    /// Megabytes, in one piece or as a multipart upload, with every kind of proof that needs no trust.
    fn upload_large(&mut self, bench: &Bench, file: usize) {
        let data = self.large[self.random.usize(0..self.large.len())].clone();
        let in_parts = Some(vec![1 << 20]);
        let options = match self.random.u8(0..4) {
            0 => PutOptions::default(),
            1 => PutOptions {
                parts: in_parts,
                ..PutOptions::default()
            },
            2 => PutOptions {
                parts: in_parts,
                checksum: ChecksumChoice::None,
                ..PutOptions::default()
            },
            _ => PutOptions {
                parts: in_parts,
                checksum: ChecksumChoice::Sha256,
                checksum_type: Some(ChecksumType::Composite),
                ..PutOptions::default()
            },
        };
        bench
            .s3
            .put_with(BUCKET, &key(&format!("large/l{file}.zip")), data, options);
    }

    fn rename(&mut self, bench: &Bench, file: usize) {
        let (from, to) = (key(&loose(file)), key(&loose((file + 1) % 40)));
        if let Some(data) = bench.s3.get(BUCKET, &from) {
            bench.s3.put(BUCKET, &to, data);
            bench.s3.delete(BUCKET, &from);
        }
    }

    fn upload_again(&mut self, bench: &Bench, path: &str) {
        if let Some(data) = bench.s3.get(BUCKET, &key(path)) {
            bench.s3.put(BUCKET, &key(path), data);
        }
    }
}

fn staying(file: usize) -> String {
    format!("staying/f{file:02}.py")
}

fn loose(file: usize) -> String {
    format!("loose/d{}/f{file:02}.py", file % 4)
}

fn file_is_even(path: &str) -> bool {
    path.bytes()
        .rev()
        .find(u8::is_ascii_digit)
        .is_some_and(|digit| digit % 2 == 0)
}

/// Runs `act` while the source changes: some uploads close together, then so many milliseconds of
/// rest, without which no two listings would ever agree.
pub(crate) fn while_changing<R>(
    bench: &Bench,
    churn: &mut Churn,
    rest: Range<u64>,
    act: impl FnOnce() -> R,
) -> R {
    let flurry = move || {
        for _ in 0..churn.random.u8(1..8) {
            churn.step(bench);
            std::thread::sleep(Duration::from_millis(churn.random.u64(0..10)));
        }
        std::thread::sleep(Duration::from_millis(churn.random.u64(rest.clone())));
    };
    in_background(flurry, act)
}

/// Runs `act` while another thread does `step` again and again; a panic of either is the test's.
pub(crate) fn in_background<R>(mut step: impl FnMut() + Send, act: impl FnOnce() -> R) -> R {
    struct StopOnDrop<'a>(&'a AtomicBool);
    impl Drop for StopOnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop_when_this_ends = StopOnDrop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                step();
            }
        });
        act()
    })
}

/// What readers of DEST have seen so far.
#[derive(Default)]
pub(crate) struct Reader {
    seen: BTreeSet<String>,
    /// Files read.
    pub(crate) reads: u64,
}

impl Reader {
    /// Looks, and leaves some of the processor to what is looked at.
    pub(crate) fn look_often(&mut self, bench: &Bench) {
        self.look(bench);
        std::thread::sleep(Duration::from_millis(10));
    }

    /// Reads every file below DEST, as Airflow would at this very instant.
    ///
    /// # Panics
    /// When one is not, byte for byte, a version that S3 held, or one is gone that S3 never lacked.
    pub(crate) fn look(&mut self, bench: &Bench) {
        for path in &self.seen {
            assert!(
                bench.at(path).is_file(),
                "{path} is gone, and S3 always had it"
            );
        }
        let files = readable(&bench.dest());
        for (path, bytes) in &files {
            let held = bench.s3.history(BUCKET, &key(path));
            let known = held.iter().rev().any(|version| version == bytes);
            assert!(
                known,
                "{path} holds {} bytes that S3 never did, {} versions",
                bytes.len(),
                held.len()
            );
        }
        self.reads += files.len() as u64;
        self.seen.extend(
            files
                .into_keys()
                .filter(|path| !path.starts_with("loose/") && !path.starts_with("swap/")),
        );
    }
}

/// Every regular file below a directory that changes meanwhile, but what begins with a dot.
fn readable(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn add(root: &Path, below: &str, files: &mut BTreeMap<String, Vec<u8>>) {
        let Some(entries) = present(std::fs::read_dir(root)) else {
            return;
        };
        for entry in entries.filter_map(present) {
            let name = entry
                .file_name()
                .into_string()
                .unwrap_or_else(|name| panic!("{name:?} is no UTF-8"));
            let Some(kind) = present(entry.file_type()).filter(|_| !name.starts_with('.')) else {
                continue;
            };
            let path = format!("{below}{name}");
            if kind.is_dir() {
                add(&entry.path(), &format!("{path}/"), files);
            } else if kind.is_file() {
                // A directory may be there by now.
                files.extend(present(std::fs::read(entry.path())).map(|bytes| (path, bytes)));
            } else {
                panic!("{path} is a {kind:?}");
            }
        }
    }
    let mut files = BTreeMap::new();
    add(root, "", &mut files);
    files
}

fn present<T>(result: std::io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
            ) =>
        {
            None
        }
        Err(error) => panic!("DEST cannot be read: {error}"),
    }
}

/// What is left in staging.
pub(crate) fn staged(bench: &Bench) -> Vec<String> {
    let root = bench.state().join("staging");
    readable_names(&root)
}

fn readable_names(directory: &Path) -> Vec<String> {
    let entries = present(std::fs::read_dir(directory))
        .into_iter()
        .flatten()
        .filter_map(present);
    entries
        .map(|entry| entry.path().display().to_string())
        .collect()
}

/// The source stands still: one pass makes DEST equal to it, and the next has nothing to do.
pub(crate) fn converges(bench: &Bench) {
    bench.once(0, ARGUMENTS);
    is_equal(bench);
}

/// DEST is equal to the source by every measure there is.
pub(crate) fn is_equal(bench: &Bench) {
    let before = bench.picture();
    assert_eq!(
        difference(&before.files(), &bench.wanted()),
        Vec::<String>::new()
    );
    let report = bench.once(0, ARGUMENTS);
    assert_eq!(
        (
            report.added,
            report.updated,
            report.deleted,
            report.repaired
        ),
        (0, 0, 0, 0),
        "{report:?}"
    );
    assert_eq!(
        bench.picture(),
        before,
        "a pass with nothing to do touched DEST"
    );
    assert_eq!(staged(bench), Vec::<String>::new());
    let verified = bench.run("verify", &[]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    let digest = testkit::process::Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .arg("digest")
        .arg(bench.dest());
    assert_eq!(
        digest.run(crate::support::DEADLINE).stdout.trim(),
        report.revision
    );
}

/// The paths at which two trees differ; the bytes would fill the screen.
pub(crate) fn difference(
    one: &BTreeMap<String, Vec<u8>>,
    other: &BTreeMap<String, Vec<u8>>,
) -> Vec<String> {
    let paths: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    paths
        .into_iter()
        .filter(|path| one.get(*path) != other.get(*path))
        .cloned()
        .collect()
}
