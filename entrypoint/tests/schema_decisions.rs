//! The schema's phase with a stand-in for Airflow: what is decided, and what the containers that start
//! together do.

mod schema_common;

use schema_common::{MINUTE, Scene, ended, migration};
use std::time::Duration;

#[test]
fn an_empty_database_is_migrated_once_by_many() {
    let scene = Scene::new("3.1.8");
    // Long enough for all to be there meanwhile.
    let sql = format!("SELECT pg_sleep(1); {}", migration("c"));
    scene.airflow.on("db", "migrate", &sql);
    let mut all: Vec<_> = (0..8).map(|_| scene.entrypoint().spawn()).collect();
    for process in &mut all {
        assert_eq!(process.exit_code(MINUTE), 0, "{}", process.stderr());
    }
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 1);
    assert_eq!(scene.airflow.calls().len(), 1);
    let call = &scene.airflow.calls()[0];
    assert_eq!(call.variable("PGAPPNAME"), Some("trimtab-migrate"));
    let comment = scene.query("SELECT obj_description('alembic_version'::regclass)");
    assert!(
        comment.starts_with("trimtab: migrated by airflow=3.1.8 core=c fab=none"),
        "{comment}"
    );
}

#[test]
fn a_current_database_starts_no_airflow() {
    let scene = Scene::new("3.1.8");
    scene.at("c");
    let run = scene.entrypoint().run(MINUTE);
    assert_eq!(ended(&run), 0, "{}", run.stderr);
    assert_eq!(scene.airflow.calls(), []);
}

#[test]
fn a_major_version_is_crossed_only_when_asked_for() {
    let scene = Scene::new("3.1.8");
    scene.at("a").migrates_to("c");
    let run = scene.entrypoint().run(MINUTE);
    assert_eq!(ended(&run), 65, "{}", run.stderr);
    assert!(
        run.stderr.contains("that of Airflow 2.8.1")
            && run.stderr.contains("ENTRYPOINT_MIGRATE=major"),
        "{}",
        run.stderr
    );
    assert_eq!(scene.airflow.calls(), []);

    let run = scene
        .entrypoint()
        .env("ENTRYPOINT_MIGRATE", "major")
        .run(MINUTE);
    assert_eq!(ended(&run), 0, "{}", run.stderr);
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 1);
}

#[test]
fn a_major_version_is_not_crossed_over_live_services() {
    let scene = Scene::new("3.1.8");
    scene.at("a").migrates_to("c");
    scene.query(
        "CREATE TABLE job (job_type text, hostname text, state text, latest_heartbeat timestamptz);
         INSERT INTO job VALUES ('SchedulerJob', 'old-1', 'running', now()),
            ('TriggererJob', 'dead-1', 'running', now() - interval '2 minutes'),
            ('SchedulerJob', 'gone-1', 'success', now())",
    );
    let run = scene
        .entrypoint()
        .env("ENTRYPOINT_MIGRATE", "major")
        .run(MINUTE);
    assert_eq!(ended(&run), 71, "{}", run.stderr);
    assert!(
        run.stderr.contains("SchedulerJob on old-1;"),
        "{}",
        run.stderr
    );
    assert_eq!(scene.airflow.calls(), []);
    // Within a major version nobody is asked.
    scene.query("UPDATE alembic_version SET version_num = 'b'");
    let run = scene.entrypoint().run(MINUTE);
    assert_eq!(ended(&run), 0, "{}", run.stderr);
}

#[test]
fn a_schema_that_is_ahead_goes_by_who_made_it() {
    let scene = Scene::new("3.1.8");
    scene.at("z");
    let by = |version: &str| {
        scene.query(&format!("COMMENT ON TABLE alembic_version IS 'trimtab: migrated by airflow={version} core=z fab=none managers=0'"));
    };
    for (maker, rule, expected) in [
        (None, "minor", 76),
        (None, "allow", 0),
        (Some("3.1.9"), "minor", 0),
        (Some("3.1.9"), "refuse", 76),
        (Some("3.2.0"), "minor", 76),
        (Some("3.2.0"), "allow", 0),
    ] {
        if let Some(version) = maker {
            by(version);
        }
        let run = scene
            .entrypoint()
            .env("ENTRYPOINT_SCHEMA_AHEAD", rule)
            .run(MINUTE);
        assert_eq!(ended(&run), expected, "{maker:?} {rule}: {}", run.stderr);
        if expected == 76 {
            assert!(run.stderr.contains("at revision z"), "{}", run.stderr);
        }
    }
    assert_eq!(scene.airflow.calls(), []);
}

#[test]
fn never_leaves_a_schema_that_is_behind_as_it_is() {
    let scene = Scene::new("3.1.8");
    scene.at("a");
    let run = scene
        .entrypoint()
        .env("ENTRYPOINT_MIGRATE", "never")
        .run(MINUTE);
    assert_eq!(ended(&run), 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("\"event\":\"schema_odd\""),
        "{}",
        run.stderr
    );
    assert_eq!(scene.airflow.calls(), []);
}

#[test]
fn one_that_waits_goes_on_when_another_has_migrated_and_gives_up_in_time() {
    let scene = Scene::new("3.1.8");
    scene.migrates_to("c");
    let mut waits = scene.entrypoint().env("ENTRYPOINT_MIGRATE", "wait").spawn();
    waits.wait_for(|line| line.contains("schema_waits"), MINUTE);
    assert!(waits.is_running());
    let run = scene.entrypoint().run(MINUTE);
    assert_eq!(ended(&run), 0, "{}", run.stderr);
    assert_eq!(waits.exit_code(MINUTE), 0, "{}", waits.stderr());
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 1);

    scene.query("UPDATE alembic_version SET version_num = 'b'");
    let run = scene
        .entrypoint()
        .env("ENTRYPOINT_MIGRATE", "wait")
        .env("ENTRYPOINT_MIGRATE_TIMEOUT", "1s")
        .run(MINUTE);
    assert_eq!(ended(&run), 69, "{}", run.stderr);
}

#[test]
fn heads_that_do_not_agree_are_left_to_airflow() {
    let scene = Scene::new("3.1.8");
    scene.at("c");
    scene.airflow.second_head();
    let run = scene.entrypoint().run(MINUTE);
    assert_eq!(ended(&run), 0, "{}", run.stderr);
    assert_eq!(scene.airflow.count(&["db", "check-migrations"]), 1);
    // It was up to date: that is kept, and asked no more.
    let run = scene.entrypoint().run(MINUTE);
    assert_eq!(ended(&run), 0, "{}", run.stderr);
    assert_eq!(scene.airflow.calls().len(), 1);

    scene.query("UPDATE alembic_version SET version_num = 'b'");
    scene.airflow.exits("db", "check-migrations", 1);
    let run = scene.entrypoint().run(MINUTE);
    assert_eq!(ended(&run), 65, "{}", run.stderr);
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 0);
}

#[test]
fn a_migration_that_fails_ends_with_71() {
    let scene = Scene::new("3.1.8");
    scene.at("b");
    scene.airflow.on("db", "migrate", "SELECT 1/0");
    let run = scene.entrypoint().run(MINUTE);
    assert_eq!(ended(&run), 71, "{}", run.stderr);
    assert!(
        run.stderr.contains("division by zero") && run.stderr.contains("exit code 3"),
        "{}",
        run.stderr
    );
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 1);
    // An exit code of 0 is not believed either.
    scene.airflow.exits("db", "migrate", 0);
    let run = scene.entrypoint().run(MINUTE);
    assert_eq!(ended(&run), 71, "{}", run.stderr);
    // And one that is not 0 counts for nothing where the heads are right.
    scene.migrates_to("c");
    scene.airflow.exits("db", "migrate", 1);
    let run = scene.entrypoint().run(MINUTE);
    assert_eq!(ended(&run), 0, "{}", run.stderr);
    assert!(run.stderr.contains("migration_odd"), "{}", run.stderr);
}

#[test]
fn a_migration_that_takes_too_long_is_stopped() {
    let scene = Scene::new("3.1.8");
    scene.airflow.on("db", "migrate", "SELECT pg_sleep(100)");
    let run = scene
        .entrypoint()
        .env("ENTRYPOINT_MIGRATE_TIMEOUT", "1s")
        .run(Duration::from_secs(20));
    assert_eq!(ended(&run), 71, "{}", run.stderr);
    assert!(
        run.stderr.contains("ENTRYPOINT_MIGRATE_TIMEOUT"),
        "{}",
        run.stderr
    );
}
