//! Deletes that wait for a person, where a release asks for them.

use crate::polls::{after_polls, asked};
use crate::support::releases::{Made, POINTER};
use crate::support::{Bench, DEADLINE, key};
use testkit::s3::Operation;

#[test]
fn deletes_of_a_release_are_held_until_they_are_approved() {
    let bench = Bench::new();
    let paths: Vec<String> = (0..10).map(|number| format!("f{number}.py")).collect();
    let before = Made::of("before", paths.iter().map(|path| (path.clone(), path)));
    before.publish(&bench);
    let _watch = bench.watch_settled(&[]);
    let after = Made::new("after", &[("f0.py", "f0.py"), ("new.py", "1")]);
    after.publish(&bench);
    testkit::until(DEADLINE, "held deletes, and the rest", || {
        bench.status()["detail"]["held_deletes"] == 9 && bench.at("new.py").exists()
    });
    assert_eq!(bench.files().len(), 11);

    // All the while a poll asks for two things.
    let approvals = key(".s3sync/approve/");
    assert_eq!(
        asked(&bench, 5),
        [
            (Operation::List, approvals.clone(), 200),
            (Operation::Get, key(POINTER), 304),
        ]
    );
    let plan = bench.run("plan", &[]);
    let id = bench.status()["detail"]["held"]["id"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(plan.stdout.contains(&id), "{}", plan.stdout);

    // Another set's approval releases nothing.
    bench.put(".s3sync/approve/0123456789abcdef", "");
    after_polls(&bench, 3);
    assert_eq!(bench.files().len(), 11);
    bench.put(&format!(".s3sync/approve/{id}"), "");
    testkit::until(DEADLINE, "the deletes", || bench.files() == after.files);
    testkit::until(DEADLINE, "nothing held", || {
        bench.status()["detail"]["held_deletes"] == 0
    });
    assert_eq!(asked(&bench, 3), [(Operation::Get, key(POINTER), 304)]);
    assert_eq!(bench.status()["detail"]["release"], after.id());
}

#[test]
fn a_release_that_brings_the_files_back_ends_the_hold() {
    let bench = Bench::new();
    let before = Made::of(
        "before",
        (0..10).map(|n| (format!("f{n}.py"), format!("{n}"))),
    );
    before.publish(&bench);
    let _watch = bench.watch_settled(&[]);
    let empty = Made::new("empty", &[]);
    empty.publish(&bench);
    testkit::until(DEADLINE, "held deletes", || {
        bench.status()["detail"]["held_deletes"] == 10
    });
    before.point(&bench);
    testkit::until(DEADLINE, "nothing held", || {
        bench.status()["detail"]["held_deletes"] == 0
    });
    assert_eq!(bench.files(), before.files);
}
