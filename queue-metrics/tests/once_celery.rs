//! What `once` reads of messages that a real Celery put, and workers that it runs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod once;

use once::{Celery, LONG, answer, number, numbers};
use serde_json::json;
use testkit::redis::{Options, Redis, Value};

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

/// 20 + 3 tasks, four slots: what the lists alone say, and what `once` says.
///
/// | acknowledgement, prefetch | base list | ready | unacked | busy |
/// |---|---|---|---|---|
/// | late, 1 | 16 | 19 | 4 run | 4 |
/// | late, 4 | 4 | 7 | 4 run, 12 wait in the worker | 16 |
/// | early, 1 | 12 | 15 | 4 wait in the worker | 8 |
/// | early, 4 | 0 | 3 | 16 wait in the worker | 20 |
#[test]
fn every_way_to_acknowledge_and_prefetch_asks_for_the_same_workers() {
    std::thread::scope(|scope| {
        for row in [
            (true, 1, [16, 19, 4, 4]),
            (true, 4, [4, 7, 16, 16]),
            (false, 1, [12, 15, 4, 8]),
            (false, 4, [0, 3, 16, 20]),
        ] {
            scope.spawn(move || {
                let (late, prefetch, [base, ready, unacked, busy]) = row;
                let redis = Redis::start();
                let conf = json!({"task_acks_late": late, "worker_prefetch_multiplier": prefetch});
                let celery = Celery::new(&redis, &conf.to_string());
                celery.put(&[("default", 0, 20), ("default", 5, 3)]);
                let mut worker = celery.worker(4);
                testkit::until(LONG, "the worker to be full", || {
                    number(&redis, 0, ["ZCARD", "unacked_index"]) == unacked
                        && number(&redis, 0, ["LLEN", "default"]) == base
                });
                let prefetch = prefetch.to_string();
                let late = if late { "True" } else { "False" };
                let seen = answer(
                    &redis.url(),
                    &["--worker-concurrency", "4"],
                    &[
                        ("AIRFLOW__CELERY__TASK_ACKS_LATE", late),
                        ("AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER", &prefetch),
                    ],
                );
                let names = ["ready", "unacked", "busy", "orphaned", "workers_target"];
                let counts = [ready, unacked, busy, 0, 6].map(|count| count as u64);
                assert_eq!(numbers(&seen, names), counts, "{row:?}: {seen}");
                worker.kill();
            });
        }
    });
}

#[test]
fn prefix_separator_and_steps_are_taken_from_airflows_own_settings() {
    let redis = Redis::start();
    let conf = r#"{"task_acks_late": true, "worker_prefetch_multiplier": 1, "broker_transport_options":
        {"global_keyprefix": "p{1}:", "sep": "|", "priority_steps": [0, 5]}}"#;
    let celery = Celery::new(&redis, conf);
    celery.put(&[("default", 0, 2), ("default", 4, 3), ("default", 7, 4)]);
    assert_eq!(number(&redis, 0, ["LLEN", "p{1}:default|5"]), 4);
    let transport = |name: &str| format!("AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__{name}");
    let variables = [
        (transport("GLOBAL_KEYPREFIX"), "p{1}:"),
        (transport("SEP"), "|"),
        (transport("PRIORITY_STEPS"), "[0, 5]"),
    ];
    let variables = variables
        .each_ref()
        .map(|(name, value)| (name.as_str(), *value));
    let mut worker = celery.worker(4);
    testkit::until(LONG, "four tasks to run", || {
        number(&redis, 0, ["ZCARD", "p{1}:unacked_index"]) == 4
    });
    let seen = answer(&redis.url(), &[], &variables);
    let names = ["ready", "busy", "orphaned", "workers_alive"];
    assert_eq!(numbers(&seen, names), [5, 4, 0, 1], "{seen}");
    worker.kill();
}

#[test]
fn a_broker_with_tls_a_user_and_a_database_of_its_own() {
    // No more rights than the page names, and those that Celery itself needs for another user.
    let few = "~* &* -@all +auth +select +ping +info +llen +lindex +zrange +hmget +subscribe";
    let options =
        Options::new()
            .tls()
            .user("few", "p/w @:%", few)
            .user("celery", "c", "~* &* +@all");
    let redis = Redis::with(&options);
    let ca = redis.authority().display().to_string();
    let (port, file) = (redis.tls_port(), ca.replace('/', "%2F"));
    let celerys =
        format!("rediss://celery:c@localhost:{port}/3?ssl_cert_reqs=required&ssl_ca_certs={file}");
    let celery = Celery::at(&celerys, LATE);
    celery.put(&[("default", 0, 5), ("default", 9, 1)]);
    let mut worker = celery.worker(2);
    testkit::until(LONG, "two tasks to run", || {
        number(&redis, 3, ["ZCARD", "unacked_index"]) == 2
    });
    let names = ["ready", "busy", "orphaned", "workers_alive"];
    let own = format!("rediss://few:p%2Fw%20%40%3A%25@localhost:{port}/3");
    for (url, args) in [
        (celerys.as_str(), &[][..]),
        (&own, &["--ca-file", &ca]),
        (
            &format!("{own}?ssl_cert_reqs=CERT_REQUIRED"),
            &["--ca-file", &ca],
        ),
        (&format!("{own}?ssl_cert_reqs=none"), &[]),
        (&format!("{own}?ssl_cert_reqs=CERT_NONE"), &[]),
    ] {
        let seen = answer(url, args, &[]);
        assert_eq!(numbers(&seen, names), [4, 2, 0, 1], "{url}: {seen}");
    }
    worker.kill();
}
