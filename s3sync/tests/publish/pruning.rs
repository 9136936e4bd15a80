//! `prune`: what it keeps, what it says first, and who publishes meanwhile.

use crate::bench::{BUCKET, Bench, DEADLINE, PLACE, PRUNING, Tree, json, release, run, text};
use s3sync::revision::Hash;
use serde_json::Value;
use testkit::process::Signal;
use testkit::s3::Operation;

/// Releases 1 to `count`, the last is the newest, each with a file of its own and one that all have.
fn history(bench: &Bench, count: u64) -> Vec<Hash> {
    let tree = Tree::of(&[("kept.py", "kept")]);
    let mut releases = Vec::new();
    let mut aged = Vec::new();
    for number in 1..=count {
        tree.write("a.py", &format!("a = {number}"));
        releases.push(release(&bench.publish(&tree, &format!("r{number}"), &[])));
        bench.age_all(2 + count - number, &aged);
        aged = bench.keys();
    }
    releases
}

fn report(bench: &Bench, environment: &str, release: &Hash, revision: &str) {
    let report = serde_json::json!({
        "schema": 1, "environment": environment, "service": "s3sync", "source": PLACE,
        "revision": revision, "release": text(release), "landed": "2026-11-21T09:30:00Z",
        "updated": "2026-11-21T09:30:00Z", "version": "1",
    });
    let key = format!("dags/.s3sync/reports/{environment}.json");
    bench.s3.put(BUCKET, &key, report.to_string());
}

/// Whether the marker says that the last prune ended.
fn has_ended(bench: &Bench) -> bool {
    let marker = bench.s3.get(BUCKET, PRUNING).expect("the marker");
    serde_json::from_slice::<Value>(&marker).expect("JSON")["ended"] == true
}

fn names(bench: &Bench) -> Vec<String> {
    let list = json(&bench.run(&["releases", PLACE, "--output", "json"], 0));
    let lines = list.as_array().expect("a list");
    lines
        .iter()
        .map(|line| line["name"].as_str().unwrap_or_default().to_string())
        .collect()
}

#[test]
fn the_newest_the_current_its_predecessor_and_what_runs_stay_whole() {
    let bench = Bench::new();
    let releases = history(&bench, 7);
    report(&bench, "prod", &releases[1], "0");
    // However old it is: what runs there is not known to have changed.
    bench.age("dags/.s3sync/reports/prod.json", 400);
    // r4 is current now, and r7 was before it.
    bench.run(&["rollback", PLACE, "r4"], 0);
    let before = bench.keys();

    let plan = bench.run(&["prune", PLACE, "--keep", "2", "--dry-run"], 0);
    assert!(
        plan.stdout
            .contains("3 releases to remove, 4 kept; 3 content objects"),
        "{}",
        plan.stdout
    );
    assert_eq!(bench.keys(), before, "a dry run removes nothing");

    let done = bench.run(&["prune", PLACE, "--keep", "2"], 0);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("- ")).count(),
        3,
        "{}",
        done.stdout
    );
    assert_eq!(lines.last(), Some(&"removed"));
    assert_eq!(names(&bench), ["r7", "r6", "r4", "r2"]);
    for number in [2, 4, 6, 7] {
        assert_eq!(
            bench
                .contents(&releases[number - 1])
                .map(|files| files.len()),
            Ok(2)
        );
    }
    assert!(has_ended(&bench));
    let again = json(&bench.run(&["prune", PLACE, "--keep", "2", "--output", "json"], 0));
    assert_eq!(again["releases"], Value::Array(Vec::new()));
}

#[test]
fn what_goes_is_said_before_the_first_of_it_goes() {
    let bench = Bench::new();
    history(&bench, 3);
    let mut prune = bench.stopped_at(
        Operation::Delete,
        "/releases/",
        bench.program(&["prune", PLACE, "--keep", "1"]),
    );
    let said = prune.wait_for(|line| line.contains(" to remove, "), DEADLINE);
    assert!(
        said.text
            .starts_with("1 release to remove, 2 kept; 1 content object"),
        "{said:?}"
    );
    assert!(!prune.stdout().contains("removed"), "{}", prune.stdout());
    prune.signal(Signal::CONT);
    assert_eq!(prune.exit_code(DEADLINE), 0, "{}", prune.stderr());
}

#[test]
fn nothing_is_removed_when_the_needs_of_a_kept_release_are_not_known() {
    let bench = Bench::new();
    let releases = history(&bench, 4);
    let key = format!(
        "dags/.s3sync/releases/manifest/{}.jsonl",
        text(&releases[2])
    );
    bench.s3.put(BUCKET, &key, "{}");
    let before = bench.keys();
    let refused = bench.run(&["prune", PLACE, "--keep", "2"], 65);
    assert!(
        refused.stderr.contains("nothing was removed"),
        "{}",
        refused.stderr
    );
    assert!(has_ended(&bench));
    bench.s3.delete(BUCKET, PRUNING);
    assert_eq!(bench.keys(), before);
}

#[test]
fn nothing_is_removed_when_the_current_release_has_no_manifest() {
    let bench = Bench::new();
    let releases = history(&bench, 3);
    let manifest = s3sync::release::manifest_key(&releases[2]);
    assert!(bench.s3.delete(BUCKET, &format!("dags/{manifest}")));
    let before = bench.keys();
    let refused = bench.run(&["prune", PLACE, "--keep", "1"], 65);
    assert!(
        refused.stderr.contains("nothing was removed"),
        "{}",
        refused.stderr
    );
    bench.s3.delete(BUCKET, PRUNING);
    assert_eq!(bench.keys(), before);
}

#[test]
fn a_prune_that_was_taken_over_leaves_the_marker_of_the_other() {
    let bench = Bench::new();
    history(&bench, 3);
    let mut prune = bench.stopped_at(
        Operation::List,
        "/content/",
        bench.program(&["prune", PLACE, "--keep", "1"]),
    );
    bench.s3.put(BUCKET, PRUNING, "{}");
    prune.signal(Signal::CONT);
    assert_eq!(prune.exit_code(DEADLINE), 0, "{}", prune.stderr());
    assert_eq!(bench.s3.get(BUCKET, PRUNING).as_deref(), Some(&b"{}"[..]));
}

#[test]
fn one_prune_at_a_time_and_a_killed_one_for_an_hour() {
    let bench = Bench::new();
    history(&bench, 3);
    bench.s3.put(BUCKET, PRUNING, "{}");
    let busy = bench.run(&["prune", PLACE, "--keep", "1"], 69);
    assert!(busy.stderr.contains("another prune"), "{}", busy.stderr);
    bench.age(PRUNING, 1);
    bench.run(&["prune", PLACE, "--keep", "1"], 0);
    assert_eq!(names(&bench), ["r3", "r2"]);
    assert!(has_ended(&bench));
}

/// A rollback that checked its release before a prune removed it, and moves the pointer after.
#[test]
fn a_rollback_that_a_prune_overtakes_leaves_the_pointer_where_it_was() {
    let bench = Bench::new();
    let releases = history(&bench, 4);
    let mut rollback = bench.stopped_at(
        Operation::List,
        "/content/",
        bench.program(&["rollback", PLACE, "r1"]),
    );
    bench.run(&["prune", PLACE, "--keep", "1"], 0);
    rollback.signal(Signal::CONT);
    assert_eq!(rollback.exit_code(DEADLINE), 65, "{}", rollback.stderr());
    let told = rollback.stderr();
    assert!(told.contains("the pointer is where it was"), "{told}");
    assert_eq!(bench.current(), releases[3]);
    bench.contents(&bench.current()).unwrap();
}

/// The other way round: the prune has read the pointer, and the rollback moves it to what goes.
#[test]
fn a_rollback_during_a_prune_waits_and_takes_back_what_it_removed() {
    let bench = Bench::new();
    let releases = history(&bench, 4);
    let mut prune = bench.stopped_at(
        Operation::List,
        "/content/",
        bench.program(&["prune", PLACE, "--keep", "1"]),
    );
    let mut rollback = bench.program(&["rollback", PLACE, "r2"]).spawn();
    testkit::until(DEADLINE, "the rollback's write", || {
        bench.current() == releases[1]
    });
    prune.signal(Signal::CONT);
    assert_eq!(prune.exit_code(DEADLINE), 0, "{}", prune.stderr());
    assert_eq!(rollback.exit_code(DEADLINE), 65, "{}", rollback.stderr());
    assert_eq!(bench.current(), releases[3]);
    bench.contents(&bench.current()).unwrap();
}

/// A publisher whose pointer is written while a prune removes looks again, and puts what is gone.
#[test]
fn a_publisher_during_a_prune_puts_again_what_went() {
    let bench = Bench::new();
    history(&bench, 3);
    let tree = Tree::of(&[("kept.py", "kept"), ("a.py", "a = 9")]);
    let mut publisher =
        bench.stopped_at(Operation::Put, "current", bench.publisher(&tree, "r9", &[]));
    // A prune of somebody else's that knows no young content.
    bench.s3.put(BUCKET, PRUNING, "{}");
    use sha2::Digest as _;
    let content = s3sync::release::content_key(&sha2::Sha256::digest("a = 9").into());
    assert!(bench.s3.delete(BUCKET, &format!("dags/{content}")));
    publisher.signal(Signal::CONT);
    let gets = bench.s3.count(Operation::Get);
    testkit::until(DEADLINE, "a look at the marker", || {
        bench.s3.count(Operation::Get) > gets
    });
    bench.s3.delete(BUCKET, PRUNING);
    assert_eq!(publisher.exit_code(DEADLINE), 0, "{}", publisher.stderr());
    assert_eq!(bench.now().len(), 2);
}

/// A prune that listed before a publisher put old bytes again, and ended before its pointer.
#[test]
fn a_publisher_that_a_whole_prune_overtakes_puts_again_what_went() {
    let bench = Bench::new();
    history(&bench, 4);
    let tree = Tree::of(&[("kept.py", "kept"), ("a.py", "a = 1")]);
    let mut prune = bench.stopped_at(
        Operation::Delete,
        "/releases/",
        bench.program(&["prune", PLACE, "--keep", "1"]),
    );
    let mut publisher = bench.stopped_at(
        Operation::Put,
        "current",
        bench.publisher(&tree, "again", &[]),
    );
    prune.signal(Signal::CONT);
    assert_eq!(prune.exit_code(DEADLINE), 0, "{}", prune.stderr());
    publisher.signal(Signal::CONT);
    assert_eq!(publisher.exit_code(DEADLINE), 0, "{}", publisher.stderr());
    assert_eq!(bench.now().len(), 2);
}

#[test]
fn a_rollback_that_cannot_look_again_stays_and_says_so() {
    let bench = Bench::new();
    let releases = history(&bench, 3);
    bench.fault(
        testkit::s3::Refusal::access_denied(),
        Operation::Get,
        PRUNING,
    );
    let told = bench.run(&["rollback", PLACE, "r2"], 77).stderr;
    assert!(told.contains("rolled back to r2"), "{told}");
    assert!(told.contains("could not be verified"), "{told}");
    assert_eq!(bench.current(), releases[1]);
}

/// Publishers and prunes at the same time: whatever came in between, the pointer's release is whole.
#[test]
fn prunes_and_publishers_together_leave_whole_releases() {
    let bench = Bench::new();
    history(&bench, 6);
    for round in 0..3 {
        let mut prune = bench.program(&["prune", PLACE, "--keep", "1"]).spawn();
        // An old release's bytes again: its content is about to go.
        let tree = Tree::of(&[("kept.py", "kept"), ("a.py", &format!("a = {}", round + 1))]);
        let published = json(&run(
            &bench.publisher(&tree, &format!("again-{round}"), &[]),
            0,
        ));
        assert_eq!(prune.exit_code(DEADLINE), 0, "{}", prune.stderr());
        assert_eq!(bench.current(), release(&published));
        assert_eq!(bench.now().len(), 2);
    }
}
