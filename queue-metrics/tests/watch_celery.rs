//! `watch`, and `once` with groups, beside real workers of a real Celery.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod once;
mod watch;

use once::{Celery, answer};
use serde_json::Value;
use testkit::airflow::{Airflow, Release};
use testkit::process::{Process, Program};
use testkit::redis::{self, Redis};
use watch::{LONG, Watch};

const LATE: &str = r#"{"task_acks_late": true, "worker_prefetch_multiplier": 1}"#;

/// A worker of some queues, which is ready.
fn worker(redis: &Redis, celery: &Celery, name: &str, queues: &str) -> Process {
    let node = format!("{name}@%h");
    let bin = Airflow::of(Release::V3_1).bin();
    let worker = Program::new(bin.join("celery"))
        .directory(celery.directory.path())
        .env("BROKER", redis.url())
        .env("CONF", LATE)
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", celery.directory.path())
        .args(["-A", "app", "worker", "-P", "threads", "-l", "INFO"])
        .args(["--without-gossip", "--without-mingle", "-O", "fair"])
        .args(["-c", "2", "-n", node.as_str(), "-Q", queues])
        .spawn();
    worker.wait_for(|line| line.contains("ready."), LONG);
    worker
}

fn in_flight(redis: &Redis, count: i64) {
    testkit::until(LONG, "tasks to run", || {
        redis.command(&["ZCARD", "unacked_index"]) == redis::Value::Int(count)
    });
}

#[test]
fn each_group_has_the_workers_that_consume_its_queues_and_the_orphans_of_its_own() {
    let redis = Redis::start();
    let celery = Celery::new(&redis, LATE);
    let own = worker(&redis, &celery, "own", "default,low");
    let mut big = worker(&redis, &celery, "big", "big");
    celery.put(&[("default", 0, 3), ("low", 0, 1), ("big", 0, 5)]);
    in_flight(&redis, 4);
    let args = ["--queues", "default,low", "--group", "big=big"];
    let args = [&args[..], &["--worker-concurrency", "2"]].concat();
    let watch = Watch::start(
        &redis.url(),
        &[&args[..], &["--metrics", "emf"]].concat(),
        &[],
    );
    let args = [&args[..], &["--service", "workers"]].concat();
    let names = [
        "workers_target",
        "ready",
        "busy",
        "orphaned",
        "workers_alive",
    ];
    let look = |group: &str| {
        let seen = answer(&redis.url(), &args, &[]);
        names.map(|name| seen["groups"][group][name].as_u64().unwrap())
    };
    assert_eq!(look("workers"), [2, 2, 2, 0, 1]);
    assert_eq!(look("big"), [3, 3, 2, 0, 1]);
    // Before a worker has told it, it counts for each group.
    watch.until("each worker's home to be found", |status| {
        let alive = |group: &str| status["detail"]["groups"][group]["workers_alive"] == 1;
        alive("workers") && alive("big")
    });
    big.kill();
    assert_eq!(look("big"), [2, 3, 0, 2, 0]);
    assert_eq!(look("workers"), [2, 2, 2, 0, 1]);
    let event = watch.until_event("worker_silent");
    assert!(
        event["worker"].as_str().unwrap().starts_with("big@"),
        "{event}"
    );
    assert_eq!(event["tasks"], 2);
    // Within the first hold everything in flight counts as busy.
    let status = watch.until("the worker to be gone", |status| {
        status["detail"]["groups"]["big"]["workers_alive"] == 0
    });
    let group = &status["detail"]["groups"]["big"];
    assert_eq!(
        (&group["busy"], &group["workers_target"]),
        (&Value::from(2), &3.into())
    );
    drop(own);
}
