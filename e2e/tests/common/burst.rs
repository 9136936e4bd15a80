//! Scenario 3: a burst on zero workers.

use std::time::Instant;

use e2e::airflow::Api;
use e2e::bucket;
use e2e::fleet::{self, Fleet};
use e2e::stack::{Role, Stack};
use serde_json::json;
use testkit::{until, until_some};

use super::{LONG, note, upload};

fn burst(tasks: u32, seconds: u32) -> String {
    format!(
        r#"from datetime import datetime
import time
from airflow.sdk import dag, task

@dag(dag_id="burst", schedule=None, start_date=datetime(2026, 1, 1), description="{tasks}x{seconds}")
def burst():
    @task
    def work(number):
        time.sleep({seconds})
    work.expand(number=list(range({tasks})))

burst()
"#
    )
}

/// The workers of the earlier scenarios must be gone.
pub(crate) fn run(stack: &mut Stack, tasks: u32, seconds: u32) -> Fleet {
    let version = format!("{tasks}x{seconds}");
    bucket::put(&stack.servers, "burst.py", &burst(tasks, seconds));
    until(LONG, "the burst in the database", || {
        upload::described(stack, "burst").as_deref() == Some(&version)
    });
    let mut fleet = Fleet::new(stack);
    // Whatever was wanted before has to be over.
    fleet::until(&mut fleet, stack, LONG, "a target of zero", |_, stack| {
        target(stack) == Some(0)
    });
    assert!(fleet.tasks().is_empty());

    let api = until_some(LONG, "the login", || Api::login(stack).ok());
    let began = Instant::now();
    api.trigger("burst", &version, &json!({})).unwrap();
    stack.timeline.event("runs", "burst triggered");
    let since = |began: Instant| began.elapsed().as_secs_f64();
    fleet::until(
        &mut fleet,
        stack,
        LONG,
        "a target above zero",
        |_, stack| target(stack).is_some_and(|target| target > 0),
    );
    note(
        stack,
        "burst: trigger to WorkersTarget above zero, s",
        since(began),
    );
    fleet::until(&mut fleet, stack, LONG, "a desired count", |fleet, _| {
        fleet.desired() > 0
    });
    note(
        stack,
        "burst: trigger to the desired count, s",
        since(began),
    );
    let state =
        format!("SELECT state FROM dag_run WHERE dag_id = 'burst' AND run_id = '{version}'");
    fleet::until(
        &mut fleet,
        stack,
        2 * LONG,
        "all tasks to finish",
        |_, stack| {
            let state = stack.value(&state);
            assert_ne!(state.as_deref(), Some("failed"), "the burst");
            state.as_deref() == Some("success")
        },
    );
    note(
        stack,
        "burst: trigger to the last task's end, s",
        since(began),
    );
    assert_eq!(
        fleet.desired(),
        stack.settings.max_workers,
        "the desired count"
    );
    tries(stack, "burst");
    fleet
}

/// The target falls after the hold, and only released workers are stopped.
pub(crate) fn fall(stack: &mut Stack, fleet: &mut Fleet) {
    let began = Instant::now();
    fleet::until(fleet, stack, LONG, "the target to fall", |_, stack| {
        target(stack) == Some(0)
    });
    note(
        stack,
        "burst: last task to a target of zero, s",
        began.elapsed().as_secs_f64(),
    );
    fleet::until(
        fleet,
        stack,
        LONG,
        "all workers to be released and stopped",
        |fleet, _| fleet.tasks().is_empty(),
    );
    note(
        stack,
        "burst: last task to the last worker's end, s",
        began.elapsed().as_secs_f64(),
    );
    tries(stack, "burst");
}

/// A deployment while tasks run: the old workers end, each after its own tasks, and none of these is lost.
pub(crate) fn deployment(stack: &mut Stack, fleet: &mut Fleet) {
    let api = until_some(LONG, "the login", || Api::login(stack).ok());
    api.trigger("burst", "deployed", &json!({})).unwrap();
    fleet::until(fleet, stack, LONG, "tasks to run again", |_, stack| {
        let sql =
            "SELECT count(*) FROM task_instance WHERE run_id = 'deployed' AND state = 'running'";
        stack.value(sql).as_deref() >= Some("2")
    });
    let old = fleet.tasks();
    let began = Instant::now();
    fleet.deploy(stack);
    fleet::until(fleet, stack, 2 * LONG, "the old tasks to go", |fleet, _| {
        fleet.tasks().iter().all(|number| !old.contains(number))
    });
    note(
        stack,
        "deployment: until the last old worker's end, s",
        began.elapsed().as_secs_f64(),
    );
    let state = "SELECT state FROM dag_run WHERE dag_id = 'burst' AND run_id = 'deployed'";
    fleet::until(fleet, stack, 2 * LONG, "the run to succeed", |_, stack| {
        stack.value(state).as_deref() == Some("success")
    });
    tries(stack, "burst");
}

fn target(stack: &Stack) -> Option<u64> {
    let path = stack.settings.root.join("queue-metrics/status.json");
    let status: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    status["detail"]["groups"]["worker"]["workers_target"].as_u64()
}

/// No task was ever tried twice: none was killed.
pub(crate) fn tries(stack: &Stack, dag: &str) {
    let sql = format!(
        "SELECT string_agg(DISTINCT state || ' at try ' || try_number, ', ') FROM task_instance WHERE dag_id = '{dag}'"
    );
    assert_eq!(
        stack.value(&sql).as_deref(),
        Some("success at try 1"),
        "tasks of {dag}"
    );
}

/// The worker of the earlier scenarios ends, as scale-in ends one.
pub(crate) fn no_workers(stack: &mut Stack) {
    let name = Role::Worker(1).name();
    let began = Instant::now();
    stack.stop(&name);
    note(
        stack,
        "an idle worker's end after SIGTERM, s",
        began.elapsed().as_secs_f64(),
    );
}
