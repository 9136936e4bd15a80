//! The program `queue-metrics protect` itself: settings, status, metric, signals, the wanted revision.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod protect;

use protect::{Fleet, LONG};
use serde_json::{Value, json};
use std::path::PathBuf;
use testkit::ecs::EcsAgent;
use testkit::moto::Moto;
use testkit::process::{Process, Program, Signal};
use testkit::ssm;
use testkit::until;

struct Running {
    process: Process,
    status: PathBuf,
    _directory: tempfile::TempDir,
}

fn program(args: &[&str]) -> Program {
    Program::new(env!("CARGO_BIN_EXE_queue-metrics"))
        .arg("protect")
        .args(args)
}

fn start(args: &[&str], variables: &[(String, String)]) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let status = directory.path().join("status.json");
    let process = program(args)
        .arg("--status-file")
        .arg(&status)
        .envs(variables.iter().cloned())
        .spawn();
    Running {
        process,
        status,
        _directory: directory,
    }
}

impl Running {
    fn status(&self) -> Value {
        let text = std::fs::read_to_string(&self.status).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    fn reaches(&self, phase: &str) {
        let what = format!("phase {phase}");
        until(LONG, &what, || self.status()["phase"] == phase);
    }

    fn events(&self) -> Vec<Value> {
        let text = self.process.stderr();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn events_of(&self, event: &str) -> usize {
        let events = self.events();
        events.iter().filter(|one| one["event"] == event).count()
    }
}

fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

#[test]
fn outside_ecs_it_is_healthy_says_so_once_and_needs_nothing() {
    let mut running = start(&[], &[]);
    running.reaches("idle");
    assert_eq!(running.status()["healthy"], true);
    running.process.signal(Signal::TERM);
    assert_eq!(running.process.exit_code(LONG), 0);
    assert_eq!(running.events().len(), 1, "{:?}", running.events());
    assert_eq!(running.events_of("outside_ecs"), 1);
}

#[test]
fn what_is_wrong_is_64_before_anything_is_asked() {
    let agent = EcsAgent::start();
    let uri = agent.uri();
    let broker = "redis://127.0.0.1:1/0";
    for (args, uri, broker, named) in [
        (&["--worker", "a"][..], &*uri, broker, "--worker"),
        (&["--deny-limit", "soon"], &uri, broker, "--deny-limit"),
        (&["--wanted-revision", "12"], &uri, broker, "ssm://"),
        (&["--group", "other=q"], &uri, broker, "--queues"),
        (&[], "169.254.170.2", broker, "ECS_AGENT_URI"),
        (&[], &uri, "amqp://h", "broker"),
        (&[], &uri, "", "QUEUE_METRICS_BROKER_URL"),
    ] {
        let done = program(args)
            .env("ECS_AGENT_URI", uri)
            .env("QUEUE_METRICS_BROKER_URL", broker)
            .run(LONG);
        assert_eq!(done.code, 64, "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(named), "{args:?}: {}", done.stderr);
    }
    assert!(agent.requests().is_empty());
}

#[test]
fn a_signal_leaves_worker_and_protection_as_they_are() {
    let mut fleet = Fleet::start();
    let agent = EcsAgent::start();
    let variables = [
        pair("ECS_AGENT_URI", agent.uri()),
        pair("QUEUE_METRICS_BROKER_URL", fleet.redis.url()),
    ];
    let args = [
        "--worker",
        "celery@a",
        "--metrics",
        "emf",
        "--environment",
        "test",
        "--service",
        "workers",
        "--queues",
        "default",
    ];
    let mut running = start(&args, &variables);
    running.reaches("working");
    assert_eq!(running.status()["healthy"], true);
    // As documented: its queues are given to it.
    fleet.worker("a", "threads", 2, "trimtab.hold");
    fleet.load(3, 0.2);
    until(LONG, "tasks to run", || fleet.runs().len() > 4);
    let metric = running
        .process
        .wait_for(|line| line.contains("WorkerUnprotected"), LONG);
    let metric: Value = serde_json::from_str(&metric.text).unwrap();
    assert_eq!(metric["WorkerUnprotected"], 0.0);
    assert_eq!(metric["WorkerSilent"], 0.0);
    let dimensions = &metric["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
    assert_eq!(dimensions, &json!([["Environment", "Service"]]));
    assert_eq!(
        (&metric["Environment"], &metric["Service"]),
        (&json!("test"), &json!("workers"))
    );

    running.process.signal(Signal::TERM);
    assert_eq!(running.process.exit_code(LONG), 0);
    assert_eq!(running.status()["phase"], "stopped");
    assert!(agent.is_protected());
    let asked = |request: &testkit::ecs::Request| request.body["ProtectionEnabled"] == true;
    assert!(agent.requests().iter().all(asked), "nothing is given back");
    let count = fleet.runs().len();
    until(LONG, "the worker to go on", || {
        fleet.runs().len() > count + 4
    });
    assert!(!fleet.log("a").contains("Canceling"));
}

#[test]
fn a_wanted_revision_that_is_another_drains_and_its_own_does_not() {
    let moto = Moto::shared();
    let mut fleet = Fleet::start();
    for (name, value, phase) in [("own", "worker:12", "working"), ("other", "13", "released")] {
        let parameter = format!("/protect/{name}");
        ssm::put(moto.endpoint(), &parameter, value);
        let agent = EcsAgent::start();
        let mut variables = moto.environment();
        variables.extend([
            pair("ECS_AGENT_URI", agent.uri()),
            pair("ECS_CONTAINER_METADATA_URI_V4", agent.metadata_uri()),
            pair("QUEUE_METRICS_BROKER_URL", fleet.redis.url()),
        ]);
        let worker = format!("celery@{name}");
        let wanted = format!("ssm://{parameter}");
        fleet.worker(name, "threads", 1, "default");
        until(LONG, "the worker to be ready", || fleet.is_ready(name));
        let running = start(
            &["--worker", &worker, "--wanted-revision", &wanted],
            &variables,
        );
        running.reaches(phase);
        let known = value == "13";
        until(LONG, "the revision to be known", || {
            running.status()["detail"]["outdated"] == known
        });
        assert_eq!(agent.is_protected(), !known);
        assert_eq!(running.events_of("revision_unknown"), 0);
    }
}

#[test]
fn a_revision_that_cannot_be_learned_is_told_once_and_drains_nobody() {
    let fleet = Fleet::start();
    let agent = EcsAgent::start();
    let variables = [
        pair("ECS_AGENT_URI", agent.uri()),
        pair("QUEUE_METRICS_BROKER_URL", fleet.redis.url()),
    ];
    let running = start(&["--wanted-revision", "ssm:///x"], &variables);
    running.reaches("working");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let worker = format!("celery@{}", host.trim());
    assert_eq!(running.status()["detail"]["worker"], worker.as_str());
    until(LONG, "it to be told", || {
        running.events_of("revision_unknown") == 1
    });
    assert_eq!(running.status()["detail"]["outdated"], false);
}
