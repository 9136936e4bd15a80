//! Promise 5: what is deleted, when, and above all what is not.

use crate::support::trace::calls;
use crate::support::{BUCKET, Bench, DEADLINE, key};
use std::collections::BTreeSet;
use testkit::process::Program;
use testkit::s3::{Fault, Operation, Refusal, Rule, When};

/// The ID of the held set, as `plan` names it.
fn held_id(bench: &Bench) -> String {
    let finished = bench.run("plan", &[]);
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    let words = finished.stdout.split_whitespace();
    words
        .last()
        .filter(|id| id.len() == 16)
        .unwrap_or_else(|| panic!("no ID: {}", finished.stdout))
        .to_string()
}

fn approve(bench: &Bench, id: &str) {
    let program =
        Program::new(env!("CARGO_BIN_EXE_s3sync")).args(["approve", "s3://bucket/dags", id]);
    let finished = program.envs(bench.s3.environment()).run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

#[test]
fn promise_5_deletes_come_last() {
    let bench = Bench::with(&[("a-old.py", "1"), ("m.py", "1"), ("z-old.py", "1")]);
    bench.once(0, &[]);
    bench.delete("a-old.py");
    bench.delete("z-old.py");
    bench.put("m.py", "2");
    bench.put("new.py", "3");
    let output = bench.outside.path().join("trace");
    let traced = Program::new("/usr/bin/strace")
        .args([
            "-f",
            "-y",
            "-e",
            "trace=rename,renameat,renameat2,unlink,unlinkat",
            "-o",
        ])
        .arg(&output)
        .arg(env!("CARGO_BIN_EXE_s3sync"))
        .args(["once", "s3://bucket/dags"])
        .arg(bench.dest())
        .envs(bench.s3.environment())
        .env("S3SYNC_STATUS_FILE", bench.status_file())
        .run(DEADLINE);
    assert_eq!(traced.code, 0, "{}", traced.stderr);
    let lines = calls(&output);
    let first = |what: &str| {
        let mut places = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.contains(&format!("\"{what}\"")));
        places
            .next()
            .unwrap_or_else(|| panic!("{what} is in no call: {lines:#?}"))
            .0
    };
    let (published, deleted) = (
        ["m.py", "new.py"].map(first),
        ["a-old.py", "z-old.py"].map(first),
    );
    assert!(published.iter().max() < deleted.iter().min(), "{lines:#?}");
    assert_eq!(bench.files(), bench.wanted());
}

/// Two pages: faults of the second leave a first that looks good. Only one file is gone, which the
/// gate would let through.
fn bench_of_two_pages() -> Bench {
    let bench = Bench::new();
    bench.s3.put_all(
        BUCKET,
        (0..1_010).map(|number| (key(&format!("f{number:04}.py")), "x = 1\n")),
    );
    bench.once(0, &[]);
    bench.delete("f0003.py");
    bench
}

/// With the fault from that page on, so that the repeats of a request fail as well.
fn deletes_nothing(bench: &Bench, fault: &Fault, page: u64, code: i32) {
    let rule = Rule::new(fault.clone())
        .on(Operation::List)
        .when(When::From(page));
    bench.s3.faults().replace([rule]);
    let finished = bench.run("once", &[]);
    assert_eq!(bench.files().len(), 1_010, "{fault:?} on page {page}");
    assert_eq!(
        finished.code, code,
        "{fault:?} on page {page}: {}",
        finished.stderr
    );
}

/// objinsync deletes all that an incomplete or empty listing lacks; aws s3 sync wiped a backup.
#[test]
fn promise_5_a_partial_listing_deletes_nothing() {
    let faults = [
        (Fault::TruncatedListing, 65, &[1, 2][..]),
        (Fault::ListingDropsKeys(2), 65, &[1, 2]),
        (Fault::ListingWithoutToken, 65, &[1]),
        (Refusal::access_denied().into(), 77, &[1, 2]),
        (Refusal::no_such_bucket(BUCKET).into(), 65, &[1, 2]),
    ];
    // Each on its own server, for some wait between tries.
    std::thread::scope(|scope| {
        for (fault, code, pages) in faults {
            scope.spawn(move || {
                let bench = bench_of_two_pages();
                for page in pages {
                    deletes_nothing(&bench, &fault, *page, code);
                }
                bench.s3.faults().clear();
                assert_eq!(bench.once(0, &[]).deleted, 1, "{fault:?}");
            });
        }
    });
}

#[test]
fn promise_5_a_failed_listing_deletes_nothing() {
    let faults = [
        Fault::CutAfter(500),
        Fault::Reset,
        Refusal::internal_error().into(),
    ];
    // Each on its own server, for they all wait between tries.
    std::thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || {
                let bench = bench_of_two_pages();
                deletes_nothing(&bench, &fault, 2, 69);
                bench.s3.faults().clear();
                assert_eq!(bench.once(0, &[]).deleted, 1, "{fault:?}");
            });
        }
    });
}

#[test]
fn promise_5_a_listing_that_fails_for_a_while_deletes_nothing_in_watch() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "2"), ("c.py", "3")]);
    let _watch = bench.watch_settled(&[]);
    let faults = [
        Fault::TruncatedListing,
        Fault::ListingDropsKeys(1),
        Refusal::slow_down().into(),
        Fault::EmptyListing,
    ];
    for fault in faults {
        let acted = bench
            .s3
            .faults()
            .add(Rule::new(fault.clone()).on(Operation::List));
        testkit::until(DEADLINE, "the fault to act", || {
            bench.s3.faults().acted(acted) >= 2
        });
        assert_eq!(bench.files().len(), 3, "{fault:?}");
        bench.s3.faults().clear();
        bench.put("a.py", format!("{fault:?}"));
        bench.until_equal();
    }
    testkit::until(DEADLINE, "nothing to be held", || {
        bench.status()["detail"]["held_deletes"] == 0
    });
}

#[test]
fn promise_5_an_empty_listing_is_held_until_it_is_approved() {
    let bench = Bench::with(&[("a.py", "1"), ("sub/b.py", "2")]);
    bench.once(0, &[]);
    let before = bench.files();
    bench.s3.delete_prefix(BUCKET, "dags/");
    for _ in 0..2 {
        let report = bench.once(1, &[]);
        assert_eq!((report.held_deletes, report.deleted), (2, 0));
        assert_eq!(bench.files(), before);
    }
    let id = held_id(&bench);
    let finished = bench.run("once", &[]);
    assert!(
        finished.stdout.contains(&id) && finished.stderr.contains(&id),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    approve(&bench, "0123456789abcdef");
    assert_eq!(
        bench.once(1, &[]).held_deletes,
        2,
        "another's approval releases nothing"
    );
    approve(&bench, &id);
    assert_eq!(bench.once(0, &[]).deleted, 2);
    assert!(
        bench.picture().0.is_empty(),
        "the approval itself is not synced: {:?}",
        bench.picture()
    );
}

#[test]
fn promise_5_an_approval_releases_what_its_giver_saw_and_no_more() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "2")]);
    bench.once(0, &[]);
    bench.s3.delete_prefix(BUCKET, "dags/");
    bench.once(1, &[]);
    let id = held_id(&bench);
    bench.put("c.py", "3");
    bench.once(0, &[]);
    bench.put("d.py", "4");
    bench.once(0, &[]);
    bench.s3.delete_prefix(BUCKET, "dags/");
    approve(&bench, &id);
    let report = bench.once(1, &[]);
    assert_eq!(
        (report.deleted, report.held_deletes),
        (0, 2),
        "c.py and d.py were not in the set"
    );
}

#[test]
fn promise_5_allow_empty_lets_an_empty_listing_delete() {
    let bench = Bench::with(&[
        ("a.py", "1"),
        ("b.py", "2"),
        ("c.py", "3"),
        ("d.py", "4"),
        ("e.py", "5"),
    ]);
    bench.once(0, &[]);
    bench.s3.delete_prefix(BUCKET, "dags/");
    bench.once(1, &[]);
    assert_eq!(bench.once(0, &["--allow-empty"]).deleted, 5);
    assert!(bench.files().is_empty());
}

#[test]
fn promise_5_beyond_the_gate_deletes_are_held_while_the_rest_lands() {
    let bench = Bench::new();
    (0..10).for_each(|number| drop(bench.put(&format!("f{number}.py"), number.to_string())));
    let _watch = bench.watch_settled(&[]);
    (0..6).for_each(|number| bench.delete(&format!("f{number}.py")));
    bench.put("new.py", "new");
    bench.put("f9.py", "changed");
    testkit::until(DEADLINE, "held deletes", || {
        bench.status()["detail"]["held_deletes"] == 6
    });
    assert_eq!(bench.files().len(), 11);
    assert_eq!(bench.read("f9.py"), "changed");
    let id = bench.status()["detail"]["held"]["id"]
        .as_str()
        .unwrap()
        .to_string();
    assert_eq!(id, held_id(&bench));
    approve(&bench, &id);
    bench.until_equal();
    testkit::until(DEADLINE, "nothing to be held", || {
        bench.status()["detail"]["held_deletes"] == 0
    });
}

#[test]
fn promise_5_what_it_does_not_manage_is_never_deleted() {
    let bench = Bench::with(&[("a.py", "1"), ("sub/b.py", "2")]);
    let mine: BTreeSet<&str> = [
        "mine.py",
        "sub/mine.py",
        "own/mine.txt",
        "sub/__pycache__/b.cpython-312.pyc",
    ]
    .into();
    for path in &mine {
        std::fs::create_dir_all(bench.at(path).parent().unwrap()).unwrap();
        std::fs::write(bench.at(path), "mine").unwrap();
    }
    bench.once(0, &[]);
    bench.delete("sub/b.py");
    bench.once(0, &[]);
    bench.delete("a.py");
    bench.once(0, &["--allow-empty"]);
    let left = bench.files();
    assert_eq!(
        left.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        mine
    );
    assert!(left.values().all(|bytes| bytes == b"mine"));
}
