//! The migration's lock and what happens when it, the migrator or the database is lost, with a stand-in
//! for Airflow.

mod schema_common;

use schema_common::{MINUTE, Scene, Somebody, migration, until_true};
use std::time::{Duration, Instant};
use testkit::postgres::Postgres;
use testkit::process::{Process, Signal};

/// The backends of the migrating child itself, and not of the session that stands for it.
const MIGRATING: &str = "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'trimtab-migrate' \
    AND datname = current_database() AND query LIKE '%pg_sleep%' AND state = 'active'";

/// A transaction of the child's that has written.
const OPEN: &str = "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'trimtab-migrate' \
    AND datname = current_database() AND backend_xid IS NOT NULL";

/// A migration that hangs in a transaction of its own.
const HANGS: &str = "BEGIN; CREATE TABLE half (x int); SELECT pg_sleep(100); COMMIT";

/// Ends the session that holds the lock, and says how many those were.
fn cut_lock(scene: &Scene<'_>) -> String {
    scene.query(
        "RESET ROLE; SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l JOIN pg_stat_activity USING (pid) \
         WHERE locktype = 'advisory' AND classid = 1953655149 AND objid = 1835624306 AND datname = current_database()",
    )
}

fn hangs(scene: &Scene<'_>) -> Process {
    scene.airflow.on("db", "migrate", HANGS);
    let process = scene.entrypoint().spawn();
    until_true(scene, "the migration to hang", MIGRATING);
    process
}

#[test]
fn a_lock_that_is_cut_stops_the_child_and_the_migration_begins_anew() {
    let scene = Scene::new("3.1.8");
    let mut process = hangs(&scene);
    scene.migrates_to("c");
    assert_eq!(cut_lock(&scene), "1");
    assert_eq!(process.exit_code(MINUTE), 0, "{}", process.stderr());
    assert!(
        process.stderr().contains("migration_lock_lost"),
        "{}",
        process.stderr()
    );
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 2);
    assert_eq!(scene.query("SELECT to_regclass('half') IS NULL"), "t");
}

/// A task that is frozen does not see that it lost the lock, and its child may not even have a session.
#[test]
fn a_migrator_that_sleeps_through_the_loss_of_its_lock_is_not_overtaken() {
    let scene = Scene::new("3.1.8");
    scene.migrates_to("c").airflow.shut("db", "migrate");
    let mut first = scene.entrypoint().spawn();
    testkit::until(MINUTE, "the child to start", || {
        scene.airflow.count(&["db", "migrate"]) == 1
    });
    first.signal(Signal::STOP);
    assert_eq!(cut_lock(&scene), "1");
    let mut second = scene.entrypoint().spawn();
    second.wait_for(|line| line.contains("migration_waits"), MINUTE);
    scene.airflow.open("db", "migrate");
    until_true(
        &scene,
        "the schema to be there",
        "SELECT to_regclass('alembic_version') IS NOT NULL",
    );
    first.signal(Signal::CONT);
    assert_eq!(first.exit_code(MINUTE), 0, "{}", first.stderr());
    assert_eq!(second.exit_code(MINUTE), 0, "{}", second.stderr());
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 1);
}

#[test]
fn a_migrator_that_is_killed_leaves_nothing_and_another_finishes() {
    let scene = Scene::new("3.1.8");
    // A backend sees between two statements that its client has died.
    let naps = "SELECT pg_sleep(0.1);".repeat(1000);
    scene.airflow.on(
        "db",
        "migrate",
        &format!("BEGIN; CREATE TABLE half (x int); {naps} COMMIT"),
    );
    let mut first = scene.entrypoint().spawn();
    until_true(&scene, "the transaction to be open", OPEN);
    let mut second = scene.entrypoint().spawn();
    second.wait_for(|line| line.contains("schema_waits"), MINUTE);
    scene.migrates_to("c");
    first.kill();
    assert_eq!(second.exit_code(MINUTE), 0, "{}", second.stderr());
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 2);
    assert_eq!(scene.query("SELECT to_regclass('half') IS NULL"), "t");
}

#[test]
fn nobody_migrates_while_another_has_the_lock() {
    let scene = Scene::new("3.1.8");
    scene.migrates_to("c");
    let mut other = Somebody::new(&scene, "other");
    other.does("SELECT pg_advisory_lock(1953655149, 1835624306)");
    let mut process = scene.entrypoint().spawn();
    process.wait_for(|line| line.contains("schema_waits"), MINUTE);
    let run = scene
        .entrypoint()
        .env("ENTRYPOINT_MIGRATE_TIMEOUT", "1s")
        .run(MINUTE);
    assert_eq!(run.code, 69, "{}", run.stderr);
    assert!(
        run.stderr.contains("(1953655149, 1835624306)"),
        "{}",
        run.stderr
    );
    assert_eq!(scene.airflow.calls(), []);
    drop(other);
    assert_eq!(process.exit_code(MINUTE), 0, "{}", process.stderr());
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 1);
}

#[test]
fn who_takes_the_lock_waits_for_the_sessions_of_a_migration_that_lost_it() {
    let scene = Scene::new("3.1.8");
    scene.migrates_to("c");
    let mut orphan = Somebody::new(&scene, "trimtab-migrate");
    orphan.does("SELECT 1");
    let mut process = scene.entrypoint().spawn();
    process.wait_for(|line| line.contains("migration_waits"), MINUTE);
    assert_eq!(scene.airflow.calls(), []);
    drop(orphan);
    assert_eq!(process.exit_code(MINUTE), 0, "{}", process.stderr());
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 1);
}

#[test]
fn a_migration_by_hand_is_waited_for() {
    let scene = Scene::new("3.1.8");
    scene.migrates_to("c");
    let mut person = Somebody::new(&scene, "a-person");
    person.does("SELECT pg_advisory_lock(1)");
    let mut process = scene.entrypoint().spawn();
    process.wait_for(|line| line.contains("migration_waits"), MINUTE);
    person.does(&migration("c"));
    person.does("SELECT pg_advisory_unlock(1)");
    assert_eq!(process.exit_code(MINUTE), 0, "{}", process.stderr());
    // The person did it all.
    assert_eq!(scene.airflow.calls(), []);
}

#[test]
fn airflows_own_lock_in_other_hands_is_a_reason_to_try_again() {
    let scene = Scene::new("3.1.8");
    // As Airflow does: its 30 minutes are 1.8 s.
    let airflow = format!(
        "SELECT pg_advisory_lock(7); SET lock_timeout = 1800; SELECT pg_advisory_lock(1); {}",
        migration("c")
    );
    scene.airflow.on("db", "migrate", &airflow);
    let mut gate = Somebody::new(&scene, "gate");
    gate.does("SELECT pg_advisory_lock(7)");
    let mut process = scene.entrypoint().spawn();
    until_true(
        &scene,
        "the child to start",
        "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    let mut person = Somebody::new(&scene, "a-person");
    person.does("SELECT pg_advisory_lock(1)");
    gate.does("SELECT pg_advisory_unlock(7)");
    process.wait_for(|line| line.contains("migration_contended"), MINUTE);
    person.does("SELECT pg_advisory_unlock(1)");
    assert_eq!(process.exit_code(MINUTE), 0, "{}", process.stderr());
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 2);
}

#[test]
fn a_database_that_restarts_in_the_middle_is_migrated_after_it() {
    let server = Postgres::start();
    let scene = Scene::on(&server, "3.1.8");
    let mut process = hangs(&scene);
    scene.migrates_to("c");
    server.restart();
    assert_eq!(process.exit_code(MINUTE), 0, "{}", process.stderr());
    assert_eq!(scene.airflow.count(&["db", "migrate"]), 2);
    assert_eq!(scene.query("SELECT to_regclass('half') IS NULL"), "t");
}

#[test]
fn a_signal_lets_the_transaction_end_and_then_stops_the_migration() {
    let scene = Scene::new("3.1.8");
    scene.airflow.on(
        "db",
        "migrate",
        "BEGIN; CREATE TABLE whole (x int); SELECT pg_sleep(2); COMMIT; SELECT pg_sleep(100)",
    );
    let mut process = scene.entrypoint().spawn();
    until_true(&scene, "the transaction to be open", OPEN);
    process.signal(Signal::TERM);
    assert_eq!(
        process.exit_code(Duration::from_secs(15)),
        143,
        "{}",
        process.stderr()
    );
    assert_eq!(scene.query("SELECT to_regclass('whole') IS NOT NULL"), "t");
    until_true(
        &scene,
        "the child to be gone",
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'trimtab-migrate' AND datname = current_database()",
    );
}

#[test]
fn a_transaction_that_outlasts_the_grace_is_rolled_back() {
    let scene = Scene::new("3.1.8");
    scene.airflow.on("db", "migrate", HANGS);
    let mut process = scene
        .entrypoint()
        .env("ENTRYPOINT_STOP_GRACE", "4s")
        .spawn();
    until_true(&scene, "the transaction to be open", OPEN);
    let began = Instant::now();
    process.signal(Signal::TERM);
    assert_eq!(
        process.exit_code(Duration::from_secs(15)),
        143,
        "{}",
        process.stderr()
    );
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(scene.query("SELECT to_regclass('half') IS NULL"), "t");
}

#[test]
fn a_signal_ends_who_waits_at_once() {
    let scene = Scene::new("3.1.8");
    let mut process = scene.entrypoint().env("ENTRYPOINT_MIGRATE", "wait").spawn();
    process.wait_for(|line| line.contains("schema_waits"), MINUTE);
    let began = Instant::now();
    process.signal(Signal::TERM);
    assert_eq!(process.exit_code(MINUTE), 143, "{}", process.stderr());
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}
