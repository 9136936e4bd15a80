//! A report that is not renewed, or cannot be written: what is said, and to whom.

use crate::support::releases::Made;
use crate::support::watcher::Watcher;
use crate::support::{BUCKET, Bench, DEADLINE, key};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};
use testkit::process::{Finished, Program, Signal};
use testkit::s3::{Fault, Operation, PutOptions, Rule};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const OPTIONS: &[&str] = &["--report", "s3://bucket/dags", "--environment", "prod"];
const PLACE: &str = "s3://bucket/dags";

fn report_key() -> String {
    key(".s3sync/reports/prod.json")
}

fn report(bench: &Bench) -> Value {
    let bytes = bench.s3.get(BUCKET, &report_key()).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn until_reported(bench: &Bench, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    testkit::until(DEADLINE, what, || fits(&report(bench)));
    report(bench)
}

fn ask(bench: &Bench, arguments: &[&str], code: i32) -> Finished {
    let finished = Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .args(arguments.iter().copied())
        .envs(bench.s3.environment())
        .run(DEADLINE);
    let (said, told) = (&finished.stdout, &finished.stderr);
    assert_eq!(finished.code, code, "{arguments:?}: {said}{told}");
    finished
}

#[test]
fn a_watcher_whose_report_is_renewed_no_more_is_named_and_counts_no_longer_as_landed() {
    let bench = Bench::new();
    let release = Made::new("one", &[("a.py", "1"), ("b.py", "1")]);
    release.publish(&bench);
    let watch = bench.watch(OPTIONS);
    let landed = until_reported(&bench, "the release", |report| {
        report["release"] == release.id()
    });
    drop(watch);
    // For a quarter of an hour nobody can tell that it is gone.
    let wait = ["wait", PLACE, "--timeout", "0s"];
    assert!(ask(&bench, &wait, 0).stdout.starts_with("landed in prod"));

    let options = PutOptions {
        last_modified: Some(SystemTime::now() - Duration::from_secs(16 * 60)),
        ..PutOptions::default()
    };
    bench
        .s3
        .put_with(BUCKET, &report_key(), landed.to_string(), options);
    let tree = bench.outside.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("a.py"), "2").unwrap();
    let tree = tree.to_str().unwrap();
    let named = [&wait[..], &["--environment", "prod"]].concat();
    let revision = [&wait[..], &["--revision", &release.revision]].concat();
    let publish = ["publish", tree, PLACE, "--wait", "--timeout", "0s"];
    for command in [&wait[..], &named, &revision, &publish] {
        let said = ask(&bench, command, 69).stdout;
        let why = "its report is 16 minutes old: check that its watcher runs";
        assert!(said.contains("not landed in prod after"), "{said}");
        assert!(said.contains(why), "{said}");
    }
    let table = ask(&bench, &["releases", PLACE], 0).stdout;
    assert!(table.contains("prod (stale)"), "{table}");
    let list = ask(&bench, &["releases", PLACE, "--output", "json"], 0).stdout;
    let list: Value = serde_json::from_str(&list).unwrap();
    let runs = list.as_array().unwrap().iter();
    let runs: Vec<_> = runs
        .flat_map(|line| line["environments"].as_array().unwrap())
        .collect();
    assert_eq!((runs.len(), &runs[0]["stale"]), (1, &json!(true)), "{list}");

    // Its next start writes one at once, whatever it has.
    let _watch = bench.watch(OPTIONS);
    let wait = ["wait", PLACE, "--environment", "prod", "--timeout", "25s"];
    assert!(ask(&bench, &wait, 0).stdout.starts_with("landed in prod"));
}

#[test]
fn a_restart_renews_the_report_and_does_not_change_when_its_generation_landed() {
    let bench = Bench::new();
    let release = Made::new("one", &[("a.py", "1"), ("b.py", "1")]);
    release.publish(&bench);
    let options = [OPTIONS, &["--layout", "generations"]].concat();
    let watch = bench.watch(&options);
    let first = until_reported(&bench, "the release", |report| {
        report["release"] == release.id()
    });
    assert_eq!(first["generation"], release.revision.as_str());
    drop(watch);
    let stopped = OffsetDateTime::now_utc();
    let _watch = bench.watch(&options);
    let second = until_reported(&bench, "a later report of the release", |report| {
        report["updated"] != first["updated"] && report["release"] == release.id()
    });
    let at = |report: &Value, name: &str| {
        let text = report[name].as_str().unwrap();
        OffsetDateTime::parse(text, &Rfc3339).unwrap()
    };
    assert!(at(&second, "updated") > at(&first, "updated"));
    assert!(at(&second, "landed") < stopped, "{second} after {first}");
    assert_eq!(second["generation"], first["generation"]);
}

#[test]
fn a_store_that_does_not_answer_a_report_holds_up_neither_syncing_nor_the_end() {
    let bench = Bench::with(&[("a.py", "1")]);
    bench
        .s3
        .faults()
        .add(Rule::new(Fault::Hang).on(Operation::Put));
    let mut watch = bench.watch_settled(OPTIONS);
    for text in ["2", "3"] {
        bench.put("a.py", text);
        bench.until_equal();
    }
    assert_eq!(bench.s3.get(BUCKET, &report_key()), None);
    let asked = Instant::now();
    watch.signal(Signal::TERM);
    assert_eq!(watch.exit_code(DEADLINE), 0, "{}", watch.stderr());
    // Its grace, after which it would be cut short, is 20 s.
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "{}",
        watch.stderr()
    );
}

#[test]
fn a_report_names_a_hundred_keys_at_most() {
    let bench = Bench::with(&[("a.py", "1")]);
    for number in 0..130 {
        bench.put(&format!("x//{number:03}.py"), "bad");
    }
    let _watch = bench.watch_settled(OPTIONS);
    let report = until_reported(&bench, "the rejected keys", |report| {
        report["rejected"] != json!([]) && report["revision"] != ""
    });
    testkit::until(DEADLINE, "the status", || {
        bench.status()["detail"]["rejected"] == 130
    });
    let rejected = report["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 100);
    assert_eq!(rejected[99]["key"], "x//099.py");
}

/// So a task role that may only read is enough.
#[test]
fn without_a_report_nothing_is_asked_of_s3_but_to_read() {
    for layout in ["in-place", "generations"] {
        let bench = Bench::with(&[("a.py", "1")]);
        let watch = bench.watch_settled(&["--layout", layout]);
        let release = Made::new("one", &[("a.py", "2"), ("b.py", "1")]);
        release.publish(&bench);
        testkit::until(DEADLINE, "the release", || {
            bench.status()["detail"]["release"] == release.id()
        });
        drop(watch);
        let requests = bench.s3.requests().into_iter();
        let others: Vec<_> = requests
            .filter(|request| {
                !matches!(
                    request.operation,
                    Operation::List | Operation::Get | Operation::Head
                )
            })
            .collect();
        assert!(others.is_empty(), "{layout}: {others:?}");
    }
}

/// The one that waits its turn has no report of its own to renew; when it writes, it reports.
#[test]
fn the_report_goes_over_to_the_instance_that_takes_over() {
    let bench = Bench::new();
    let (one, two) = (
        Made::new("one", &[("a.py", "1")]),
        Made::new("two", &[("a.py", "2")]),
    );
    one.publish(&bench);
    let mut first = Watcher::start(&bench, "first", OPTIONS);
    first.wait_healthy("writer");
    let before = until_reported(&bench, "the release", |report| {
        report["release"] == one.id()
    });
    let mut second = Watcher::start(&bench, "second", OPTIONS);
    second.wait_healthy("follower");
    assert_eq!(report(&bench)["updated"], before["updated"]);
    first.process.kill();
    first.process.exit_code(DEADLINE);
    second.wait_healthy("writer");
    two.publish(&bench);
    until_reported(&bench, "the next release", |report| {
        report["release"] == two.id()
    });
}
