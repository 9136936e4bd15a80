//! The story where only Airflow can find a URL out, and where a password is rotated in the middle of a
//! migration.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod story;

use story::{DEADLINE, Scene, events, phases};
use testkit::postgres::Postgres;
use testkit::process::Program;
use testkit::redis::Redis;

const SYNC: &str = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN";
const BROKER: &str = "AIRFLOW__CELERY__BROKER_URL";

/// A scheduler with Celery whose URLs are a command's and a secret's. Airflow logs before it answers.
fn scheduler(scene: &Scene, broker: &str) -> Program {
    let logged = "2026-01-01T00:00:00Z [info] setup plugin [alembic] see https://example.com\n";
    let url = scene.database.url();
    let answer = |url: &str| format!("{logged}{url}\n");
    let airflow = &scene.airflow;
    airflow.answers("config", "get-value", "database", &answer(&url));
    airflow.answers("config", "get-value", "celery", &answer(broker));
    scene
        .entrypoint()
        .env("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
        .env(format!("{SYNC}_CMD"), "vault read marked-command")
        .env(format!("{BROKER}_SECRET"), "marked-secret")
        .arg("scheduler")
}

fn words(scene: &Scene) -> Vec<String> {
    let calls = scene.airflow.calls();
    calls.iter().map(|call| call.args.join(" ")).collect()
}

#[test]
fn urls_that_only_airflow_can_find_out_are_asked_for_and_waited_for() {
    let scene = Scene::new();
    // It migrates by the URL that it finds out itself.
    scene.airflow.on("db", "migrate", "");
    let server = Postgres::shared();
    let (schema, owner) = (story::schema("b"), &scene.database.user);
    let made = format!("{schema} ALTER TABLE alembic_version OWNER TO \"{owner}\"");
    server.rows(&scene.database.name, &made);
    let finished = scheduler(&scene, &Redis::shared().url()).run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let all = ["resolve", "wait", "migrate", "admin", "preflight"];
    assert_eq!(phases(&finished), all);
    let asked = [
        "config get-value database sql_alchemy_conn",
        "config get-value celery broker_url",
        "scheduler",
    ];
    assert_eq!(words(&scene), asked);
    // What was found out is the service's own to find, and is in nobody's log.
    let calls = scene.airflow.calls();
    let service = calls.last().unwrap();
    assert_eq!(service.variable(SYNC), None);
    assert_eq!(service.variable(BROKER), None);
    let command = service.variable(&format!("{SYNC}_CMD"));
    assert_eq!(command, Some("vault read marked-command"));
    for secret in [scene.database.password.as_str(), "marked"] {
        assert!(!finished.stderr.contains(secret), "{}", finished.stderr);
    }

    let scene = Scene::new();
    let finished = scheduler(&scene, "redis://127.0.0.1:1/0")
        .env("ENTRYPOINT_WAIT_TIMEOUT", "0s")
        .run(DEADLINE);
    assert_eq!(finished.code, 69, "{}", finished.stderr);
    assert!(finished.stderr.contains("broker"), "{}", finished.stderr);
}

#[test]
fn an_airflow_that_does_not_answer_ends_the_run_and_the_dry_run_does_not_ask() {
    let scene = Scene::new();
    let scheduler = scheduler(&scene, "redis://127.0.0.1:1/0");
    let dry = scheduler.clone().env("ENTRYPOINT_DRY_RUN", "1");
    let dry = dry.run(DEADLINE);
    assert!(dry.stdout.contains("it would be asked"), "{}", dry.stdout);
    assert_eq!(words(&scene), Vec::<String>::new());

    // As from echo: Airflow keeps the line end.
    let answer = format!("{}\n\n", scene.database.url());
    let told = scene
        .airflow
        .answers("config", "get-value", "database", &answer);
    let finished = scheduler.run(DEADLINE);
    assert_eq!(finished.code, 65, "{}", finished.stderr);
    assert!(
        finished.stderr.contains("a URL with a line end"),
        "{}",
        finished.stderr
    );

    told.exits("config", "get-value", 1);
    let finished = scheduler.run(DEADLINE);
    assert_eq!(finished.code, 65, "{}", finished.stderr);
    let failed = events(&finished.stderr, "reason");
    let (_, why) = failed.iter().find(|(event, _)| event == "failed").unwrap();
    assert!(
        why.contains("exit code 1") && why.contains("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=ssm:///"),
        "{why}"
    );
    assert!(!why.contains(&scene.database.password), "{why}");
}

#[test]
fn a_password_that_is_rotated_while_it_migrates_is_looked_up_again() {
    let scene = Scene::new();
    scene.airflow.shut("db", "migrate");
    let mut starting = scene.entrypoint().arg("scheduler").spawn();
    starting.wait_for(|line| line.contains("migration_begins"), DEADLINE);
    testkit::until(DEADLINE, "the child to begin", || !words(&scene).is_empty());
    let server = Postgres::shared();
    server.role(&scene.database.user, "rotated");
    scene.put("db/password", "rotated");
    // As when the server restarts for the rotation.
    server.execute(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
        scene.database.name
    ));
    scene.airflow.open("db", "migrate");
    assert_eq!(starting.exit_code(DEADLINE), 0, "{}", starting.stderr());
    let log = starting.stderr();
    assert!(log.contains("database_password_changed"), "{log}");
    let version = scene.value("SELECT version_num FROM alembic_version");
    assert_eq!(version.as_deref(), Some("b"), "{log}");
    let calls = scene.airflow.calls();
    let url = calls.last().unwrap().variable(SYNC).unwrap();
    assert!(url.contains(":rotated@"), "the service has the new one");
}
