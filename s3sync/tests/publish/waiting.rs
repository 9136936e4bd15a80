//! `wait` and `publish --wait`: by the reports of watchers.

use crate::bench::{BUCKET, Bench, DEADLINE, PLACE, Tree, json, release, run, text};
use serde_json::{Value, json as value};
use testkit::s3::{Operation, Refusal, Rule};

fn report(environment: &str, change: &Value) -> Value {
    let mut report = value!({
        "schema": 1, "environment": environment, "service": "s3sync", "source": "s3://bucket/dags/",
        "revision": "0".repeat(64), "release": null, "generation": null,
        "landed": "2026-11-21T09:30:00Z", "updated": "2026-11-21T09:30:00Z",
        "held_deletes": null, "rejected": [], "failed": [], "reason": null, "version": "1",
    });
    for (name, member) in change.as_object().expect("an object") {
        report[name] = member.clone();
    }
    report
}

fn put(bench: &Bench, environment: &str, change: &Value) {
    let key = format!("dags/.s3sync/reports/{environment}.json");
    bench
        .s3
        .put(BUCKET, &key, report(environment, change).to_string());
}

#[test]
fn a_publish_that_waits_ends_when_every_environment_has_it() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1")]);
    put(&bench, "prod", &value!({}));
    put(&bench, "staging", &value!({}));
    put(&bench, "gone", &value!({}));
    bench.age("dags/.s3sync/reports/gone.json", 1);
    let mut publisher = bench
        .publisher(&tree, "one", &["--wait", "--timeout", "1m"])
        .spawn();
    testkit::until(DEADLINE, "the pointer", || bench.pointer().is_some());
    let current = text(&bench.current());
    put(&bench, "prod", &value!({ "release": current }));
    let gets = bench.s3.count(Operation::Get);
    testkit::until(DEADLINE, "more looks", || {
        bench.s3.count(Operation::Get) > gets + 8
    });
    assert!(publisher.is_running(), "staging does not have it yet");
    put(&bench, "staging", &value!({ "release": current }));
    assert_eq!(publisher.exit_code(DEADLINE), 0, "{}", publisher.stderr());
    let answer: Value = serde_json::from_str(&publisher.stdout()).unwrap();
    assert_eq!(answer["waited"]["landed"], true);
    assert_eq!(
        answer["waited"]["environments"].as_array().map(Vec::len),
        Some(2)
    );

    // It may be an environment that is no more, or one whose watcher ended: a person can tell.
    assert_eq!(answer["waited"]["silent"][0]["environment"], "gone");
    let list = json(&bench.run(&["releases", PLACE, "--output", "json"], 0));
    assert_eq!(list[0]["environments"][1]["environment"], "staging");
    assert_eq!(
        (&list[0]["files"], &list[0]["bytes"]),
        (&value!(1), &value!(1))
    );
    let waited = bench.run(&["wait", PLACE], 0);
    assert!(
        waited.stdout.starts_with("landed in prod after 0."),
        "{}",
        waited.stdout
    );
    let gone = "not waited for gone: its report is 1440 minutes old: check that its watcher runs";
    assert!(waited.stdout.contains(gone), "{}", waited.stdout);
    let revision = &answer["revision"].as_str().expect("a revision")[..8];
    put(&bench, "prod", &value!({ "revision": answer["revision"] }));
    bench.run(
        &[
            "wait",
            PLACE,
            "--revision",
            revision,
            "--environment",
            "prod",
        ],
        0,
    );
}

#[test]
fn what_has_not_landed_at_the_deadline_is_69_with_its_reason() {
    let bench = Bench::new();
    let one = bench.publish(&Tree::of(&[("a.py", "1")]), "one", &[]);
    let current = text(&release(&one));
    let wait = |more: &[&str]| {
        let arguments = [&["wait", PLACE, "--timeout", "0s"], more].concat();
        bench.run(&arguments, 69).stdout
    };
    assert!(wait(&[]).contains("there is no report"), "{}", wait(&[]));
    for (change, why) in [
        (value!({}), "it has 000000000000"),
        (
            value!({ "release": current, "held_deletes": { "id": "0123456789abcdef", "count": 9 } }),
            "9 deletes are held: s3sync approve s3://bucket/dags 0123456789abcdef",
        ),
        (
            value!({ "release": current, "failed": [{ "key": "a.py", "reason": "its SHA-256 differs" }] }),
            "failed a.py: its SHA-256 differs",
        ),
        (
            value!({ "reason": "S3 is not reached" }),
            "S3 is not reached",
        ),
        (value!({ "schema": 2 }), "its schema is 2"),
    ] {
        put(&bench, "prod", &change);
        let told = wait(&[]);
        assert!(
            told.starts_with("not landed in prod after 0.") && told.contains(why),
            "{told}"
        );
    }
    put(&bench, "prod", &value!({ "release": current }));
    bench.age("dags/.s3sync/reports/prod.json", 1);
    assert!(wait(&[]).contains("minutes old"), "{}", wait(&[]));
    assert!(wait(&["--environment", "test"]).contains("not landed in test"));

    // The release is published, and the answer says so all the same, to people before they wait.
    let tree = Tree::of(&[("a.py", "2")]);
    let late = json(&run(
        &bench.publisher(&tree, "two", &["--wait", "--timeout", "0s"]),
        69,
    ));
    assert_eq!(
        (&late["published"], &late["waited"]["landed"]),
        (&true.into(), &false.into())
    );
}

#[test]
fn an_answer_that_fails_does_not_end_the_waiting_before_its_deadline() {
    let bench = Bench::new();
    bench.publish(&Tree::of(&[("a.py", "1")]), "one", &[]);
    put(
        &bench,
        "prod",
        &value!({ "release": text(&bench.current()) }),
    );
    let times = 5;
    let refusals = Rule::new(Refusal::service_unavailable()).on(Operation::Get);
    let refusals = refusals.glob("*/reports/*").times(times);
    let refusals = bench.s3.faults().add(refusals);
    bench.run(&["wait", PLACE, "--timeout", "50s"], 0);
    assert_eq!(bench.s3.faults().acted(refusals), times);
    bench.fault(
        Refusal::service_unavailable(),
        Operation::Get,
        "*/reports/*",
    );
    let told = bench.run(&["wait", PLACE, "--timeout", "1s"], 69).stderr;
    assert!(told.contains("reports/prod.json"), "{told}");
}

#[test]
fn reports_may_lie_in_another_place() {
    let bench = Bench::new();
    bench.publish(&Tree::of(&[("a.py", "1")]), "one", &[]);
    let change = value!({ "release": text(&bench.current()) });
    let body = report("prod", &change).to_string();
    bench
        .s3
        .put("reports", "team/.s3sync/reports/prod.json", body);
    bench.run(
        &[
            "wait",
            PLACE,
            "--timeout",
            "0s",
            "--report",
            "s3://reports/team",
        ],
        0,
    );
}
