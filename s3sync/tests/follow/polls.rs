//! What a poll costs where there is a pointer.

use crate::support::releases::{Made, POINTER};
use crate::support::trace::Trace;
use crate::support::{BUCKET, Bench, DEADLINE, key};
use testkit::s3::{Operation, Request};

/// Waits until the pointer was asked for so many times more.
pub(crate) fn after_polls(bench: &Bench, count: usize) {
    let polls = || {
        let requests = bench.s3.requests();
        let polls = requests.iter().filter(|request| is_poll(request));
        polls.count()
    };
    let before = polls();
    testkit::until(DEADLINE, "more polls", || polls() >= before + count);
}

fn is_poll(request: &Request) -> bool {
    request.operation == Operation::Get && request.key == key(POINTER)
}

/// The requests of some polls: operation, key and status, each once.
pub(crate) fn asked(bench: &Bench, polls: usize) -> Vec<(Operation, String, u16)> {
    after_polls(bench, 1);
    bench.s3.reset_requests();
    after_polls(bench, polls);
    let mut asked: Vec<_> = bench
        .s3
        .requests()
        .into_iter()
        .map(|request| (request.operation, request.key, request.status))
        .collect();
    asked.sort_by(|one, other| one.1.cmp(&other.1));
    asked.dedup();
    asked
}

#[test]
fn a_poll_is_one_get_of_the_pointer_however_large_the_tree() {
    let bench = Bench::new();
    // More than a page, were it listed.
    let files = (0..1_100).map(|number| (format!("d{}/f{number}.py", number % 7), "x = 1\n"));
    let release = Made::of("many", files);
    release.publish(&bench);
    bench.put("stray.py", "not of the release");
    let watch = bench.watch_settled(&[]);
    assert_eq!(bench.files(), release.files);

    let quiet = [(Operation::Get, key(POINTER), 304)];
    assert_eq!(asked(&bench, 5), quiet);
    let trace = Trace::attach(&watch, bench.outside.path().join("trace"));
    after_polls(&bench, 2);
    assert_eq!(asked(&bench, 10), quiet);
    let calls = trace.calls_on(&bench.dest());
    let others = calls
        .iter()
        .filter(|call| !call.contains("/.s3sync/heartbeat"))
        .collect::<Vec<_>>();
    assert!(others.is_empty(), "system calls below DEST: {others:#?}");
    assert!(trace.len() > 20, "the trace shows the polls themselves");
    drop(trace);

    // The same pointer, put again.
    release.point(&bench);
    assert_eq!(asked(&bench, 5), quiet);
    assert!(bench.s3.history(BUCKET, &key(POINTER)).len() >= 2);
}

/// A listing is what finds the first pointer, in the same poll that it costs anyhow.
#[test]
fn without_a_pointer_nothing_but_the_list_is_asked_for() {
    let bench = Bench::with(&[("a.py", "1")]);
    let _watch = bench.watch_settled(&[]);
    bench.after_listings(2);
    bench.s3.reset_requests();
    bench.after_listings(5);
    assert!(
        bench
            .s3
            .requests()
            .iter()
            .all(|request| request.operation == Operation::List)
    );
}
