//! Promises 1 and 2: what a reader of DEST may ever see.

use crate::support::{BUCKET, Bench, DEADLINE, key};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use testkit::fs::Mount;
use testkit::s3::{ChecksumChoice, ChecksumType, Fault, Operation, PutOptions, Refusal, Rule, Sse};

/// A version of a file that tells by itself whether it is whole: its number on every line, and a
/// length that depends on it.
fn version(number: usize) -> Vec<u8> {
    format!("{number:>15}\n")
        .repeat(1_500 + number * 37 % 500)
        .into_bytes()
}

fn number_of(bytes: &[u8]) -> Option<usize> {
    let number = std::str::from_utf8(bytes.get(..15)?)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    (bytes == version(number)).then_some(number)
}

/// Reads a file all the time, as Airflow's processes do.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<BTreeSet<usize>>>,
}

impl Reader {
    fn start(path: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ask = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            loop {
                // Once more after it was asked to stop: what is there at the end counts.
                let last = ask.load(Ordering::Relaxed);
                let bytes = std::fs::read(&path)
                    .unwrap_or_else(|error| panic!("a file that was there is gone: {error}"));
                let number = number_of(&bytes);
                seen.insert(
                    number.unwrap_or_else(|| panic!("{} bytes that S3 never held", bytes.len())),
                );
                if last {
                    return seen;
                }
            }
        });
        Reader {
            stop,
            thread: Some(thread),
        }
    }

    /// The versions that it read; fails where it read anything else.
    fn seen(mut self) -> BTreeSet<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .expect("a reader ends once")
            .join()
            .expect("every read was a version that S3 held")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn promise_1_a_reader_sees_each_file_whole() {
    let bench = Bench::new();
    bench.put("dag.py", version(0));
    let _watch = bench.watch_settled(&["--settle", "0s", "--interval", "50ms"]);
    let reader = Reader::start(bench.at("dag.py"));
    for number in 1..=30 {
        bench.put("dag.py", version(number));
        bench.after_listings(1);
    }
    bench.until_equal();
    let seen = reader.seen();
    assert!(seen.len() > 5, "the versions that were read: {seen:?}");
}

#[test]
fn promise_1_a_reader_sees_each_file_whole_while_connections_are_cut() {
    let bench = Bench::new();
    bench.put("dag.py", version(0));
    bench.s3.faults().seed(1);
    let _watch = bench.watch_settled(&["--settle", "0s", "--interval", "50ms"]);
    let reader = Reader::start(bench.at("dag.py"));
    let cut = bench.s3.faults().add(
        Rule::new(Fault::CutAfter(9_000))
            .on(Operation::Get)
            .probability(0.5),
    );
    let reset = bench.s3.faults().add(
        Rule::new(Fault::ResetAfter(1))
            .on(Operation::Get)
            .probability(0.3),
    );
    for number in 1..=15 {
        bench.put("dag.py", version(number));
        bench.after_listings(1);
    }
    testkit::until(DEADLINE, "both faults to act", || {
        bench.s3.faults().acted(cut) > 3 && bench.s3.faults().acted(reset) > 0
    });
    bench.s3.faults().clear();
    bench.until_equal();
    assert!(reader.seen().len() > 2);
}

#[test]
fn promise_1_a_reader_sees_each_file_whole_when_the_disk_is_full() {
    let bench = Bench::new();
    let _small = Mount::tmpfs(bench.dest(), 256 << 10);
    bench.put("dag.py", version(0));
    let _watch = bench.watch_settled(&[]);
    let reader = Reader::start(bench.at("dag.py"));
    bench.put("large.bin", vec![1; 300 << 10]);
    bench.put("dag.py", version(1));
    testkit::until(DEADLINE, "a full disk to be told", || {
        bench.status()["reason"].to_string().contains("room")
    });
    bench.delete("large.bin");
    bench.until_equal();
    assert_eq!(reader.seen(), BTreeSet::from([0, 1]));
    let staging = testkit::fs::Picture::of(bench.state().join("staging"));
    assert!(staging.files().is_empty(), "room is given back");
}

#[test]
fn promise_1_a_full_disk_ends_once_with_73_and_every_file_whole() {
    let bench = Bench::new();
    let _small = Mount::tmpfs(bench.dest(), 256 << 10);
    bench.put("dag.py", version(0));
    bench.once(0, &[]);
    bench.put("dag.py", version(1));
    bench.put("large.bin", vec![1; 300 << 10]);
    let finished = bench.run("once", &[]);
    assert_eq!(finished.code, 73, "{}", finished.stderr);
    assert!(
        finished.stderr.contains("free some room"),
        "{}",
        finished.stderr
    );
    assert!(number_of(&std::fs::read(bench.at("dag.py")).unwrap()).is_some());
    bench.delete("large.bin");
    bench.once(0, &[]);
    assert_eq!(bench.files(), bench.wanted());
}

#[test]
fn promise_1_a_reader_sees_each_file_whole_across_kill_9() {
    let bench = Bench::new();
    bench.put("dag.py", version(0));
    bench.once(0, &[]);
    let reader = Reader::start(bench.at("dag.py"));
    for number in 1..=8 {
        bench.put("dag.py", version(number));
        bench.s3.reset_requests();
        let mut watch = bench.watch(&["--settle", "0s"]);
        // Each time a little later: at the listing, in the fetch, before, in and after the rename.
        testkit::until(DEADLINE, "a listing", || {
            bench.s3.count(Operation::List) > 0
        });
        std::thread::sleep(Duration::from_millis(2 * number as u64));
        watch.kill();
    }
    bench.once(0, &[]);
    assert_eq!(bench.files(), bench.wanted());
    reader.seen();
}

/// An object of every kind, by name: what S3 stores for it decides how its bytes can be checked.
fn kinds() -> Vec<(&'static str, PutOptions)> {
    let parts = || Some(vec![2_000, 2_000]);
    vec![
        (
            "md5",
            PutOptions {
                checksum: ChecksumChoice::None,
                ..PutOptions::default()
            },
        ),
        ("crc64", PutOptions::default()),
        (
            "kms-sha256",
            PutOptions {
                sse: Sse::Kms,
                checksum: ChecksumChoice::Sha256,
                ..PutOptions::default()
            },
        ),
        (
            "kms-crc32c",
            PutOptions {
                sse: Sse::Kms,
                checksum: ChecksumChoice::Crc32c,
                ..PutOptions::default()
            },
        ),
        (
            "multipart-full",
            PutOptions {
                parts: parts(),
                ..PutOptions::default()
            },
        ),
        (
            "multipart-composite",
            PutOptions {
                parts: parts(),
                checksum: ChecksumChoice::Crc32,
                checksum_type: Some(ChecksumType::Composite),
                ..PutOptions::default()
            },
        ),
        (
            "multipart-md5",
            PutOptions {
                parts: parts(),
                checksum: ChecksumChoice::None,
                ..PutOptions::default()
            },
        ),
        (
            "kms-nothing",
            PutOptions {
                sse: Sse::Kms,
                checksum: ChecksumChoice::None,
                ..PutOptions::default()
            },
        ),
    ]
}

/// Whether S3 stores nothing that the bytes can be checked against: then the length and If-Match remain.
fn cannot_be_checked(kind: &str) -> bool {
    matches!(kind, "kms-nothing" | "multipart-md5")
}

fn text(generation: u8) -> Vec<u8> {
    (0..5_000u32)
        .map(|at| b'a' + ((at / 7) as u8).wrapping_mul(3).wrapping_add(generation) % 26)
        .collect()
}

fn put_generation(bench: &Bench, generation: u8, damages: &[(&str, Fault)]) {
    bench.s3.put(BUCKET, "other", text(9));
    for (kind, options) in kinds() {
        for (damage, _) in damages {
            bench.s3.put_with(
                BUCKET,
                &key(&format!("{kind}/{damage}.py")),
                text(generation),
                options.clone(),
            );
        }
    }
}

/// objinsync renames a failed download into place and counts it as done.
#[test]
fn promise_2_a_damaged_download_is_never_published() {
    let damages = [
        ("flipped-first", Fault::FlipByte(0)),
        ("flipped-late", Fault::FlipByte(4_321)),
        (
            "substituted",
            Fault::Substitute {
                key: "other".into(),
            },
        ),
        ("shorter", Fault::WrongLength(-3)),
        ("longer", Fault::WrongLength(3)),
        ("cut", Fault::CutAfter(4_000)),
        ("reset", Fault::ResetAfter(1_000)),
    ];
    let undetectable = |kind: &str, damage: &str| {
        cannot_be_checked(kind) && (damage.starts_with("flipped") || damage == "substituted")
    };
    let bench = Bench::new();
    put_generation(&bench, 1, &damages);
    bench.once(0, &[]);
    assert_eq!(bench.files(), bench.wanted());
    let before = bench.files();

    put_generation(&bench, 2, &damages);
    for (damage, fault) in &damages {
        let ends = format!("/{damage}.py");
        bench.s3.faults().add(
            Rule::new(fault.clone())
                .on(Operation::Get)
                .matching(move |key| key.ends_with(&ends)),
        );
    }
    let report = bench.once(69, &["--on-failure", "skip"]);
    let failed: BTreeMap<_, _> = report
        .failed
        .iter()
        .map(|failed| (failed.key.clone(), failed.reason.clone()))
        .collect();
    let after = bench.files();
    for (kind, _) in kinds() {
        for (damage, _) in damages
            .iter()
            .filter(|(damage, _)| !undetectable(kind, damage))
        {
            let path = format!("{kind}/{damage}.py");
            assert!(after[&path] == before[&path], "{path} was published");
            assert!(failed.contains_key(&path), "{path} is not named as failed");
        }
    }
    assert_eq!(failed.len() as u64 + report.updated, after.len() as u64);

    bench.s3.faults().clear();
    // What could not be checked may hold anything of the right length: S3 must say it anew.
    put_generation(&bench, 3, &damages);
    bench.once(0, &[]);
    assert_eq!(bench.files(), bench.wanted());
}

#[test]
fn promise_2_content_that_cannot_be_verified_is_65() {
    let bench = Bench::with(&[("a.py", "x = 1\n")]);
    bench
        .s3
        .faults()
        .add(Rule::new(Fault::FlipByte(2)).on(Operation::Get));
    let report = bench.once(65, &["--on-failure", "skip"]);
    assert_eq!(report.failed.len(), 1);
    assert!(bench.files().is_empty());
}

/// What S3 stores no checksum of is read under If-Match: an object that changes between the listing and
/// the read, or between two parts, is read anew and never mixed.
#[test]
fn promise_2_an_object_without_a_checksum_is_complete_and_of_one_version() {
    const MIB: usize = 1 << 20;
    let options = || PutOptions {
        sse: Sse::Kms,
        checksum: ChecksumChoice::None,
        parts: Some(vec![MIB, MIB]),
        ..PutOptions::default()
    };
    let bench = Bench::new();
    bench
        .s3
        .put_with(BUCKET, &key("large.bin"), vec![1; 3 * MIB], options());
    bench.s3.delay(Operation::Get, Duration::from_millis(150));
    let mut once = bench
        .program("once", &["--part-size", "1MiB", "--concurrency", "1"])
        .spawn();
    testkit::until(DEADLINE, "a part to be read", || {
        bench.s3.count(Operation::Get) >= 2
    });
    bench
        .s3
        .put_with(BUCKET, &key("large.bin"), vec![2; 3 * MIB], options());
    assert_eq!(once.exit_code(DEADLINE), 0, "{}", once.stderr());
    assert!(
        bench
            .s3
            .requests()
            .iter()
            .any(|request| request.operation == Operation::Get && request.status == 412)
    );
    assert_eq!(bench.files(), bench.wanted());
}

#[test]
fn promise_2_a_refusal_is_no_content() {
    let bench = Bench::with(&[("a.py", "old"), ("b.py", "old")]);
    bench.once(0, &[]);
    bench.put("a.py", "new");
    bench.s3.faults().add(
        Rule::new(Refusal::access_denied())
            .on(Operation::Get)
            .glob("*a.py"),
    );
    let report = bench.once(77, &["--on-failure", "skip"]);
    assert_eq!(report.failed[0].key, "a.py");
    assert_eq!(bench.read("a.py"), "old");
}
