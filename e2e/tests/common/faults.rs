//! Scenario 4: what fails for a while, and what is there again after it.

use std::time::{Duration, Instant};

use e2e::airflow::Api;
use e2e::bucket;
use e2e::stack::{BUCKET, Role, Stack};
use serde_json::json;
use testkit::process::{Program, Signal};
use testkit::proxy::Fault;
use testkit::{until, until_some};

use super::{LONG, note, start, upload};

const LONG_DAG: &str = r#"from datetime import datetime
import time
from airflow.sdk import dag, task

@dag(dag_id="long", schedule=None, start_date=datetime(2026, 1, 1), description="long")
def long():
    @task(retries=0)
    def work(params=None):
        time.sleep(30)
    work()

long()
"#;

pub(crate) fn run(stack: &mut Stack) {
    bucket::put(&stack.servers, "long.py", LONG_DAG);
    until(LONG, "the DAG", || {
        upload::described(stack, "long").is_some()
    });
    let api = until_some(LONG, "the login", || Api::login(stack).ok());
    with_a_task(stack, &api, "Postgres restarted", |stack| {
        stack.servers.postgres.restart()
    });
    with_a_task(stack, &api, "Redis restarted", |stack| {
        stack.servers.redis.restart_with_data()
    });
    with_a_task(stack, &api, "a worker told to stop", |stack| {
        let code = stack.stop("worker-1");
        assert_eq!(code, 0, "the worker");
        stack.start(Role::Worker(1));
    });
    s3_away(stack);
    killed_while_it_publishes(stack);
    upload::no_import_error(stack);
}

/// A fault while a task runs: the task succeeds at its first try, and no service ends.
fn with_a_task(stack: &mut Stack, api: &Api, what: &str, fault: impl FnOnce(&mut Stack)) {
    let run = what.replace(' ', "-");
    api.trigger("long", &run, &json!({})).unwrap();
    let sql = format!("SELECT state FROM task_instance WHERE run_id = '{run}'");
    until(LONG, "the task to run", || {
        let state = stack.value(&sql);
        assert_ne!(state.as_deref(), Some("failed"), "{what}: the task");
        state.as_deref() == Some("running")
    });
    stack.timeline.event("faults", what);
    let began = Instant::now();
    fault(stack);
    upload::wait_for_run(stack, "long", &run);
    note(
        stack,
        &format!("{what}: until the running task's success, s"),
        began.elapsed().as_secs_f64(),
    );
    super::burst::tries(stack, "long");
    let mut ended = Vec::new();
    for service in stack.services() {
        if let Some(code) = service.exit() {
            ended.push(format!(
                "{} with {code}: {}",
                service.name(),
                service.told(3)
            ));
        }
    }
    assert!(ended.is_empty(), "{what}: ended: {ended:#?}");
    let names = stack.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stack.wait_serving(&names, LONG);
    note(
        stack,
        &format!("{what}: until all serve again, s"),
        began.elapsed().as_secs_f64(),
    );
}

fn s3_away(stack: &mut Stack) {
    stack.timeline.event("faults", "S3 away");
    stack.servers.s3.fault(Fault::Refuse);
    stack.servers.s3.cut();
    bucket::put(&stack.servers, "probe.py", &upload::probe("away"));
    let end = Instant::now() + Duration::from_secs(60);
    let mut degraded = false;
    while Instant::now() < end {
        let service = stack.service("s3sync");
        assert_eq!(service.health(), Ok(()));
        degraded |= service.status()["degraded"] == true;
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(degraded, "s3sync says that it is degraded");
    stack.servers.s3.fault(Fault::None);
    stack.timeline.event("faults", "S3 is back");
    let began = Instant::now();
    until(LONG, "the upload", || {
        upload::described(stack, "probe").as_deref() == Some("away")
    });
    note(
        stack,
        "S3 away for a minute: from its return to serialized, s",
        began.elapsed().as_secs_f64(),
    );
}

fn killed_while_it_publishes(stack: &mut Stack) {
    for number in 0..300 {
        bucket::put(
            &stack.servers,
            &format!("many/f{number:03}.txt"),
            &format!("file {number}\n"),
        );
    }
    let first = stack.dags().join("many");
    until(LONG, "the burst to begin", || first.exists());
    stack.service("s3sync").signal(Signal::KILL);
    stack.timeline.event("s3sync", "killed");
    stack.timeline.event("faults", "s3sync killed");
    let there = std::fs::read_dir(&first).map_or(0, Iterator::count);
    note(
        stack,
        "s3sync killed: files of 300 that were there",
        there as f64,
    );
    let began = Instant::now();
    start(stack, &[Role::S3Sync]);
    until(LONG, "the rest", || {
        std::fs::read_dir(&first).is_ok_and(|files| files.count() == 300)
    });
    note(
        stack,
        "s3sync killed while it published: until all was there, s",
        began.elapsed().as_secs_f64(),
    );
    let verify = Program::new(stack.settings.root.join("bin/s3sync"))
        .args(["verify", &format!("s3://{BUCKET}/dags")])
        .arg(stack.dags().into_os_string())
        .envs(stack.servers.environment())
        .run(LONG);
    assert_eq!(verify.code, 0, "{}{}", verify.stdout, verify.stderr);
}

/// On an empty database: whoever migrates is killed with all its processes, and another takes over.
pub(crate) fn migrator(stack: &mut Stack) {
    let roles = [Role::ApiServer, Role::Scheduler, Role::DagProcessor];
    for role in &roles {
        stack.start(role.clone());
    }
    let name = until_some(LONG, "a migration to begin", || {
        let mut found = stack.services().iter();
        let found = found.find(|service| service.event("migration_begins").is_some());
        found.map(|service| service.name().to_owned())
    });
    until(LONG, "its first table", || {
        stack.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            > Some("0".to_owned())
    });
    stack.timeline.event("faults", &format!("{name} killed"));
    let began = Instant::now();
    stack.service(&name).signal(Signal::KILL);
    assert_eq!(stack.service(&name).exit_within(LONG), 137);
    let role = roles.iter().find(|role| role.name() == name).unwrap();
    // ECS puts another in its place.
    stack.start(role.clone());
    let names: Vec<String> = roles.iter().map(Role::name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stack.wait_serving(&names, LONG);
    note(
        stack,
        "migrator killed: until all serve, s",
        began.elapsed().as_secs_f64(),
    );
    let done = stack.services().iter();
    let done = done
        .filter(|service| service.event("migration_done").is_some())
        .count();
    assert_eq!(done, 1, "migrations that were done");
}
