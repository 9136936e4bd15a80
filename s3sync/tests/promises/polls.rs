//! Promises 3 and 4: what costs nothing, and what touches nothing.

use crate::support::trace::Trace;
use crate::support::{BUCKET, Bench, DEADLINE, identity, key};
use std::time::{Duration, SystemTime};
use testkit::s3::{ChecksumChoice, ChecksumType, Operation, PutOptions, Sse};

/// objinsync walks the local tree at each pass, and hashes it at each start; rclone --checksum hashes
/// it at each run.
#[test]
fn promise_3_a_poll_that_finds_nothing_new_lists_and_touches_nothing() {
    let bench = Bench::new();
    // Two pages, so that the pages of a poll can be told from polls.
    bench.s3.put_all(
        BUCKET,
        (0..1_001).map(|number| (key(&format!("d{}/f{number}.py", number % 7)), "x = 1\n")),
    );
    let watch = bench.watch_settled(&[]);
    bench.until_equal();
    bench.after_listings(4);

    let trace = Trace::attach(&watch, bench.outside.path().join("trace"));
    bench.after_listings(2);
    bench.s3.reset_requests();
    bench.after_listings(10);
    let calls = trace.calls_on(&bench.dest());
    let others = calls
        .iter()
        .filter(|call| !call.contains("/.s3sync/heartbeat"))
        .collect::<Vec<_>>();
    assert!(others.is_empty(), "system calls below DEST: {others:#?}");
    assert!(trace.len() > 20, "the trace shows the polls themselves");
    let counts = bench.s3.counts();
    let asked: Vec<_> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(operation, _)| *operation)
        .collect();
    assert_eq!(asked, [Operation::List], "{counts:?}");

    // The same trace would have shown a touch: one changed object makes many.
    bench.put("d0/f0.py", "x = 2\n");
    bench.until_equal();
    testkit::until(DEADLINE, "the trace to show a rename", || {
        trace
            .calls_on(&bench.dest())
            .iter()
            .any(|call| call.contains("rename") && call.contains("f0.py"))
    });
}

/// A set that is held and a key that is rejected last; they must not make each poll cost more.
#[test]
fn promise_3_what_waits_for_a_person_costs_no_more_than_the_list() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "2")]);
    bench.s3.put(BUCKET, "dags/x/../../esc.py", "3");
    let watch = bench.watch_settled(&[]);
    bench.s3.delete_prefix(BUCKET, "dags/");
    bench.s3.put(BUCKET, "dags/x/../../esc.py", "3");
    testkit::until(DEADLINE, "held deletes", || {
        bench.status()["detail"]["held_deletes"] == 2
    });
    bench.after_listings(3);
    let trace = Trace::attach(&watch, bench.outside.path().join("trace"));
    bench.s3.reset_requests();
    bench.after_listings(6);
    let calls = trace.calls_on(&bench.dest());
    let others = calls
        .iter()
        .filter(|call| !call.contains("/.s3sync/heartbeat"))
        .collect::<Vec<_>>();
    assert!(others.is_empty(), "system calls below DEST: {others:#?}");
    assert!(
        bench
            .s3
            .requests()
            .iter()
            .all(|request| request.operation == Operation::List)
    );
}

/// The ways in which an object can be written again with the bytes that it has.
fn rewrites() -> Vec<(&'static str, PutOptions)> {
    let later = SystemTime::now() + Duration::from_secs(100);
    vec![
        (
            "plain, later",
            PutOptions {
                last_modified: Some(later),
                ..PutOptions::default()
            },
        ),
        (
            "encrypted, an ETag that is no MD5",
            PutOptions {
                sse: Sse::Kms,
                ..PutOptions::default()
            },
        ),
        (
            "multipart",
            PutOptions {
                parts: Some(vec![5, 5]),
                ..PutOptions::default()
            },
        ),
        (
            "multipart, composite checksum",
            PutOptions {
                parts: Some(vec![7]),
                checksum: ChecksumChoice::Crc32,
                checksum_type: Some(ChecksumType::Composite),
                ..PutOptions::default()
            },
        ),
        (
            "no checksum at all",
            PutOptions {
                sse: Sse::Kms,
                checksum: ChecksumChoice::None,
                ..PutOptions::default()
            },
        ),
        (
            "plain again",
            PutOptions {
                last_modified: Some(later + Duration::from_secs(100)),
                ..PutOptions::default()
            },
        ),
    ]
}

#[test]
fn promise_4_the_same_bytes_written_again_touch_nothing() {
    const TEXT: &str = "dag = 'the same bytes'\n";
    let bench = Bench::with(&[("a.py", TEXT), ("sub/b.py", "other")]);
    bench.once(0, &[]);
    let untouched = |what: &str, before: &[_]| {
        let now: Vec<_> = ["a.py", "sub", "."]
            .iter()
            .map(|path| identity(bench.at(path)))
            .collect();
        assert_eq!(
            now, before,
            "{what}: inode, mtime and ctime of the file and the directories"
        );
    };
    let before: Vec<_> = ["a.py", "sub", "."]
        .iter()
        .map(|path| identity(bench.at(path)))
        .collect();
    for (what, options) in rewrites() {
        bench.s3.put_with(BUCKET, &key("a.py"), TEXT, options);
        let report = bench.once(0, &[]);
        assert_eq!(
            (
                report.added,
                report.updated,
                report.repaired,
                report.deleted
            ),
            (0, 0, 0, 0),
            "{what}"
        );
        untouched(what, &before);
        bench.s3.reset_requests();
        bench.once(0, &[]);
        assert_eq!(
            bench.s3.count(Operation::Get) + bench.s3.count(Operation::Head),
            0,
            "{what}: learned for good"
        );
    }

    let _watch = bench.watch_settled(&[]);
    for (what, options) in rewrites() {
        bench.s3.put_with(BUCKET, &key("a.py"), TEXT, options);
        bench.after_listings(4);
        untouched(what, &before);
    }
    assert_eq!(bench.run("verify", &[]).code, 0);
}

/// rclone and aws s3 sync would download what they have no record of.
#[test]
fn promise_4_a_lost_manifest_touches_nothing() {
    let bench = Bench::with(&[("a.py", "1"), ("sub/b.py", "2")]);
    bench.s3.put_with(
        BUCKET,
        &key("m.bin"),
        vec![7; 100],
        PutOptions {
            parts: Some(vec![60]),
            ..PutOptions::default()
        },
    );
    bench.once(0, &[]);
    let paths = ["a.py", "sub/b.py", "m.bin"];
    let before = paths.map(|path| identity(bench.at(path)));
    std::fs::remove_dir_all(bench.state()).unwrap();
    bench.s3.reset_requests();
    let report = bench.once(0, &[]);
    assert_eq!(
        (report.added, report.updated, report.unchanged),
        (0, 0, 3),
        "{report:?}"
    );
    assert_eq!(paths.map(|path| identity(bench.at(path))), before);
    assert_eq!(
        bench.s3.count(Operation::Get),
        0,
        "hashes were compared, no object was read"
    );
}
