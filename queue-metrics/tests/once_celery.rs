//! What `once` reads of messages that a real Celery put, and workers that it runs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod once;

use once::{Celery, LONG, answer};
use serde_json::json;
use testkit::redis::{Redis, Value};

const LATE: &str = r#"{"task_acks_late": true, "worker_prefetch_multiplier": 1}"#;

#[test]
fn every_priority_counts_and_only_the_queues_that_were_named() {
    let redis = Redis::start();
    let odd = "odd {q} ü\"'\n*";
    let celery = Celery::new(&redis, LATE);
    celery.put(&[
        ("default", 0, 20),
        ("default", 5, 2),
        ("default", 9, 1),
        (odd, 0, 2),
        ("other", 0, 7),
    ]);
    let seen = answer(
        &redis.url(),
        &["--queues", &format!("default,{odd},empty")],
        &[],
    );
    assert_eq!(
        seen,
        json!({
            "workers_target": 2, "ready": 25, "busy": 0, "orphaned": 0, "unacked": 0,
            "workers_alive": 0, "oldest_task_age": 3,
            "queues": {
                "default": {"ready": 23, "unacked": 0},
                odd: {"ready": 2, "unacked": 0},
                "empty": {"ready": 0, "unacked": 0},
            },
        })
    );
}

#[test]
fn running_tasks_are_busy_and_a_killed_workers_are_orphans_under_a_prefix() {
    let redis = Redis::start();
    let conf = r#"{"task_acks_late": true, "worker_prefetch_multiplier": 1,
        "broker_transport_options": {"global_keyprefix": "p:"}}"#;
    let celery = Celery::new(&redis, conf);
    celery.put(&[("default", 0, 20), ("default", 3, 3)]);
    let mut worker = celery.worker(4);
    testkit::until(LONG, "four tasks to run", || {
        redis.command(&["ZCARD", "p:unacked_index"]) == Value::Int(4)
    });
    let look = || {
        let concurrency = ["--key-prefix", "p:", "--worker-concurrency", "4"];
        let seen = answer(&redis.url(), &concurrency, &[]);
        [
            "ready",
            "busy",
            "orphaned",
            "unacked",
            "workers_alive",
            "workers_target",
        ]
        .map(|name| seen[name].as_u64().unwrap())
    };
    assert_eq!(look(), [19, 4, 0, 4, 1, 6]);
    worker.kill();
    assert_eq!(look(), [19, 0, 4, 4, 0, 5]);
    // A worker that comes after it: the old messages stay, its own are busy.
    let mut second = celery.worker(4);
    testkit::until(LONG, "four more tasks to run", || {
        redis.command(&["ZCARD", "p:unacked_index"]) == Value::Int(8)
    });
    assert_eq!(look(), [15, 4, 4, 8, 1, 5]);
    second.kill();
}
