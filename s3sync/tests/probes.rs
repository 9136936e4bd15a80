//! What other tools were probed with, and where they failed: each row as a test of this one. The
//! results of the others are from aws-cli 1.45, s5cmd 2.3, rclone 1.75 and the source of objinsync.

mod support;

use std::path::Path;
use std::time::{Duration, SystemTime};
use support::trace::Trace;
use support::{BUCKET, Bench, DEADLINE, identity, key};
use testkit::s3::{ChecksumChoice, Fault, Operation, PutOptions, Refusal, Rule, Sse};

fn at(time: SystemTime) -> PutOptions {
    PutOptions {
        last_modified: Some(time),
        ..PutOptions::default()
    }
}

fn local_time(path: &Path) -> SystemTime {
    let data = std::fs::metadata(path).expect("a file");
    data.modified().expect("a time")
}

/// Other bytes of the same size, with the time that the file had.
fn corrupt_keeping_the_time(path: &Path) {
    let before = local_time(path);
    let size = std::fs::metadata(path).expect("a local file").len();
    std::fs::write(path, "X".repeat(size as usize)).expect("a local file");
    std::fs::File::options()
        .write(true)
        .open(path)
        .expect("a local file")
        .set_modified(before)
        .expect("a local file");
}

fn takes_in_the_edit(options: PutOptions) {
    let bench = Bench::with(&[("a.py", "x = 1\n"), ("b.py", "y = 1\n")]);
    bench.once(0, &[]);
    bench.s3.put_with(BUCKET, &key("a.py"), "x = 2\n", options);
    assert_eq!(bench.once(0, &[]).updated, 1);
    assert_eq!(bench.read("a.py"), "x = 2\n");
}

/// aws s3 sync: MISSED (on a download, newer in S3 with the same size counts as the same);
/// --exact-timestamps, s5cmd, rclone --checksum: ok.
#[test]
fn a_same_size_edit_with_a_newer_time_is_taken_in() {
    takes_in_the_edit(at(SystemTime::now() + Duration::from_secs(3_600)));
}

/// s5cmd: MISSED; aws s3 sync, with --exact-timestamps too, and rclone --checksum: ok.
#[test]
fn a_same_size_edit_older_than_the_local_file_is_taken_in() {
    takes_in_the_edit(at(SystemTime::now() - Duration::from_secs(3_600)));
}

/// aws s3 sync, with --exact-timestamps too, and s5cmd: MISSED; rclone --checksum: ok.
#[test]
fn a_same_size_edit_in_the_same_second_is_taken_in() {
    let bench = Bench::new();
    let then = SystemTime::now() - Duration::from_secs(60);
    bench.s3.put_with(BUCKET, &key("a.py"), "x = 1\n", at(then));
    bench.once(0, &[]);
    // The same time in S3, and the same as the local file's.
    for (text, time) in [
        ("x = 2\n", then),
        ("x = 3\n", local_time(&bench.at("a.py"))),
        ("x = 4\n", local_time(&bench.at("a.py"))),
    ] {
        bench.s3.put_with(BUCKET, &key("a.py"), text, at(time));
        bench.once(0, &[]);
        assert_eq!(bench.read("a.py"), text);
    }
}

/// rclone --checksum: MISSED (a multipart ETag is no MD5, and the size is the same).
#[test]
fn a_same_size_edit_of_a_multipart_object_is_taken_in() {
    for checksum in [ChecksumChoice::Default, ChecksumChoice::None] {
        let bench = Bench::new();
        let then = SystemTime::now() - Duration::from_secs(60);
        let options = || PutOptions {
            parts: Some(vec![4_000, 4_000]),
            checksum,
            ..at(then)
        };
        bench
            .s3
            .put_with(BUCKET, &key("large.bin"), vec![1; 10_000], options());
        bench.once(0, &[]);
        bench
            .s3
            .put_with(BUCKET, &key("large.bin"), vec![2; 10_000], options());
        assert_eq!(bench.once(0, &[]).updated, 1);
        assert_eq!(bench.files(), bench.wanted());
    }
}

/// aws s3 sync, with --exact-timestamps too, and s5cmd: not repaired; rclone --checksum: repaired, but for
/// multipart objects, and at the price of hashing the tree each time.
#[test]
fn local_corruption_that_keeps_size_and_time_is_repaired() {
    let bench = Bench::with(&[("a.py", "x = 1\n"), ("same.py", "y = 1\n")]);
    bench.s3.put_with(
        BUCKET,
        &key("kms.py"),
        "z = 1\n",
        PutOptions {
            sse: Sse::Kms,
            ..PutOptions::default()
        },
    );
    bench.s3.put_with(
        BUCKET,
        &key("parts.bin"),
        vec![1; 99],
        PutOptions {
            parts: Some(vec![50]),
            ..PutOptions::default()
        },
    );
    bench.once(0, &[]);
    let untouched = identity(bench.at("same.py"));
    let corrupted = ["a.py", "kms.py", "parts.bin"];
    corrupted
        .iter()
        .for_each(|path| corrupt_keeping_the_time(&bench.at(path)));

    let verified = bench.run("verify", &[]);
    assert_eq!(verified.code, 1, "{}", verified.stdout);
    assert!(
        corrupted.iter().all(|path| verified.stdout.contains(path))
            && !verified.stdout.contains("same.py"),
        "{}",
        verified.stdout
    );

    let _watch = bench.watch_settled(&["--deep-scrub-interval", "500ms"]);
    bench.until_equal();
    assert_eq!(identity(bench.at("same.py")), untouched);
    assert_eq!(bench.run("verify", &[]).code, 0);
}

/// The scrub that only looks at sizes, times and inodes sees what does not hide.
#[test]
fn a_local_edit_and_a_lost_file_are_repaired() {
    let bench = Bench::with(&[
        ("a.py", "x = 1\n"),
        ("lost.py", "y = 1\n"),
        ("sub/b.py", "z = 1\n"),
    ]);
    let _watch = bench.watch_settled(&["--scrub-interval", "300ms"]);
    std::fs::write(bench.at("a.py"), "edited by hand\n").unwrap();
    std::fs::remove_file(bench.at("lost.py")).unwrap();
    std::fs::remove_dir_all(bench.at("sub")).unwrap();
    bench.until_equal();
}

/// All of them: everything deleted, exit 0.
#[test]
fn a_prefix_that_is_suddenly_empty_deletes_nothing() {
    let bench = Bench::with(&[("a.py", "1"), ("sub/b.py", "2")]);
    bench.once(0, &[]);
    let before = bench.picture();
    bench.s3.delete_prefix(BUCKET, "dags/");
    let report = bench.once(1, &[]);
    assert_eq!(
        (report.listed, report.held_deletes, report.deleted),
        (0, 2, 0)
    );
    assert_eq!(bench.picture(), before);
}

/// aws s3 sync #1564: a source that was missing wiped the copy.
#[test]
fn a_bucket_that_is_missing_deletes_nothing() {
    let bench = Bench::with(&[("a.py", "1")]);
    bench.once(0, &[]);
    let before = bench.picture();
    bench.s3.delete_bucket(BUCKET);
    // The server makes a bucket that is asked for; S3 answers this.
    bench
        .s3
        .faults()
        .add(Rule::new(Refusal::no_such_bucket(BUCKET)).on(Operation::List));
    assert_eq!(bench.run("once", &[]).code, 65);
    assert_eq!(bench.picture(), before);
}

/// s5cmd: everything deleted, exit 0 (#695); aws s3 sync and rclone: kept.
#[test]
fn an_endpoint_that_is_down_deletes_nothing() {
    let bench = Bench::with(&[("a.py", "1"), ("sub/b.py", "2")]);
    bench.once(0, &[]);
    let before = bench.picture();
    bench.s3.go_down();
    let finished = bench.run("once", &[]);
    assert_eq!(finished.code, 69, "{}", finished.stderr);
    assert_eq!(bench.picture(), before);
    assert_eq!(
        bench.run("plan", &[]).code,
        69,
        "plan says that it does not know"
    );
}

#[test]
fn an_endpoint_that_is_down_for_a_while_is_waited_for() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "2")]);
    let mut watch = bench.watch_settled(&[]);
    bench.s3.go_down();
    testkit::until(DEADLINE, "it to be told", || {
        bench.status()["degraded"] == true
    });
    assert_eq!(
        bench.status()["healthy"],
        true,
        "DEST is full, and Airflow may start"
    );
    assert_eq!(bench.files(), bench.wanted());
    bench.put("a.py", "changed meanwhile");
    bench.s3.come_back();
    bench.until_equal();
    testkit::until(DEADLINE, "the trouble to end", || {
        bench.status()["degraded"] == false
    });
    assert!(watch.is_running());
}

/// s5cmd: wrote outside (#872); aws s3 sync and rclone: safe.
#[test]
fn the_key_that_climbs_out_is_refused() {
    let bench = Bench::with(&[("fine.py", "fine"), ("x/../../esc.py", "escaped")]);
    let report = bench.once(0, &[]);
    assert_eq!(report.rejected[0].key, "x/../../esc.py");
    assert!(!bench.outside.path().join("esc.py").exists() && !bench.at("esc.py").exists());
    assert_eq!(bench.read("fine.py"), "fine");
}

/// objinsync: ignores the error of a download, renames what there is into place, and counts it as done,
/// so that it is not fetched again either.
#[test]
fn a_failed_download_is_neither_published_nor_counted_as_done() {
    let bench = Bench::with(&[("a.py", "x = 1\n"), ("b.py", "y = 1\n")]);
    bench.once(0, &[]);
    bench.put("a.py", "x = 2 and more\n");
    bench.put("new.py", "z = 1\n");
    bench
        .s3
        .faults()
        .add(Rule::new(Fault::CutAfter(3)).on(Operation::Get));
    let report = bench.once(69, &["--on-failure", "skip"]);
    assert_eq!(
        (report.added, report.updated, report.failed.len()),
        (0, 0, 2)
    );
    assert_eq!(bench.read("a.py"), "x = 1\n");
    assert!(!bench.at("new.py").exists());
    bench.s3.faults().clear();
    assert_eq!(bench.once(0, &[]).updated, 1, "it is fetched again");
    assert_eq!(bench.files(), bench.wanted());
}

/// objinsync: walks the local tree at each pass and hashes all of it at each start.
#[test]
fn a_pass_does_not_walk_the_local_tree() {
    let bench = Bench::new();
    bench.s3.put_all(
        BUCKET,
        (0..100).map(|number| (key(&format!("d{}/f{number}.py", number % 10)), "x = 1\n")),
    );
    let watch = bench.watch_settled(&[]);
    bench.until_equal();
    let trace = Trace::attach(&watch, bench.outside.path().join("trace"));
    // A pass that has something to do touches what it changes and nothing else of the tree.
    bench.put("d3/f3.py", "x = 2\n");
    bench.until_equal();
    bench.after_listings(3);
    let others: Vec<String> = trace
        .calls_on(&bench.dest())
        .into_iter()
        .filter(|call| {
            (0..100).any(|number| number != 3 && call.contains(&format!("\"f{number}.py\"")))
        })
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(
        trace
            .calls_on(&bench.dest())
            .iter()
            .any(|call| call.contains("\"f3.py\"")),
        "the trace shows the change"
    );
    drop(trace);
    drop(watch);

    // Neither does a start: the manifest is read, and no object is.
    bench.s3.reset_requests();
    let before = bench.picture();
    bench.once(0, &[]);
    assert_eq!(
        bench.s3.count(Operation::Get) + bench.s3.count(Operation::Head),
        0
    );
    assert_eq!(bench.picture(), before);
}

/// objinsync: deletes all that an empty listing lacks.
#[test]
fn an_empty_listing_is_held_in_watch() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "2"), ("c.py", "3")]);
    let watch = bench.watch_settled(&[]);
    let before = bench.picture();
    let fault = bench
        .s3
        .faults()
        .add(Rule::new(Fault::EmptyListing).on(Operation::List));
    watch.wait_for(
        |line| line.contains("deletes_held") && line.contains("\"count\":3"),
        DEADLINE,
    );
    testkit::until(DEADLINE, "some more listings", || {
        bench.s3.faults().acted(fault) > 6
    });
    assert_eq!(bench.picture(), before);
    bench.s3.faults().clear();
    watch.wait_for(|line| line.contains("deletes_released"), DEADLINE);
    assert_eq!(bench.picture(), before);
}

/// objinsync: `dags` takes in `dags-old/`.
#[test]
fn a_prefix_does_not_take_in_what_only_begins_like_it() {
    let bench = Bench::with(&[("a.py", "1")]);
    for name in [
        "dags-old/old.py",
        "dags.py",
        "dags",
        "dagsx",
        "other/dags/x.py",
    ] {
        bench.s3.put(BUCKET, name, "not mine");
    }
    let report = bench.once(0, &[]);
    assert_eq!((report.listed, bench.files().len()), (1, 1));
    // With and without the slash it is the same source.
    let program = testkit::process::Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .args(["once", "s3://bucket/dags/"])
        .arg(bench.dest());
    let finished = program
        .args(["--output", "json"])
        .envs(bench.s3.environment())
        .env("S3SYNC_STATUS_FILE", bench.status_file())
        .run(DEADLINE);
    assert_eq!(support::report(&finished, 0).unchanged, 1);
}
