//! Promise 7: what cannot be fetched holds the others back for two passes and no longer. With rclone one
//! bad file blocks the deletes for ever (#3594).

use crate::support::{BUCKET, Bench, DEADLINE, key};
use testkit::s3::{Fault, Operation, Refusal, Request, Rule};

/// A tree of which one changed object cannot be read, another changed, a third is new and a fourth gone.
fn with_a_bad_object() -> Bench {
    let bench = Bench::with(&[("bad.py", "old"), ("good.py", "old"), ("gone.py", "old")]);
    bench.once(0, &[]);
    change(&bench);
    bench
}

fn change(bench: &Bench) {
    bench.s3.faults().add(
        Rule::new(Refusal::access_denied())
            .on(Operation::Get)
            .glob("*bad.py"),
    );
    bench.s3.put_all(
        BUCKET,
        ["bad.py", "good.py", "new.py"].map(|path| (key(path), "new")),
    );
    bench.delete("gone.py");
    bench.s3.reset_requests();
}

fn reads_of<'a>(requests: &'a [Request], path: &str) -> impl Iterator<Item = &'a Request> {
    let key = key(path);
    requests
        .iter()
        .filter(move |request| request.operation == Operation::Get && request.key == key)
}

fn the_rest_is_there(bench: &Bench) -> bool {
    !bench.at("gone.py").exists()
        && bench.at("new.py").exists()
        && bench.read("good.py") == "new"
        && bench.read("bad.py") == "old"
}

#[test]
fn promise_7_once_makes_the_held_passes_itself_and_then_the_rest_goes_on() {
    let bench = with_a_bad_object();
    let report = bench.once(77, &[]);
    assert!(the_rest_is_there(&bench));
    assert_eq!((report.added, report.updated, report.deleted), (1, 1, 1));
    assert_eq!(
        report
            .failed
            .iter()
            .map(|failed| failed.key.as_str())
            .collect::<Vec<_>>(),
        ["bad.py"]
    );
    assert!(report.failed[0].reason.contains("denied"), "{report:?}");
    let requests = bench.s3.requests();
    let listings = requests
        .iter()
        .filter(|request| request.operation == Operation::List)
        .count();
    assert_eq!(listings, 3, "two passes held back and one that was not");
    assert_eq!(
        reads_of(&requests, "good.py").count(),
        1,
        "what was staged is not read again"
    );
    bench.s3.faults().clear();
    assert_eq!(bench.once(0, &[]).updated, 1);
    assert_eq!(bench.files(), bench.wanted());
}

#[test]
fn promise_7_a_bad_object_that_heals_within_two_passes_lands_with_its_set() {
    let bench = with_a_bad_object();
    bench
        .s3
        .faults()
        .replace([Rule::new(Refusal::access_denied())
            .on(Operation::Get)
            .glob("*bad.py")
            .times(2)]);
    let report = bench.once(0, &[]);
    assert_eq!((report.added, report.updated, report.deleted), (1, 2, 1));
    assert_eq!(bench.files(), bench.wanted());
}

#[test]
fn promise_7_skip_lets_the_rest_go_on_at_once() {
    let bench = with_a_bad_object();
    let report = bench.once(77, &["--on-failure", "skip"]);
    assert!(the_rest_is_there(&bench));
    assert_eq!(report.failed.len(), 1);
    assert_eq!(bench.s3.count(Operation::List), 1);
}

#[test]
fn promise_7_watch_holds_the_set_for_two_passes_and_then_the_rest_goes_on() {
    let bench = Bench::with(&[("bad.py", "old"), ("good.py", "old"), ("gone.py", "old")]);
    let mut watch = bench.watch_settled(&["--interval", "1s"]);
    change(&bench);
    watch.wait_for(
        |line| line.contains("the set is held back") && line.contains("bad.py"),
        DEADLINE,
    );
    assert!(
        !the_rest_is_there(&bench)
            && bench.read("good.py") == "old"
            && bench.at("gone.py").exists()
    );
    assert_eq!(
        bench.status()["healthy"],
        true,
        "a bad object does not end the task"
    );
    testkit::until(DEADLINE, "the rest to go on", || the_rest_is_there(&bench));
    assert!(
        reads_of(&bench.s3.requests(), "bad.py").count() >= 3,
        "three passes tried it"
    );
    testkit::until(DEADLINE, "it to be told", || {
        bench.status()["reason"]
            .to_string()
            .contains("the rest goes on")
    });
    assert!(bench.status()["degraded"] == true && watch.is_running());

    // The deletes are not held back for ever by what stays bad, and neither is a new change.
    bench.put("later.py", "later");
    bench.delete("new.py");
    testkit::until(DEADLINE, "a later change", || {
        bench.at("later.py").exists() && !bench.at("new.py").exists()
    });

    bench.s3.faults().clear();
    bench.until_equal();
    testkit::until(DEADLINE, "the trouble to end", || {
        bench.status()["degraded"] == false
    });
}

#[test]
fn promise_7_watch_with_skip_never_holds_a_set_back() {
    let bench = Bench::with(&[("bad.py", "old"), ("good.py", "old"), ("gone.py", "old")]);
    let watch = bench.watch_settled(&["--on-failure", "skip"]);
    change(&bench);
    watch.wait_for(|line| line.contains("the rest goes on"), DEADLINE);
    assert!(the_rest_is_there(&bench));
    assert!(!watch.stderr().contains("held back"));
}

/// What is damaged on its way counts as what is refused.
#[test]
fn promise_7_an_object_that_never_verifies_holds_nobody_for_ever() {
    let bench = with_a_bad_object();
    bench.s3.faults().replace([Rule::new(Fault::FlipByte(1))
        .on(Operation::Get)
        .glob("*bad.py")]);
    let report = bench.once(65, &[]);
    assert!(the_rest_is_there(&bench));
    assert_eq!(report.failed.len(), 1);
}
