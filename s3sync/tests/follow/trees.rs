//! A release lands whole, and costs what changed.

use crate::support::releases::{Made, POINTER, content};
use crate::support::{BUCKET, Bench, DEADLINE, identity, key};
use serde_json::json;
use testkit::s3::Operation;

/// GETs of the content of files since the last reset.
fn contents_read(bench: &Bench) -> usize {
    let requests = bench.s3.requests();
    requests
        .iter()
        .filter(|request| request.key.contains("/.s3sync/releases/content/"))
        .count()
}

#[test]
fn from_plain_uploads_to_releases_and_back_again_nothing_is_fetched_that_is_there() {
    let files = [("a.py", "x = 1\n"), ("sub/b.py", "y = 1\n")];
    let bench = Bench::with(&files);
    let mut watch = bench.watch_settled(&[]);
    bench.until_equal();
    let paths = ["a.py", "sub/b.py"];
    let before = paths.map(|path| identity(bench.at(path)));

    let first = Made::new("first", &files);
    bench.s3.reset_requests();
    first.publish(&bench);
    let shown = |made: &Made| {
        testkit::until(DEADLINE, "the status to name the release", || {
            bench.status()["detail"]["release"] == made.id()
        });
        let detail = &bench.status()["detail"];
        assert_eq!(detail["release_name"], made.name);
        assert_eq!(detail["revision"], made.revision);
        assert_eq!(bench.files(), made.files);
    };
    shown(&first);
    assert_eq!(paths.map(|path| identity(bench.at(path))), before);
    assert_eq!(contents_read(&bench), 0);

    let second = Made::new(
        "second",
        &[("a.py", "x = 2\n"), ("sub/b.py", "y = 1\n"), ("c.py", "")],
    );
    second.publish(&bench);
    shown(&second);
    assert_eq!(contents_read(&bench), 2, "the two that changed");
    assert_eq!(identity(bench.at("sub/b.py")), before[1]);

    // A rollback is one write.
    first.point(&bench);
    shown(&first);

    bench.delete(POINTER);
    bench.put("a.py", "x = 3\n");
    bench.until_equal();
    testkit::until(DEADLINE, "no release to be shown", || {
        bench.status()["detail"]["release"].is_null()
    });
    watch.signal(testkit::process::Signal::TERM);
    assert_eq!(watch.exit_code(DEADLINE), 0);
    for event in ["release_landed", "pointer_gone", "release_left"] {
        assert!(
            watch.stderr().contains(event),
            "{event}: {}",
            watch.stderr()
        );
    }
}

#[test]
fn once_finds_the_pointer_and_reports_its_release() {
    let bench = Bench::new();
    let release = Made::new(
        "2026-11-21-1",
        &[("a.py", "x = 1\n"), ("b/c.py", "y = 1\n")],
    );
    release.publish(&bench);
    // Files that lie in the prefix as well are not the release's.
    bench.put("stray.py", "z = 1\n");
    bench.s3.reset_requests();
    let finished = bench.run("once", &["--output", "json"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let report: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(report["release"], release.id());
    assert_eq!(report["revision"], release.revision);
    assert_eq!(
        (&report["added"], &report["listed"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(bench.files(), release.files);
    // One page that shows the pointer, the pointer, the manifest, and what it names.
    assert_eq!(bench.s3.count(Operation::List), 1);
    assert_eq!(bench.s3.count(Operation::Get), 4);
    assert_eq!(bench.s3.count(Operation::Head), 0);

    let text = bench.run("once", &[]);
    assert!(text.stdout.contains(&release.id()), "{}", text.stdout);

    bench.s3.reset_requests();
    assert_eq!(bench.once(0, &[]).unchanged, 2);
    assert_eq!(
        (bench.s3.count(Operation::Get), contents_read(&bench)),
        (2, 0)
    );

    for (command, code) in [("plan", 0), ("verify", 0)] {
        let finished = bench.run(command, &[]);
        assert_eq!(finished.code, code, "{command}: {}", finished.stdout);
    }
    let digest = testkit::process::Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .arg("digest")
        .arg(bench.dest())
        .run(DEADLINE);
    assert_eq!(digest.stdout.trim(), release.revision);

    std::fs::write(bench.at("a.py"), "x = 7\n").unwrap();
    let verified = bench.run("verify", &["--output", "json"]);
    assert_eq!(verified.code, 1);
    assert!(
        verified.stdout.contains("the release's"),
        "{}",
        verified.stdout
    );
}

#[test]
fn without_a_pointer_the_report_has_no_release() {
    let bench = Bench::with(&[("a.py", "1")]);
    let finished = bench.run("once", &["--output", "json"]);
    assert!(!finished.stdout.contains("release"), "{}", finished.stdout);
}

#[test]
fn a_release_is_filtered_as_a_prefix_is() {
    let bench = Bench::new();
    let release = Made::new(
        "one",
        &[("a.py", "1"), ("sql/b.sql", "2"), ("sql/c.py", "3")],
    );
    release.publish(&bench);
    let report = bench.once(0, &["--include", "*.py", "--exclude", "sql/"]);
    let kept = Made::new("kept", &[("a.py", "1")]);
    assert_eq!(bench.files(), kept.files);
    assert_eq!(
        report.revision, kept.revision,
        "the revision of what is kept"
    );
    assert_eq!(contents_read(&bench), 1);
}

#[test]
fn files_that_were_there_are_adopted_and_large_ones_come_in_ranges() {
    let bench = Bench::new();
    let large: Vec<u8> = (0..3_500_000u32).map(|at| (at / 7) as u8).collect();
    let files = [
        ("a.py".to_string(), b"x = 1\n".to_vec()),
        ("large.bin".to_string(), large),
    ];
    let release = Made::of("one", files);
    release.publish(&bench);
    std::fs::write(bench.at("a.py"), "x = 1\n").unwrap();
    let before = identity(bench.at("a.py"));
    let report = bench.once(0, &["--part-size", "1MiB"]);
    assert_eq!((report.added, report.unchanged), (1, 1), "{report:?}");
    assert_eq!(identity(bench.at("a.py")), before);
    assert_eq!(bench.files(), release.files);
    assert_eq!(contents_read(&bench), 5, "a HEAD and four ranges");
}

#[test]
fn a_file_that_drifted_is_repaired_from_the_release() {
    let bench = Bench::new();
    let release = Made::new("one", &[("a.py", "x = 1\n"), ("b.py", "y = 1\n")]);
    release.publish(&bench);
    let _watch = bench.watch_settled(&["--scrub-interval", "300ms"]);
    std::fs::write(bench.at("b.py"), "damaged").unwrap();
    testkit::until(DEADLINE, "the repair", || bench.files() == release.files);
    // And where the content is gone by then, it is said.
    bench.delete(&content("y = 1\n"));
    std::fs::write(bench.at("b.py"), "damaged").unwrap();
    testkit::until(DEADLINE, "trouble", || {
        bench.status()["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("publish the release again"))
    });
    bench.s3.put(BUCKET, &key(&content("y = 1\n")), "y = 1\n");
    testkit::until(DEADLINE, "the repair", || bench.files() == release.files);
}
