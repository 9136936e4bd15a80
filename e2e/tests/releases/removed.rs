//! A generation that somebody removes by hand while a run uses it.

use std::fs;
use std::time::Duration;

use e2e::stack::Stack;
use serde_json::json;
use testkit::{until, until_some};

use crate::common::{LONG, upload};
use crate::runs::{data, hold, let_go, saw_one_version, trigger, version_of, wait_for};
use crate::scene::Scene;

/// A run whose first task has done its work and stays, of a generation that is not for long.
pub(crate) fn a_run_begins_whose_generation_will_go(stack: &Stack, scene: &mut Scene) -> String {
    let doomed = scene.publish(stack, "doomed");
    scene.wait_parsed(stack, &doomed);
    hold(stack, "doomed", "first", "after");
    trigger(stack, scene, "doomed");
    wait_for(stack, "doomed.first.seen");
    doomed
}

/// The run's next task fails and says why and what to do, which helps. Another run, the next release and
/// another DAG go on.
pub(crate) fn a_generation_that_is_removed_is_a_clear_error(
    stack: &Stack,
    scene: &mut Scene,
    doomed: &str,
) {
    hold(stack, "beside", "second", "before");
    trigger(stack, scene, "beside");
    wait_for(stack, "beside.second.began");

    let states = "first running, second none, third none";
    assert_eq!(states_of(stack, "doomed"), states);
    fs::remove_dir_all(stack.dags().join("generations").join(doomed)).unwrap();
    stack
        .timeline
        .event("removes by hand", &scene.labels[doomed]);
    let_go(stack, "doomed", "first", "after");
    let_go(stack, "beside", "second", "before");
    until(LONG, "the run to end", || {
        std::thread::sleep(Duration::from_millis(95));
        let sql = "SELECT state IN ('failed', 'success') FROM dag_run WHERE run_id = 'doomed'";
        stack.value(sql).as_deref() == Some("t")
    });
    let states = "first success, second failed, third upstream_failed";
    assert_eq!(states_of(stack, "doomed"), states);
    says_why_and_what_to_do(stack, scene, doomed);

    saw_one_version(stack, scene, "beside");
    let next = scene.publish(stack, "beyond");
    scene.wait_parsed(stack, &next);
    trigger(stack, scene, "beyond");
    scene.api.trigger("lone", "lone", &json!({})).unwrap();
    // As the message says.
    let body = json!({"dry_run": false, "only_failed": true, "run_on_latest_version": true});
    let clear = "/dags/chain/dagRuns/doomed/clear";
    scene.api.call("POST", clear, &body).unwrap();
    assert_eq!(saw_one_version(stack, scene, "beyond"), next);
    upload::wait_for_run(stack, "lone", "lone");
    upload::wait_for_run(stack, "chain", "doomed");
    assert_eq!(version_of(stack, "doomed"), next);
    for (task, version) in [("first", doomed), ("second", &next), ("third", &next)] {
        let label = &scene.labels[version];
        let seen = fs::read_to_string(data(stack, &format!("doomed.{task}.seen"))).unwrap();
        assert_eq!(seen, format!("{label} {label} {version}"), "{task}");
    }
}

/// In the task's log, as Airflow's UI shows it.
fn says_why_and_what_to_do(stack: &Stack, scene: &Scene, doomed: &str) {
    let path = "/dags/chain/dagRuns/doomed/taskInstances/second/logs/1";
    let generations = stack.dags().join("generations");
    let wanted = format!(
        "version {doomed} of bundle dags is no longer kept in {}: clear the run with the latest version",
        generations.display()
    );
    let mut told = String::new();
    until_some(LONG, "the task's log", || {
        std::thread::sleep(Duration::from_millis(95));
        let answer = scene.api.call("GET", path, &json!(null)).unwrap();
        told = answer["content"].to_string();
        told.contains("Top level error").then_some(())
    });
    assert!(told.contains(&wanted), "{told}");
}

/// The tasks of a run and their states, by name.
fn states_of(stack: &Stack, run: &str) -> String {
    let sql = format!(
        "SELECT string_agg(task_id || ' ' || coalesce(state, 'none'), ', ' ORDER BY task_id) \
         FROM task_instance WHERE dag_id = 'chain' AND run_id = '{run}'"
    );
    stack.value(&sql).unwrap()
}
