//! A publisher that is killed, at each of its requests.

use crate::bench::{BUCKET, Bench, DEADLINE, POINTER, Tree};
use rustix::process::Signal;
use s3sync::release::Pointer;

/// `kill -9` as each request arrives, from the first to the last: whatever was written by then, the
/// pointer names a whole release, and publishing again finishes the job.
#[test]
fn a_publisher_killed_at_any_request_leaves_a_whole_release_and_the_next_finishes() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "0"), ("b.py", "0 too"), ("kept.py", "kept")]);
    bench.publish(&tree, "start", &[]);
    let mut nth = 0;
    loop {
        nth += 1;
        let before = bench.now();
        tree.write("a.py", &format!("a {nth}"));
        tree.write("b.py", &format!("b {nth}"));
        let trap = bench.at(None, "dags/", nth, Signal::KILL);
        let mut publisher = bench
            .publisher(&tree, &format!("killed-{nth}"), &[])
            .spawn();
        trap.set(&publisher);
        let code = publisher.exit_code(DEADLINE);
        let whole = !trap.sprung();
        assert_eq!(
            code,
            if whole { 0 } else { 128 + 9 },
            "{}",
            publisher.stderr()
        );
        bench.s3.faults().clear();
        let after = bench.now();
        let wanted = [
            ("a.py".to_string(), format!("a {nth}")),
            ("b.py".to_string(), format!("b {nth}")),
            ("kept.py".to_string(), "kept".to_string()),
        ];
        assert!(after == before || after == wanted, "{after:?}");
        bench.publish(&tree, &format!("again-{nth}"), &[]);
        assert_eq!(bench.now(), wanted);
        if whole {
            break;
        }
    }
    // Two GETs, two PUTs of content, one of the manifest, one of the pointer, the marker's GET.
    assert_eq!(nth, 8);
    for line in bench.s3.history(BUCKET, POINTER) {
        bench
            .contents(&Pointer::parse(&line).unwrap().release)
            .unwrap();
    }
}

#[test]
fn what_a_killed_publisher_uploaded_is_not_uploaded_again() {
    let bench = Bench::new();
    let names: Vec<String> = (0..150).map(|number| format!("f{number}.py")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (&**name, &**name)).collect();
    let tree = Tree::of(&files);
    let trap = bench.at(
        Some(testkit::s3::Operation::Put),
        "/manifest/",
        1,
        Signal::KILL,
    );
    let mut publisher = bench.publisher(&tree, "one", &[]).spawn();
    trap.set(&publisher);
    publisher.exit_code(DEADLINE);
    bench.s3.faults().clear();
    assert_eq!(bench.pointer(), None);
    let again = bench.publish(&tree, "one", &[]);
    assert_eq!(again["uploaded_files"], 0, "{again}");

    // But for what prune might be about to remove.
    bench.s3.delete(BUCKET, POINTER);
    bench.age_all(2, &[]);
    let aged = bench.publish(&tree, "two", &[]);
    assert_eq!(aged["uploaded_files"], 150, "{aged}");
}

#[test]
fn a_publisher_that_is_stopped_does_not_end_as_if_it_had_published() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1")]);
    let trap = bench.at(
        Some(testkit::s3::Operation::Put),
        "/content/",
        1,
        Signal::TERM,
    );
    // No answer, so that the signal is not overtaken.
    bench.fault(
        testkit::s3::Fault::Hang,
        testkit::s3::Operation::Put,
        "*content*",
    );
    let mut publisher = bench.publisher(&tree, "one", &[]).spawn();
    trap.set(&publisher);
    assert_eq!(publisher.exit_code(DEADLINE), 69, "{}", publisher.stderr());
    assert_eq!(bench.pointer(), None);
}
