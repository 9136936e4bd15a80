//! `--report`: one small object, which nothing waits for.

use crate::polls::after_polls;
use crate::support::releases::{Made, content};
use crate::support::watcher::Watcher;
use crate::support::{BUCKET, Bench, DEADLINE};
use serde_json::{Value, json};
use testkit::s3::{Operation, Refusal, Rule};

const KEY: &str = "site/.s3sync/reports/prod.json";
const OPTIONS: &[&str] = &["--report", "s3://bucket/site", "--environment", "prod"];

fn report(bench: &Bench) -> Value {
    let bytes = bench.s3.get(BUCKET, KEY).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn until_reported(bench: &Bench, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    testkit::until(DEADLINE, what, || fits(&report(bench)));
    report(bench)
}

#[test]
fn a_report_says_what_runs_here_and_what_does_not() {
    let bench = Bench::new();
    let first = Made::of(
        "first",
        ["a", "b", "c", "d", "e", "f"].map(|name| (format!("{name}.py"), name)),
    );
    first.publish(&bench);
    let watch = bench.watch_settled(OPTIONS);
    let landed = until_reported(&bench, "the first release", |report| {
        report["release"] == first.id()
    });
    let fields = [
        "schema",
        "environment",
        "service",
        "source",
        "revision",
        "release",
        "generation",
        "landed",
        "updated",
        "held_deletes",
        "rejected",
        "failed",
        "reason",
        "version",
    ];
    let mut keys: Vec<&str> = landed
        .as_object()
        .unwrap()
        .keys()
        .map(|key| &**key)
        .collect();
    let mut fields = fields.to_vec();
    keys.sort();
    fields.sort();
    assert_eq!(keys, fields);
    assert_eq!(
        (
            &landed["schema"],
            &landed["environment"],
            &landed["service"],
            &landed["source"]
        ),
        (
            &json!(1),
            &json!("prod"),
            &json!("s3sync"),
            &json!("s3://bucket/dags/")
        )
    );
    assert_eq!(landed["revision"], first.revision);
    assert_eq!(
        (&landed["reason"], &landed["held_deletes"]),
        (&Value::Null, &Value::Null)
    );

    // Quiet polls write nothing.
    after_polls(&bench, 2);
    bench.s3.reset_requests();
    after_polls(&bench, 5);
    assert_eq!(bench.s3.count(Operation::Put), 0);

    // Content that is not there yet.
    let second = Made::new("second", &[("a.py", "a"), ("b.py", "new")]);
    second.publish(&bench);
    bench.delete(&content("new"));
    let failed = until_reported(&bench, "the failure", |report| {
        report["failed"] != json!([])
    });
    assert_eq!(failed["failed"][0]["key"], "b.py");
    assert_eq!(
        (&failed["release"], &failed["landed"]),
        (&landed["release"], &landed["landed"])
    );
    assert!(
        failed["reason"]
            .as_str()
            .unwrap()
            .contains("publish the release again"),
        "{failed}"
    );

    second.upload(&bench);
    let held = until_reported(&bench, "held deletes", |report| {
        report["held_deletes"]["count"] == 4
    });
    testkit::until(DEADLINE, "the status with the same ID", || {
        held["held_deletes"]["id"] == bench.status()["detail"]["held"]["id"]
    });
    assert_eq!(
        (&held["failed"], &held["reason"]),
        (&json!([]), &Value::Null)
    );

    bench.put(crate::support::releases::POINTER, "nonsense");
    until_reported(&bench, "the refusal", |report| {
        report["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("the pointer is refused"))
    });
    drop(watch);
}

#[test]
fn plain_uploads_are_reported_too() {
    let bench = Bench::with(&[("a.py", "1"), ("x//y.py", "bad")]);
    let _watch = bench.watch_settled(OPTIONS);
    let reported = until_reported(&bench, "a report", |report| {
        report["revision"] != Value::Null
    });
    assert_eq!(
        reported["revision"],
        Made::new("", &[("a.py", "1")]).revision
    );
    assert_eq!(
        (&reported["release"], &reported["rejected"][0]["key"]),
        (&Value::Null, &json!("x//y.py"))
    );
}

#[test]
fn a_report_that_cannot_be_written_costs_nothing_but_a_word() {
    let bench = Bench::with(&[("a.py", "1")]);
    let refusal = bench
        .s3
        .faults()
        .add(Rule::new(Refusal::access_denied()).on(Operation::Put));
    let watch = bench.watch_settled(OPTIONS);
    bench.s3.put(BUCKET, "dags/a.py", "2");
    bench.until_equal();
    testkit::until(DEADLINE, "the status to say so", || {
        bench.status()["reason"].as_str().is_some_and(|reason| {
            reason.contains("the report cannot be written") && reason.contains("s3:PutObject")
        })
    });
    assert_eq!(bench.status()["healthy"], true);
    assert_eq!(
        watch.stderr().matches("report_failed").count(),
        1,
        "{}",
        watch.stderr()
    );
    bench.s3.faults().remove(refusal);
    testkit::until(DEADLINE, "the report", || {
        bench.s3.get(BUCKET, KEY).is_some()
    });
    testkit::until(DEADLINE, "no trouble", || {
        bench.status()["degraded"] == false
    });
}

#[test]
fn only_the_writer_reports_and_only_where_it_is_asked_to() {
    let bench = Bench::with(&[("a.py", "1")]);
    let _watch = bench.watch_settled(&[]);
    bench.until_equal();
    let mut follower = Watcher::start(&bench, "follower", OPTIONS);
    follower.wait_healthy("follower");
    bench.after_listings(3);
    assert_eq!(bench.s3.count(Operation::Put), 0);
    assert_eq!(bench.s3.get(BUCKET, KEY), None);
}

#[test]
fn an_environment_that_no_key_can_hold_is_a_mistake() {
    let bench = Bench::new();
    let options = ["--report", "s3://bucket/site", "--environment", "a/b"];
    let finished = bench.run("watch", &options);
    assert_eq!(finished.code, 64, "{}", finished.stderr);
    assert!(finished.stderr.contains("a/b"), "{}", finished.stderr);
}

/// The two programs together, in both layouts: what one writes the other waits for.
#[test]
fn publish_waits_for_what_the_watcher_reports() {
    for layout in ["in-place", "generations"] {
        let bench = Bench::new();
        let tree = bench.outside.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let publish = |text: &str, timeout: &str| {
            std::fs::write(tree.join("a.py"), text).unwrap();
            testkit::process::Program::new(env!("CARGO_BIN_EXE_s3sync"))
                .arg("publish")
                .arg(&tree)
                .args(["s3://bucket/dags", "--wait", "--environment", "prod"])
                .args(["--timeout", timeout])
                .envs(bench.s3.environment())
                .run(DEADLINE)
        };
        let options = ["--report", "s3://bucket/dags", "--environment", "prod"];
        let _watch = bench.watch(&[&options[..], &["--layout", layout]].concat());
        for text in ["x = 1\n", "x = 2\n"] {
            let landed = publish(text, "25s");
            assert_eq!(
                landed.code, 0,
                "{layout}: {}{}",
                landed.stdout, landed.stderr
            );
            assert!(
                landed.stdout.contains("landed in prod"),
                "{}",
                landed.stdout
            );
        }
        // Whatever is uploaded under this name is another's bytes.
        let content = crate::support::key(&content("x = 3\n"));
        let fault = bench.s3.faults().add(
            Rule::new(testkit::s3::Fault::FlipByte(0))
                .on(Operation::Get)
                .glob(&content),
        );
        let late = publish("x = 3\n", "3s");
        assert_eq!(late.code, 69, "{layout}: {}{}", late.stdout, late.stderr);
        let said = format!("{}{}", late.stdout, late.stderr);
        assert!(said.contains("a.py"), "{said}");
        bench.s3.faults().remove(fault);
        until_landed(&bench);
    }
}

fn until_landed(bench: &Bench) {
    let pointer = bench.s3.get(
        BUCKET,
        &crate::support::key(crate::support::releases::POINTER),
    );
    let pointer: Value = serde_json::from_slice(&pointer.unwrap()).unwrap();
    testkit::until(DEADLINE, "the report of the release", || {
        let bytes = bench.s3.get(BUCKET, "dags/.s3sync/reports/prod.json");
        let report: Value = serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default();
        report["release"] == pointer["release"] && report["reason"].is_null()
    });
}
