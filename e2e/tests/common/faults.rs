//! Scenario 4: what fails for a while, and what is there again after it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e2e::airflow::Api;
use e2e::bucket;
use e2e::stack::{BUCKET, Role, Stack};
use serde_json::json;
use testkit::process::{Program, Signal};
use testkit::proxy::Fault;
use testkit::{until, until_some};

use super::{LONG, note, start, upload};

/// A task that may be tried once, and one that is too long for a worker that has to go: only its second
/// try is short.
const DAGS: &str = r#"from datetime import datetime, timedelta
import time
from airflow.sdk import dag, task

@dag(dag_id="long", schedule=None, start_date=datetime(2026, 1, 1), description="long")
def long():
    @task(retries=1, retry_delay=timedelta(seconds=1))
    def work(dag_run=None):
        time.sleep(dag_run.conf["seconds"])
    work()

@dag(dag_id="longer", schedule=None, start_date=datetime(2026, 1, 1), description="longer")
def longer():
    @task(retries=1, retry_delay=timedelta(seconds=1))
    def work(ti=None):
        time.sleep(900 if ti.try_number == 1 else 1)
    work()

long()
longer()
"#;

/// Fargate's longest `stopTimeout`, and how long Spot gives.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);

/// The files of a set that s3sync is killed in.
const BURST: usize = 300;

pub(crate) fn run(stack: &mut Stack) {
    bucket::put(&stack.servers, "long.py", DAGS);
    until(LONG, "the DAGs", || {
        ["long", "longer"].map(|dag| upload::described(stack, dag).is_some()) == [true, true]
    });
    let api = until_some(LONG, "the login", || Api::login(stack).ok());
    with_a_task(stack, &api, "Postgres restarted", 30, |stack| {
        stack.servers.postgres.restart()
    });
    super::burst::tries(stack, "long");
    with_a_task(stack, &api, "a worker told to stop", 80, |stack| {
        let began = Instant::now();
        let code = stack.stop("worker-1");
        assert_eq!(code, 0, "the worker");
        assert!(began.elapsed() < STOP_TIMEOUT, "ECS would have killed it");
        stack.start(Role::Worker(1));
    });
    super::burst::tries(stack, "long");
    s3_away(stack);
    killed_while_it_publishes(stack);
    taken_by_spot(stack, &api);
    // The last: a worker that had a task meanwhile counts it for ever (celery), and so does not end by
    // itself when it is told to.
    with_a_task(stack, &api, "Redis restarted", 30, |stack| {
        stack.servers.redis.restart_with_data()
    });
    tried_once_or_delivered_twice(stack, "Redis-restarted");
    upload::no_import_error(stack);
}

/// As a person does, who tries again: the API server answers 500 once for each session of its user
/// manager that a restarted Postgres has closed.
fn trigger(api: &Api, dag: &str, run: &str, seconds: u32) {
    until(LONG, "the API to take a run", || {
        let answer = api.trigger(dag, run, &json!({ "seconds": seconds }));
        match &answer {
            Err(told) if told.contains(": 409: ") => true,
            Err(told) => {
                assert!(told.contains(": 500: "), "{told}");
                eprintln!("{told}");
                false
            }
            Ok(()) => true,
        }
    });
}

/// Spot takes a worker whose task is too long: it is gone within what Spot gives, another comes, and
/// the task is Airflow's to try again.
fn taken_by_spot(stack: &mut Stack, api: &Api) {
    let state = "SELECT state FROM task_instance WHERE dag_id = 'longer'";
    trigger(api, "longer", "spot", 0);
    until(LONG, "the longer task to run", || {
        stack.value(state).as_deref() == Some("running")
    });
    stack
        .timeline
        .event("faults", "Spot takes worker-1, its task is long");
    let began = Instant::now();
    stack.tell_to_stop("worker-1");
    // ECS starts another meanwhile.
    stack.start(Role::Worker(2));
    let code = stack.wait_for_end("worker-1");
    let took = began.elapsed();
    note(
        stack,
        "Spot: SIGTERM to the worker's end, s",
        took.as_secs_f64(),
    );
    assert!(took < STOP_TIMEOUT, "ended by ECS and not by itself");
    stack.wait_serving(&["worker-2"], LONG);
    assert_eq!(code, 137, "the worker");
    upload::wait_for_run(stack, "longer", "spot");
    note(
        stack,
        "Spot: SIGTERM to the second try's success, s",
        began.elapsed().as_secs_f64(),
    );
    let tries =
        "SELECT state || ' at try ' || try_number FROM task_instance WHERE dag_id = 'longer'";
    assert_eq!(stack.value(tries).as_deref(), Some("success at try 2"));
    nobody_ended(stack, "Spot");
}

/// kombu gives back what its worker has not acknowledged when it closes a connection that broke, which
/// succeeds where Redis is up again by then. The task is delivered a second time while it runs, Airflow
/// refuses that start, and its scheduler takes the refusal for the task's failure, and tries it again.
fn tried_once_or_delivered_twice(stack: &mut Stack, run: &str) {
    let sql = format!(
        "SELECT state || ' at try ' || try_number FROM task_instance WHERE run_id = '{run}'"
    );
    let tries = stack.value(&sql);
    if tries.as_deref() != Some("success at try 1") {
        assert_eq!(tries.as_deref(), Some("success at try 2"), "{run}");
        let first = format!("run_id='{run}', try_number=1,");
        let logs = stack.services().iter().map(|service| service.log());
        let starts = logs.map(|log| {
            let lines = log
                .lines()
                .filter(|line| line.contains("Executing workload"));
            lines.filter(|line| line.contains(&first)).count()
        });
        assert_eq!(
            starts.sum::<usize>(),
            2,
            "{run}: deliveries of its first try"
        );
        note(stack, "Redis restarted: the task was delivered twice", 1.0);
    }
}

/// A fault while a task runs: the run succeeds, and no service ends.
fn with_a_task(
    stack: &mut Stack,
    api: &Api,
    what: &str,
    seconds: u32,
    fault: impl FnOnce(&mut Stack),
) {
    let run = what.replace(' ', "-");
    trigger(api, "long", &run, seconds);
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
    serve_again(stack, what);
    note(
        stack,
        &format!("{what}: until all serve again, s"),
        began.elapsed().as_secs_f64(),
    );
}

/// Waits until all serve. None may have ended but a worker by a fault of kombu's, seen when Redis went
/// away: Celery names it, lets what runs end, and ends with 0; ECS starts another.
fn serve_again(stack: &mut Stack, what: &str) {
    let began = Instant::now();
    let mut late = Vec::new();
    loop {
        let mut waited_for = stack.names();
        for name in waited_for.clone() {
            let service = stack.service(&name);
            let Some(code) = service.exit() else { continue };
            let number = name.strip_prefix("worker-");
            let number: Option<u32> = number.and_then(|number| number.parse().ok());
            let known = code == 0 && service.log().contains("Unrecoverable error");
            let told = format!("{what}: {name} ended with {code}: {}", service.told(5));
            eprintln!("{told}");
            let Some(number) = number.filter(|_| known) else {
                panic!("{told}");
            };
            stack.start(Role::Worker(number));
        }
        waited_for.retain(|name| !stack.service(name).serves());
        for name in late.iter().filter(|name| !waited_for.contains(name)) {
            stack.timeline.event(name, "serves");
        }
        if waited_for.is_empty() {
            return;
        }
        let waited = began.elapsed();
        assert!(waited < LONG, "{what}: these do not serve: {waited_for:?}");
        late = waited_for;
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn nobody_ended(stack: &mut Stack, what: &str) {
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
    nobody_ended(stack, "S3 away");
}

fn killed_while_it_publishes(stack: &mut Stack) {
    // The burst takes milliseconds: a kill may come after its end, and then says nothing.
    let (many, there) = (0..10)
        .map(|attempt| killed_in_a_burst(stack, attempt))
        .find(|(_, there)| *there < BURST)
        .expect("a kill within a burst");
    note(
        stack,
        "s3sync killed: files of 300 that were there",
        there as f64,
    );
    let began = Instant::now();
    start(stack, &[Role::S3Sync]);
    until(LONG, "the rest", || files(&many) == BURST);
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
    nobody_ended(stack, "s3sync killed");
}

/// Uploads a directory, and kills s3sync when its first file is there; the directory, and how many of
/// its files were there then.
fn killed_in_a_burst(stack: &mut Stack, attempt: usize) -> (PathBuf, usize) {
    if attempt > 0 {
        start(stack, &[Role::S3Sync]);
    }
    let many = format!("many-{attempt}");
    for number in 0..BURST {
        let path = format!("{many}/f{number:03}.txt");
        bucket::put(&stack.servers, &path, &format!("file {number}\n"));
    }
    let many = stack.dags().join(many);
    let began = Instant::now();
    // Without a pause, in which the burst would end.
    while files(&many) == 0 {
        assert!(began.elapsed() < LONG, "no burst began");
        std::hint::spin_loop();
    }
    stack.service("s3sync").signal(Signal::KILL);
    stack.service("s3sync").exit_within(LONG);
    stack.timeline.event("s3sync", "killed");
    stack.timeline.event("faults", "s3sync killed");
    let there = files(&many);
    (many, there)
}

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
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
