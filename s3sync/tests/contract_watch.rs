//! What a running `s3sync watch` shows the outside: status, metrics, logs, and how it takes signals.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::{Bench, DEADLINE, metric_names};
use testkit::process::{Process, Signal};
use testkit::s3::{Fault, Operation, Rule};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Shorter than the time in which a hanging request would be given up.
const SOON: Duration = Duration::from_secs(10);

fn end(process: &mut Process, signal: Signal) {
    assert!(process.signal(signal));
    assert_eq!(process.exit_code(SOON), 0, "{}", process.stderr());
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(|key| &**key)
        .collect()
}

fn assert_nothing_staged(bench: &Bench) {
    let staging = bench.state().join("staging");
    let left: Vec<_> = walk(&staging);
    assert!(left.is_empty(), "{left:?}");
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| walk(&path).into_iter().chain([path]))
        .collect()
}

#[test]
fn the_status_file_has_the_designs_fields() {
    let bench = Bench::with(&[("a.py", "1")]);
    let mut process = bench.watch_settled(&[]);
    let status = bench.status();
    let expected = [
        "schema",
        "agent",
        "version",
        "pid",
        "phase",
        "healthy",
        "degraded",
        "reason",
        "updated",
        "valid_until",
        "detail",
    ];
    assert_eq!(keys(&status), expected.into(), "{status}");
    assert_eq!(
        (&status["schema"], &status["agent"], &status["pid"]),
        (&json!(1), &json!("s3sync"), &json!(process.id()))
    );
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&status["degraded"], &status["reason"]),
        (&json!(false), &Value::Null)
    );
    let time =
        |field: &str| OffsetDateTime::parse(status[field].as_str().unwrap(), &Rfc3339).unwrap();
    let (updated, valid_until) = (time("updated"), time("valid_until"));
    assert!(
        updated.offset().is_utc() && valid_until > updated,
        "{status}"
    );
    let detail = &status["detail"];
    assert_eq!(
        (&detail["role"], &detail["source"]),
        (&json!("writer"), &json!("s3://bucket/dags/"))
    );
    let report = bench.run("digest", &[]);
    assert_eq!(report.code, 64, "a digest takes one directory");
    let digest = testkit::process::Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .arg("digest")
        .arg(bench.dest())
        .run(DEADLINE);
    assert_eq!(detail["revision"].as_str(), Some(digest.stdout.trim()));
    end(&mut process, Signal::TERM);
}

/// The lines of stdout, each of which must be a metric record.
fn records(process: &Process) -> Vec<Value> {
    process
        .stdout()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn emf_lines_hold_every_metric_under_exactly_environment_and_service() {
    let bench = Bench::with(&[("a.py", "12345"), ("x//y.py", "bad")]);
    std::fs::write(bench.at("stray.txt"), "stray").unwrap();
    let mut process = bench
        .program(
            "watch",
            &[
                "--interval",
                "200ms",
                "--settle",
                "100ms",
                "--metrics",
                "emf",
                "--scrub-interval",
                "500ms",
            ],
        )
        .env("TRIMTAB_ENVIRONMENT", "prod")
        .env("S3SYNC_SERVICE", "dags")
        .without_env("S3SYNC_METRICS")
        .spawn();
    bench.until_healthy();
    std::fs::write(bench.at("a.py"), "damaged").unwrap();
    testkit::until(DEADLINE, "the repair", || bench.read("a.py") == "12345");
    bench.s3.faults().add(
        Rule::new(testkit::s3::Refusal::access_denied())
            .on(Operation::List)
            .times(2),
    );
    bench.after_listings(4);
    end(&mut process, Signal::TERM);

    let records = records(&process);
    let mut expected: BTreeSet<String> = metric_names().into_iter().collect();
    expected.insert("LogsDropped".to_string());
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for record in &records {
        let declared = record["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        assert_eq!(declared.len(), 1, "{record}");
        assert_eq!(declared[0]["Namespace"], "Trimtab");
        assert_eq!(
            declared[0]["Dimensions"],
            json!([["Environment", "Service"]])
        );
        assert_eq!(
            (&record["Environment"], &record["Service"]),
            (&json!("prod"), &json!("dags"))
        );
        let names: BTreeSet<String> = declared[0]["Metrics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|metric| metric["Name"].as_str().unwrap().to_string())
            .collect();
        assert_eq!(names, expected, "{record}");
        for name in &expected {
            let value = record[name]
                .as_f64()
                .unwrap_or_else(|| panic!("{name}: {record}"));
            *sums.entry(name).or_default() += value;
        }
    }
    assert!(records.len() >= 2, "published on change and at the end");
    let last = records.last().unwrap();
    assert_eq!(
        (
            &last["KeysRejected"],
            &last["FilesUnmanaged"],
            &last["DeletesHeld"]
        ),
        (&json!(1.0), &json!(1.0), &json!(0.0))
    );
    assert_eq!(
        (
            sums["FilesChanged"],
            sums["FilesRepaired"],
            sums["BytesFetched"],
            sums["SyncErrors"]
        ),
        (2.0, 1.0, 10.0, 2.0)
    );
    assert!(last["SyncLag"].as_f64().unwrap() < 60.0);
}

#[test]
fn cloudwatch_receives_every_metric_with_exactly_two_dimensions() {
    let moto = testkit::moto::Moto::shared();
    let shim = testkit::cloudwatch::Shim::start(moto.endpoint());
    let bench = Bench::with(&[("a.py", "12345")]);
    let namespace = "TrimtabContract";
    let arguments = [
        "--interval",
        "200ms",
        "--settle",
        "100ms",
        "--metrics",
        "cloudwatch",
        "--namespace",
        namespace,
        "--environment",
        "test",
    ];
    let mut process = bench
        .program("watch", &arguments)
        .without_env("S3SYNC_METRICS")
        .env("AWS_ENDPOINT_URL_S3", bench.s3.endpoint())
        .env("AWS_ENDPOINT_URL_CLOUDWATCH", shim.endpoint())
        .spawn();
    bench.until_healthy();
    end(&mut process, Signal::TERM);
    let metrics = moto.metrics(namespace);
    let mut expected: BTreeSet<String> = metric_names().into_iter().collect();
    expected.insert("LogsDropped".to_string());
    let names: BTreeSet<String> = metrics.iter().map(|metric| metric.name.clone()).collect();
    assert_eq!(names, expected, "{}", process.stderr());
    for metric in &metrics {
        let dimensions: Vec<(&str, &str)> = metric
            .dimensions
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(
            dimensions,
            [("Environment", "test"), ("Service", "s3sync")],
            "{metric:?}"
        );
    }
    let sum = |name: &str| {
        metrics
            .iter()
            .find(|metric| metric.name == name)
            .unwrap()
            .sum
    };
    assert_eq!((sum("FilesChanged"), sum("BytesFetched")), (1.0, 5.0));
}

#[test]
fn a_signal_ends_watch_with_0_and_leaves_nothing_in_staging() {
    for signal in [Signal::TERM, Signal::INT] {
        let bench = Bench::with(&[("a.py", "1")]);
        let mut process = bench.watch_settled(&[]);
        end(&mut process, signal);
        assert_nothing_staged(&bench);
        assert_eq!(bench.read("a.py"), "1");
        let last: Value = serde_json::from_str(process.stderr().lines().last().unwrap()).unwrap();
        assert_eq!(last["event"], "stopped", "{last}");
    }
}

#[test]
fn a_signal_in_the_middle_of_a_burst_lets_the_burst_finish() {
    const FILES: usize = 1_500;
    let bench = Bench::new();
    for number in 0..FILES {
        bench.put(&format!("f{number:04}.py"), format!("x = {number}"));
    }
    let mut process = bench
        .program("watch", &["--interval", "200ms", "--settle", "0s"])
        .spawn();
    while !bench.at("f0000.py").exists() {
        assert!(process.is_running(), "{}", process.stderr());
        std::thread::sleep(Duration::from_micros(200));
    }
    end(&mut process, Signal::TERM);
    assert_eq!(bench.files().len(), FILES);
    assert_nothing_staged(&bench);
    bench.s3.reset_requests();
    assert_eq!(
        bench.once(0, &[]).unchanged,
        FILES as u64,
        "and the manifest knows"
    );
    assert_eq!(bench.s3.count(Operation::Get), 0);
}

#[test]
fn a_signal_ends_watch_while_a_download_or_a_listing_hangs() {
    for (operation, fault) in [
        (Operation::Get, Fault::HangAfter(2)),
        (Operation::Get, Fault::Hang),
        (Operation::List, Fault::Hang),
    ] {
        let bench = Bench::with(&[("a.py", "1"), ("b.py", "2")]);
        let mut process = bench.watch_settled(&[]);
        let rule = bench.s3.faults().add(Rule::new(fault).on(operation));
        bench.put("big.py", "x = 1\n".repeat(1000));
        testkit::until(DEADLINE, "the request that hangs", || {
            bench.s3.faults().acted(rule) > 0
        });
        end(&mut process, Signal::TERM);
        assert_nothing_staged(&bench);
        assert_eq!(bench.files().len(), 2);
    }
}

#[test]
fn a_signal_ends_once_and_plan_while_s3_hangs() {
    for command in ["once", "plan", "verify"] {
        let bench = Bench::with(&[("a.py", "1")]);
        let rule = bench
            .s3
            .faults()
            .add(Rule::new(Fault::Hang).on(Operation::List));
        let mut process = bench.program(command, &[]).spawn();
        testkit::until(DEADLINE, "the request that hangs", || {
            bench.s3.faults().acted(rule) > 0
        });
        end(&mut process, Signal::TERM);
        assert_nothing_staged(&bench);
    }
}

#[test]
fn a_poll_that_finds_nothing_new_logs_nothing() {
    let bench = Bench::with(&[("a.py", "1"), ("x//y.py", "bad")]);
    let mut process = bench.watch_settled(&[]);
    bench.after_listings(2);
    let before = process.lines().len();
    bench.after_listings(8);
    let lines = process.lines();
    assert_eq!(lines.len(), before, "{:?}", &lines[before..]);
    bench.put("b.py", "2");
    bench.until_equal_but_for_rejected(1);
    end(&mut process, Signal::TERM);
    let stderr = process.stderr();
    assert_eq!(
        stderr.matches(r#""event":"pass""#).count(),
        2,
        "one line for each change: {stderr}"
    );
}

#[test]
fn each_log_line_has_time_level_event_and_a_constant_message() {
    let bench = Bench::with(&[("a.py", "1"), ("x//y.py", "bad")]);
    std::fs::write(bench.at("stray.py"), "stray").unwrap();
    let mut process = bench.watch_settled(&[]);
    bench.s3.go_down();
    testkit::until(DEADLINE, "trouble", || bench.status()["degraded"] == true);
    bench.s3.come_back();
    testkit::until(DEADLINE, "its end", || bench.status()["degraded"] == false);
    end(&mut process, Signal::TERM);
    let mut seen = BTreeSet::new();
    for line in process.stderr().lines() {
        let event: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let time = OffsetDateTime::parse(event["timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
        assert!(time.offset().is_utc(), "{line}");
        assert!(
            ["INFO", "WARN", "ERROR"].contains(&event["level"].as_str().unwrap()),
            "{line}"
        );
        let message = event["message"]
            .as_str()
            .unwrap()
            .replace("s3sync", "")
            .replace("S3", "");
        assert!(
            !message.contains(|letter: char| letter.is_ascii_digit()),
            "{line}"
        );
        seen.insert(
            event["event"]
                .as_str()
                .unwrap_or_else(|| panic!("no event: {line}"))
                .to_string(),
        );
    }
    for event in [
        "started",
        "list_cost",
        "unmanaged_python",
        "key_rejected",
        "pass",
        "trouble",
        "trouble_ended",
        "stopped",
    ] {
        assert!(seen.contains(event), "{event} is not among {seen:?}");
    }
}

#[test]
fn text_logs_are_for_people() {
    let bench = Bench::with(&[("a.py", "1")]);
    let finished = bench
        .program("once", &[])
        .env("TRIMTAB_LOG_FORMAT", "text")
        .run(DEADLINE);
    assert_eq!(finished.code, 0);
    let line = finished
        .stderr
        .lines()
        .find(|line| line.contains("DEST changed"))
        .expect("a summary");
    assert!(
        line.contains("INFO") && line.contains("added=1") && !line.contains('\u{1b}'),
        "{line:?}"
    );
}
