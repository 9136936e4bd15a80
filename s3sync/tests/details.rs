//! Details that users meet: directories, empty files, archives, rejected keys, sets that change together.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod support;

use serde_json::Value;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};
use support::{BUCKET, Bench, DEADLINE, identity, key};
use testkit::process::{Process, Signal};
use testkit::s3::{ChecksumChoice, Fault, Operation, PutOptions, Rule, Sse};

fn stop(mut process: Process) -> String {
    assert!(process.signal(Signal::TERM));
    assert_eq!(process.exit_code(DEADLINE), 0);
    process.stderr()
}

/// The log lines with this event.
fn events(stderr: &str, event: &str) -> Vec<Value> {
    let lines = stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == event).collect()
}

/// When the entry last changed, a rename included, in nanoseconds since 1970.
fn changed_at(path: impl AsRef<Path>) -> i128 {
    let data = std::fs::symlink_metadata(path).unwrap();
    i128::from(data.ctime()) * 1_000_000_000 + i128::from(data.ctime_nsec())
}

fn nanoseconds(time: SystemTime) -> i128 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as i128
}

fn archived(restored: bool) -> PutOptions {
    PutOptions {
        storage_class: Some("GLACIER".into()),
        restored,
        ..PutOptions::default()
    }
}

#[test]
fn a_key_ending_in_a_slash_is_a_directory_that_stays_while_it_is_there() {
    let bench = Bench::with(&[
        ("a.py", "1"),
        ("empty/", ""),
        ("full/", ""),
        ("full/b.py", "2"),
    ]);
    let report = bench.once(0, &[]);
    assert_eq!(report.rejected.len(), 0, "{report:?}");
    assert!(bench.at("empty").is_dir());
    bench.delete("full/b.py");
    bench.once(0, &[]);
    assert!(
        bench.at("full").is_dir() && !bench.at("full/b.py").exists(),
        "kept when empty"
    );
    bench.delete("full/");
    bench.delete("empty/");
    bench.once(0, &[]);
    assert!(!bench.at("full").exists() && !bench.at("empty").exists());
    assert_eq!(bench.read("a.py"), "1");
    assert_eq!(bench.run("plan", &[]).code, 0);
}

#[test]
fn a_directory_without_a_key_goes_with_its_last_file() {
    let bench = Bench::with(&[("a.py", "1"), ("x/y/b.py", "2")]);
    bench.once(0, &[]);
    bench.delete("x/y/b.py");
    bench.once(0, &[]);
    assert!(!bench.at("x").exists());
}

#[test]
fn a_file_of_no_bytes_is_a_file() {
    let bench = Bench::with(&[("pkg/__init__.py", ""), ("a.py", "1")]);
    assert_eq!(bench.once(0, &[]).added, 2);
    assert_eq!(bench.read("pkg/__init__.py"), "");
    bench.put("a.py", "");
    assert_eq!(bench.once(0, &[]).updated, 1);
    assert_eq!(bench.read("a.py"), "");
    bench.put("a.py", "back");
    assert_eq!(bench.once(0, &[]).updated, 1);
    assert_eq!(bench.run("verify", &[]).code, 0);
}

#[test]
fn a_file_becomes_a_directory_and_a_file_again() {
    let bench = Bench::with(&[("keep.py", "1"), ("thing", "file")]);
    bench.once(0, &[]);
    bench.delete("thing");
    bench.put("thing/a.py", "inside");
    bench.put("thing/deep/b.py", "deeper");
    let report = bench.once(0, &[]);
    assert!(
        report.rejected.is_empty() && report.failed.is_empty(),
        "{report:?}"
    );
    assert_eq!(bench.files(), bench.wanted());
    bench.delete("thing/a.py");
    bench.delete("thing/deep/b.py");
    bench.put("thing", "file again");
    let report = bench.once(0, &[]);
    assert!(
        report.rejected.is_empty() && report.failed.is_empty(),
        "{report:?}"
    );
    assert_eq!(bench.files(), bench.wanted());
    assert_eq!(bench.run("plan", &[]).code, 0);
}

#[test]
fn in_watch_too_a_file_becomes_a_directory_and_a_file_again() {
    let bench = Bench::with(&[("keep.py", "1"), ("thing", "file")]);
    let process = bench.watch_settled(&[]);
    bench.delete("thing");
    bench.put("thing/a.py", "inside");
    bench.until_equal();
    bench.delete("thing/a.py");
    bench.put("thing", "file again");
    bench.until_equal();
    let stderr = stop(process);
    assert!(events(&stderr, "trouble").is_empty(), "{stderr}");
}

/// Python leaves its cache below a directory that is to become a file; an excluded path is never deleted.
#[test]
fn bytecode_in_the_way_of_a_file_is_reported_and_waits_for_a_person() {
    let bench = Bench::with(&[("keep.py", "1"), ("thing/a.py", "inside")]);
    let process = bench.watch_settled(&["--scrub-interval", "1h"]);
    std::fs::create_dir(bench.at("thing/__pycache__")).unwrap();
    std::fs::write(bench.at("thing/__pycache__/a.cpython-312.pyc"), "pyc").unwrap();
    bench.delete("thing/a.py");
    bench.put("thing", "file");
    bench.put("other.py", "lands");
    testkit::until(DEADLINE, "the rejected key in the status", || {
        bench.status()["detail"]["rejected"] == 1
    });
    assert_eq!(bench.read("other.py"), "lands");
    assert!(bench.at("thing/__pycache__/a.cpython-312.pyc").exists());
    assert!(!bench.at("thing/a.py").exists());
    let gets = bench.s3.count(Operation::Get);
    bench.after_listings(5);
    assert_eq!(
        bench.s3.count(Operation::Get),
        gets,
        "it is not fetched again at every poll"
    );
    let stderr = stop(process);
    let rejected = events(&stderr, "key_rejected");
    assert_eq!(rejected.len(), 1, "{stderr}");
    assert_eq!(rejected[0]["key"], "thing");
    assert!(
        rejected[0]["reason"]
            .as_str()
            .unwrap()
            .contains("in the way"),
        "{stderr}"
    );

    let report = bench.once(0, &[]);
    assert_eq!(report.rejected.len(), 1, "{report:?}");
    std::fs::remove_dir_all(bench.at("thing/__pycache__")).unwrap();
    let report = bench.once(0, &[]);
    assert_eq!((report.added, report.rejected.len()), (1, 0));
    assert_eq!(bench.files(), bench.wanted());
}

#[test]
fn a_file_lands_once_what_was_in_its_way_is_gone() {
    let bench = Bench::with(&[("keep.py", "1")]);
    std::fs::create_dir(bench.at("thing")).unwrap();
    std::fs::write(bench.at("thing/mine.txt"), "mine").unwrap();
    bench.put("thing", "file");
    let process = bench.watch_settled(&["--scrub-interval", "500ms"]);
    testkit::until(DEADLINE, "the rejected key in the status", || {
        bench.status()["detail"]["rejected"] == 1
    });
    assert_eq!(bench.at("thing/mine.txt").metadata().unwrap().len(), 4);
    std::fs::remove_dir_all(bench.at("thing")).unwrap();
    bench.until_equal();
    testkit::until(DEADLINE, "no rejected key in the status", || {
        bench.status()["detail"]["rejected"] == 0
    });
    stop(process);
}

#[test]
fn an_archived_object_is_reported_and_skipped_until_it_is_restored() {
    for class in ["GLACIER", "DEEP_ARCHIVE"] {
        let bench = Bench::with(&[("a.py", "1")]);
        let put = |restored| {
            let options = PutOptions {
                storage_class: Some(class.into()),
                ..archived(restored)
            };
            bench.s3.put_with(BUCKET, &key("cold.py"), "cold", options)
        };
        put(false);
        let report = bench.once(0, &[]);
        assert_eq!((report.added, report.rejected.len()), (1, 1), "{report:?}");
        assert_eq!(report.rejected[0].key, "cold.py");
        assert!(report.rejected[0].reason.contains("restore"), "{report:?}");
        assert_eq!(
            bench.s3.count(Operation::Get),
            1,
            "nothing is asked for in vain"
        );
        put(true);
        let report = bench.once(0, &[]);
        assert_eq!((report.added, report.rejected.len()), (1, 0), "{report:?}");
        assert_eq!(bench.read("cold.py"), "cold");
    }
}

#[test]
fn the_file_of_an_object_that_is_archived_later_stays() {
    let bench = Bench::with(&[("a.py", "1"), ("cold.py", "old")]);
    bench.once(0, &[]);
    let before = identity(bench.at("cold.py"));
    bench
        .s3
        .put_with(BUCKET, &key("cold.py"), "newer", archived(false));
    let report = bench.once(0, &[]);
    assert_eq!(
        (report.deleted, report.held_deletes, report.rejected.len()),
        (0, 0, 1),
        "{report:?}"
    );
    assert_eq!(identity(bench.at("cold.py")), before);
}

#[test]
fn a_kms_object_is_kept_and_the_same_bytes_again_touch_nothing() {
    let bench = Bench::with(&[("a.py", "1")]);
    for checksum in [ChecksumChoice::Default, ChecksumChoice::None] {
        let put = || {
            let options = PutOptions {
                sse: Sse::Kms,
                checksum,
                ..PutOptions::default()
            };
            bench
                .s3
                .put_with(BUCKET, &key("secret.py"), "encrypted", options)
        };
        let first = put();
        bench.once(0, &[]);
        assert_eq!(bench.read("secret.py"), "encrypted");
        let before = identity(bench.at("secret.py"));
        assert_ne!(put(), first, "KMS's ETag is another each time");
        let report = bench.once(0, &[]);
        assert_eq!((report.updated, report.failed.len()), (0, 0));
        assert_eq!(identity(bench.at("secret.py")), before);
        assert_eq!(bench.run("verify", &[]).code, 0);
        bench.delete("secret.py");
        bench.once(0, &[]);
    }
}

#[test]
fn a_rejected_key_is_in_report_plan_status_and_metric_and_once_in_the_log() {
    let bench = Bench::with(&[
        ("a.py", "1"),
        ("x/../../esc.py", "bad"),
        ("double//slash.py", "bad"),
    ]);
    let report = bench.once(0, &[]);
    let mut keys: Vec<&str> = report
        .rejected
        .iter()
        .map(|rejected| &*rejected.key)
        .collect();
    keys.sort();
    assert_eq!(keys, ["double//slash.py", "x/../../esc.py"]);
    assert!(
        report
            .rejected
            .iter()
            .all(|rejected| !rejected.reason.is_empty()),
        "{report:?}"
    );
    let plan = bench.run("plan", &[]).stdout;
    assert!(
        plan.contains("2 rejected") && plan.contains("x/../../esc.py"),
        "{plan}"
    );

    let mut process = bench
        .program(
            "watch",
            &[
                "--interval",
                "200ms",
                "--settle",
                "100ms",
                "--metrics",
                "emf",
            ],
        )
        .without_env("S3SYNC_METRICS")
        .spawn();
    testkit::until(DEADLINE, "the rejected keys in the status", || {
        bench.status()["detail"]["rejected"] == 2
    });
    bench.after_listings(3);
    bench.put("third//.py", "bad");
    testkit::until(DEADLINE, "one more", || {
        bench.status()["detail"]["rejected"] == 3
    });
    bench.after_listings(5);
    assert!(process.signal(Signal::TERM));
    assert_eq!(process.exit_code(DEADLINE), 0);
    let stderr = process.stderr();
    let mut logged: Vec<String> = events(&stderr, "key_rejected")
        .iter()
        .map(|event| event["key"].as_str().unwrap().to_string())
        .collect();
    logged.sort();
    assert_eq!(
        logged,
        ["double//slash.py", "third//.py", "x/../../esc.py"],
        "each once: {stderr}"
    );
    let last: Value = serde_json::from_str(process.stdout().lines().last().unwrap()).unwrap();
    assert_eq!(last["KeysRejected"], 3.0, "{last}");
    assert_eq!(bench.files().len(), 1);
    assert!(!bench.outside.path().join("esc.py").exists());
}

/// Peers rename each file as it arrives, so a parse in between sees half a set.
#[test]
fn the_files_of_a_set_appear_after_the_last_of_them_was_fetched() {
    let bench = Bench::with(&[("a.py", "1")]);
    let process = bench.watch_settled(&[]);
    let slow = Fault::Slow {
        before: Duration::from_millis(400),
        bytes_per_second: 1 << 20,
    };
    bench
        .s3
        .faults()
        .add(Rule::new(slow).on(Operation::Get).glob("dags/set/9.py"));
    bench.s3.reset_requests();
    let names: Vec<String> = (0..10)
        .map(|number| key(&format!("set/{number}.py")))
        .collect();
    bench
        .s3
        .put_all(BUCKET, names.iter().map(|name| (name.as_str(), "x = 1")));
    bench.until_equal();
    let requests = bench.s3.requests();
    let gets: Vec<_> = requests
        .iter()
        .filter(|request| request.operation == Operation::Get)
        .collect();
    assert_eq!(gets.len(), 10, "{gets:?}");
    let last = gets.iter().map(|get| nanoseconds(get.time)).max().unwrap();
    let renames: Vec<i128> = (0..10)
        .map(|number| changed_at(bench.at(&format!("set/{number}.py"))))
        .collect();
    let first = renames.iter().min().unwrap();
    // The slow one was asked for with the others and came 400 ms later; the file system's clock ticks in
    // some milliseconds.
    assert!(
        *first >= last + 300_000_000,
        "renamed {} ms after the last GET",
        (first - last) / 1_000_000
    );
    let stderr = stop(process);
    let passes = events(&stderr, "pass");
    assert_eq!(passes.last().unwrap()["added"], 10, "{stderr}");
}

#[test]
fn settle_publishes_a_set_that_is_still_being_uploaded_as_one() {
    let bench = Bench::with(&[("a.py", "1")]);
    let process = bench
        .program("watch", &["--interval", "100ms", "--settle", "700ms"])
        .spawn();
    bench.until_healthy();
    // One more file before each next listing: no two listings agree until the last was uploaded.
    for number in 0..5 {
        assert_eq!(
            bench.files().len(),
            1,
            "nothing of an unfinished set is seen"
        );
        bench.put(&format!("set/{number}.py"), "x = 1");
        if number < 4 {
            bench.after_listings(1);
        }
    }
    bench.until_equal();
    let stderr = stop(process);
    let added: Vec<Value> = events(&stderr, "pass")
        .iter()
        .map(|pass| pass["added"].clone())
        .collect();
    assert_eq!(added, [1, 5], "{stderr}");
}

#[test]
fn without_settle_a_change_is_published_at_once() {
    let bench = Bench::with(&[("a.py", "1")]);
    let process = bench
        .program("watch", &["--interval", "1h", "--settle", "0s"])
        .spawn();
    bench.until_equal();
    bench.until_healthy();
    assert_eq!(bench.s3.count(Operation::List), 1);
    stop(process);
}
