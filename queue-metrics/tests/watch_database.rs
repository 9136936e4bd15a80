//! `watch` with two witnesses, and with either of them away.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod watch;

use queue_metrics::metrics::{QUEUE_READY, TASKS_READY, WORKERS_TARGET};
use testkit::postgres::{Database, Postgres, Shutdown};
use testkit::redis::Redis;
use watch::{LONG, Watch, group, put};

const TABLE: &str = "CREATE TABLE task_instance (queue varchar(256), state varchar(20));";
const EMF: [&str; 4] = ["--metrics", "emf", "--worker-concurrency", "1"];

fn database(postgres: &Postgres) -> (Database, Vec<(String, String)>) {
    let own = postgres.database();
    tasks(postgres, &own, TABLE);
    let url = ("QUEUE_METRICS_DATABASE_URL".to_owned(), own.url());
    (own, vec![url])
}

fn tasks(postgres: &Postgres, own: &Database, sql: &str) {
    postgres.rows(&own.name, &format!("SET ROLE \"{}\"; {sql}", own.user));
}

fn insert(state: &str, count: u32) -> String {
    let rows = vec![format!("('default', '{state}')"); count as usize].join(",");
    format!("INSERT INTO task_instance VALUES {rows};")
}

#[test]
fn the_database_counts_what_redis_lost_and_goes_on_alone() {
    let postgres = Postgres::start();
    let redis = Redis::start();
    let (own, url) = database(&postgres);
    put(&redis, "default", "1");
    tasks(&postgres, &own, &insert("queued", 3));
    tasks(&postgres, &own, &insert("running", 2));
    let watch = Watch::start(&redis.url(), &EMF, &url);
    let status = watch.until_watching();
    assert_eq!(status["detail"]["database"], "answers");
    let seen = group(&status);
    assert_eq!(
        (&seen["waiting"], &seen["busy"]),
        (&3.into(), &2.into()),
        "{status}"
    );
    assert_eq!(seen["workers_target"], 5);
    redis.stop();
    let status = watch.until("the database alone", |status| {
        status["detail"]["broker"] == "away" && group(status)["workers_alive"].is_null()
    });
    assert_eq!(
        (&status["phase"], &status["degraded"]),
        (&"watching".into(), &true.into())
    );
    assert_eq!(group(&status)["workers_target"], 5);
    tasks(&postgres, &own, &insert("queued", 1));
    testkit::until(LONG, "a target by the database alone", || {
        watch.emf(WORKERS_TARGET).iter().any(|line| {
            // What only Redis knows is not made up.
            line[WORKERS_TARGET] == 6.0 && line[TASKS_READY].is_null()
        })
    });
    let queues = watch.emf(QUEUE_READY).len();
    tasks(&postgres, &own, &insert("queued", 1));
    watch.until("the next task", |status| {
        group(status)["workers_target"] == 7
    });
    assert_eq!(watch.emf(QUEUE_READY).len(), queues);
    assert_eq!(watch.stop(), 0);
}

#[test]
fn without_the_database_redis_is_believed_and_it_comes_back_by_itself() {
    let postgres = Postgres::start();
    let redis = Redis::start();
    let (own, url) = database(&postgres);
    tasks(&postgres, &own, &insert("queued", 3));
    put(&redis, "default", "1");
    let watch = Watch::start(&redis.url(), &EMF, &url);
    watch.until("three tasks", |status| group(status)["waiting"] == 3);
    postgres.stop(Shutdown::Immediate);
    let status = watch.until("the database to be away", |status| {
        status["detail"]["database"] == "away" && group(status)["waiting"] == 1
    });
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.starts_with("database db"), "{reason}");
    assert_eq!(status["healthy"], true);
    assert_eq!(watch.events("database_away").len(), 1);
    postgres.start_again();
    watch.until("three tasks again", |status| {
        group(status)["waiting"] == 3 && status["degraded"] == false
    });
    assert_eq!(watch.events("database_back").len(), 1);
    let zero = |line: &serde_json::Value| line[WORKERS_TARGET] == 0.0;
    assert!(!watch.emf(WORKERS_TARGET).iter().any(zero));
}
