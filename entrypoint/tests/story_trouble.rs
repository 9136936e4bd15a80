//! The story where something is in its way: signals, changed passwords, and what is wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod story;

use serde_json::Value;
use std::time::Duration;
use story::{DEADLINE, Scene, events, schema};
use testkit::ecs::EcsAgent;
use testkit::postgres::Postgres;
use testkit::process::Signal;
use testkit::proxy::{Fault, Proxy};

#[test]
fn a_signal_ends_the_wait_at_once_and_the_log_says_whose_code_it_is() {
    let scene = Scene::new();
    scene.put("db/port", "1");
    let status = scene.airflow.home().join("status.json");
    let mut waiting = scene
        .entrypoint()
        .env("ENTRYPOINT_WAIT_TIMEOUT", "10m")
        .env("ENTRYPOINT_STATUS_FILE", &status)
        .arg("scheduler")
        .spawn();
    waiting.wait_for(|line| line.contains("waiting for the database"), DEADLINE);
    testkit::until(DEADLINE, "the status to say what it waits for", || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        text.contains("\"phase\":\"waiting\"") && text.contains("\"healthy\":false")
    });
    waiting.signal(Signal::TERM);
    assert_eq!(waiting.exit_code(Duration::from_secs(5)), 143);
    let last = waiting.stderr().lines().last().unwrap().to_owned();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(
        (&last["origin"], &last["phase"]),
        (&"entrypoint".into(), &"wait".into())
    );
    assert_eq!(last["signal"], 15);
    assert!(scene.airflow.calls().is_empty());
}

#[test]
fn what_cannot_work_is_said_before_anything_is_waited_for() {
    let scene = Scene::new();
    scene.put("db/port", "1");
    let finished = scene
        .entrypoint()
        .without_env("ENTRYPOINT_SIMPLE_AUTH")
        .env("ENTRYPOINT_WAIT_TIMEOUT", "10m")
        .arg("scheduler")
        .run(DEADLINE);
    assert_eq!(finished.code, 64, "{}", finished.stderr);
    assert!(
        finished.stderr.contains("ENTRYPOINT_SIMPLE_AUTH"),
        "{}",
        finished.stderr
    );
    let last = events(&finished.stderr, "phase").pop().unwrap();
    assert_eq!(last, ("ended".to_owned(), "preflight".to_owned()));
}

#[test]
fn a_password_that_is_changed_meanwhile_is_fetched_again_and_reaches_every_url() {
    let scene = Scene::new();
    let server = Postgres::shared();
    let proxy = Proxy::start(server.port());
    proxy.fault(Fault::Refuse);
    scene.put("db/port", &proxy.port().to_string());
    let mut starting = scene
        .entrypoint()
        .env("AIRFLOW__CORE__EXECUTOR", "LocalExecutor,CeleryExecutor")
        .env(
            "AIRFLOW__CELERY__BROKER_URL",
            "amqp://no-redis-is-not-waited-for/",
        )
        .arg("scheduler")
        .spawn();
    starting.wait_for(|line| line.contains("waiting for the database"), DEADLINE);
    server.role(&scene.database.user, "changed");
    scene.put("db/password", "changed");
    proxy.fault(Fault::None);
    assert_eq!(starting.exit_code(DEADLINE), 0, "{}", starting.stderr());
    let log = starting.stderr();
    assert!(log.contains("database_password_changed"), "{log}");
    let calls = scene.airflow.calls();
    for name in [
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
        "AIRFLOW__CELERY__RESULT_BACKEND",
    ] {
        let url = calls.last().unwrap().variable(name).unwrap();
        assert!(url.contains(":changed@"), "{name}");
    }
}

#[test]
fn what_is_wrong_ends_with_one_clear_line_and_its_code() {
    let unreachable = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    for (name, value, code, shown) in [
        ("X", "ssm:///story/no-such-name", 65, "/story/no-such-name"),
        ("X", "secretsmanager://no-such-name#key", 65, "no-such-name"),
        (
            "ENTRYPOINT_SSM_PATHS",
            "/story/no-such-path",
            65,
            "/story/no-such-path",
        ),
        (unreachable.0, unreachable.1, 69, "SSM"),
        (
            "ENTRYPOINT_DB_NAME",
            "no_such_database",
            65,
            "no_such_database",
        ),
        (
            "ENTRYPOINT_DB_HOST",
            "no-such-host.invalid",
            69,
            "no-such-host.invalid",
        ),
        (
            "ENTRYPOINT_DB_SSLMODE",
            "verify-full",
            65,
            "ENTRYPOINT_DB_SSLROOTCERT",
        ),
        ("ENTRYPOINT_DB_PORT", "many", 65, "ENTRYPOINT_DB_PORT"),
        (
            "ENTRYPOINT_WAIT_FILES",
            "/no/such/file",
            69,
            "/no/such/file",
        ),
    ] {
        let scene = Scene::new();
        let finished = scene
            .entrypoint()
            .env("ENTRYPOINT_WAIT_TIMEOUT", "0s")
            .env(name, value)
            .arg("scheduler")
            .run(DEADLINE);
        assert_eq!(finished.code, code, "{name}={value}: {}", finished.stderr);
        let failed = events(&finished.stderr, "reason");
        let failed: Vec<_> = failed
            .iter()
            .filter(|(event, _)| event == "failed")
            .collect();
        assert_eq!(failed.len(), 1, "{}", finished.stderr);
        assert!(
            failed[0].1.contains(shown),
            "{name}={value}: {}",
            failed[0].1
        );
        assert!(!failed[0].1.contains('\n'), "{}", failed[0].1);
        assert!(scene.airflow.calls().is_empty(), "{name}={value}");
    }
}

#[test]
fn task_protection_lasts_as_long_as_a_migration_and_is_not_asked_for_without_one() {
    let scene = Scene::new();
    let ecs = EcsAgent::start();
    let scheduler = || {
        scene
            .entrypoint()
            .env("ECS_AGENT_URI", ecs.uri())
            .env("ENTRYPOINT_TASK_PROTECTION", "migrate")
    };
    let finished = scheduler().arg("scheduler").run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(ecs.requests().len(), 2, "asked for, and given back");
    assert!(!ecs.is_protected());

    let finished = scheduler().arg("scheduler").run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(ecs.requests().len(), 2);

    // A worker's protection is another program's, which this one would take away from it.
    let scene = Scene::new();
    let finished = scene
        .entrypoint()
        .env("ECS_AGENT_URI", ecs.uri())
        .env("ENTRYPOINT_TASK_PROTECTION", "migrate")
        .env("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
        .env("AIRFLOW__CELERY__BROKER_URL", "amqp://not-waited-for/")
        .args(["celery", "worker"])
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(
        finished.stderr.contains("\"protection_ignored\""),
        "{}",
        finished.stderr
    );
    assert!(
        finished.stderr.contains("\"migration_done\""),
        "{}",
        finished.stderr
    );
    assert_eq!(ecs.requests().len(), 2);
}

#[test]
fn a_term_lets_a_migration_end_and_starts_no_service() {
    let scene = Scene::new();
    let slow = format!("BEGIN; {} SELECT pg_sleep(2); COMMIT;", schema("b"));
    scene.airflow.on("db", "migrate", &slow);
    let mut migrating = scene.entrypoint().arg("scheduler").spawn();
    migrating.wait_for(|line| line.contains("migration_begins"), DEADLINE);
    let sleeps = format!(
        "SELECT 1 FROM pg_stat_activity WHERE datname = '{}' AND wait_event = 'PgSleep'",
        scene.database.name
    );
    testkit::until(DEADLINE, "the migration to be in its transaction", || {
        scene.value(&sleeps).is_some()
    });
    migrating.signal(Signal::TERM);
    assert_eq!(migrating.exit_code(DEADLINE), 143, "{}", migrating.stderr());
    let version = scene.value("SELECT version_num FROM alembic_version");
    assert_eq!(version.as_deref(), Some("b"), "{}", migrating.stderr());
    assert_eq!(scene.airflow.count(&["scheduler"]), 0);
    let log = migrating.stderr();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["origin"], &last["phase"]),
        (&"entrypoint".into(), &"migrate".into())
    );
}
