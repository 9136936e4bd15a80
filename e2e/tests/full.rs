//! The long scenarios and the figures: `make e2e-full`, one after the other.

mod common;

use common::{
    LONG, Root, begin, burst, faults, figures, note, record, repository, settings, start,
};
use common::{lagging, legacy, upgrade, upload};
use std::time::Duration;

use e2e::bucket;
use e2e::stack::{Role, Settings, Stack};

/// So that the directory is not empty.
const NOTHING: &str = "# nothing\n";

/// A stack that serves, with one worker and no DAG but those that a test uploads.
fn serving(settings: Settings) -> Stack {
    let mut stack = Stack::prepare(settings);
    bucket::put(&stack.servers, "nothing.py", NOTHING);
    start(&mut stack, &begin::ROLES);
    stack
}

#[test]
#[ignore = "needs a real Airflow: make e2e-full"]
fn thirty_uploads_are_in_the_database_within_fifteen_seconds() {
    let root = Root::new();
    let mut stack = serving(settings(&root, 2));
    let (file, serialized) = figures::uploads(&mut stack, "30 uploads", 30);
    assert!(file <= 7.0 && serialized <= 15.0, "{file} {serialized}");
    // And the same seen by a host whose directory entries lag.
    let view = testkit::airflow::writable(&root.path().join("view"));
    let dags = stack.dags();
    let _lagging = lagging::Lagging::start(&dags, &view, Duration::from_secs(30));
    stack.stop("dag-processor");
    let folder = view.display().to_string();
    let folder = [("AIRFLOW__CORE__DAGS_FOLDER", folder.as_str())];
    stack.start_with(Role::DagProcessor, &folder);
    stack.wait_serving(&["dag-processor"], LONG);
    figures::uploads(&mut stack, "entries cached for 30 s", 10);
    record(&stack, "uploads", "Thirty uploads");
}

#[test]
#[ignore = "needs a real Airflow: make e2e-full"]
fn the_sidecars_are_small_at_rest() {
    let root = Root::new();
    let mut stack = Stack::prepare(settings(&root, 2));
    bucket::put_directory(&stack.servers, &repository().join("dags"));
    // The servers that they speak to, and a worker's heartbeats; who else is there is nothing to them.
    start(
        &mut stack,
        &[
            Role::S3Sync,
            Role::QueueMetrics,
            Role::Protect(1),
            Role::Worker(1),
        ],
    );
    let (memory, share) = figures::rest(&mut stack);
    assert!(memory <= 25.0 && share <= 1.0, "{memory} {share}");
    record(&stack, "rest", "At rest");
}

#[test]
#[ignore = "needs a real Airflow: make e2e-full"]
fn what_the_settings_cost() {
    let root = Root::new();
    let mut stack = Stack::prepare(settings(&root, 2));
    bucket::put(&stack.servers, "nothing.py", NOTHING);
    start(&mut stack, &[Role::S3Sync, Role::DagProcessor]);
    figures::settings(&mut stack);
    record(&stack, "settings", "What the settings cost");
}

#[test]
#[ignore = "needs a real Airflow: make e2e-full"]
fn a_deployment_takes_only_released_workers() {
    let root = Root::new();
    let mut stack = Stack::prepare(settings(&root, 2));
    bucket::put(&stack.servers, "nothing.py", NOTHING);
    start(&mut stack, &begin::ROLES[..6]);
    let mut fleet = burst::run(&mut stack, 8, 10);
    burst::deployment(&mut stack, &mut fleet);
    burst::fall(&mut stack, &mut fleet);
    record(
        &stack,
        "deployment",
        "A burst, and a deployment while tasks run",
    );
}

#[test]
#[ignore = "needs a real Airflow: make e2e-full"]
fn what_fails_for_a_while_costs_no_task() {
    let root = Root::new();
    // When Airflow gives up a task whose worker is gone: 300 s is its own.
    let heartbeat = "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT";
    let mut stack = serving(settings(&root, 2).with(heartbeat, "120"));
    upload::watch_import_errors(&stack);
    faults::run(&mut stack);
    record(&stack, "faults", "Faults, one after the other");
}

#[test]
#[ignore = "needs a real Airflow: make e2e-full"]
fn a_migrator_that_is_killed_leaves_its_work_to_the_next() {
    let root = Root::new();
    let mut stack = Stack::prepare(settings(&root, 2));
    faults::migrator(&mut stack);
    record(&stack, "migrator", "The migrator is killed");
}

#[test]
#[ignore = "needs a real Airflow: make e2e-full"]
fn an_upgrade_waits_for_its_migration_and_a_rollback_is_refused() {
    let root = Root::new();
    let mut stack = Stack::prepare(settings(&root, 2));
    bucket::put_directory(&stack.servers, &repository().join("dags"));
    upgrade::run(&mut stack);
    record(&stack, "upgrade", "From Airflow 3.1 to 3.3, and not back");
}

#[test]
#[ignore = "needs a real Airflow: make e2e-full"]
fn airflow_2_runs_a_dag_with_the_local_executor() {
    let root = Root::new();
    let mut settings = settings(&root, 2);
    settings.release = testkit::airflow::Release::V2_8;
    settings.celery = false;
    let mut stack = Stack::prepare(settings);
    legacy::run(&mut stack);
    note(&stack, "all of it, s", stack.timeline.now());
    record(&stack, "legacy", "Airflow 2.8 with the local executor");
}
