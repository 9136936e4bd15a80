//! The process in the background: starts everything, starts again what ended, and tells the page.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::bucket;
use e2e::stack::{ADMIN, BUCKET, Role, Service, Settings, Stack};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use testkit::venv::Venv;

use crate::Arguments;
use crate::page::{self, Row, State};

/// Nothing but this machine reaches it.
const PASSWORD: &str = "airflow";
const ROLES: [Role; 8] = [
    Role::S3Sync,
    Role::QueueMetrics,
    Role::ApiServer,
    Role::Scheduler,
    Role::DagProcessor,
    Role::Triggerer,
    Role::Worker(1),
    Role::Protect(1),
];

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ended))
            .with_context(|| format!("no handler for signal {signal}"))?;
    }
    let began = Instant::now();
    let mut settings = Settings::new(&arguments.directory, &arguments.programs);
    settings.password = PASSWORD.to_owned();
    settings.hold = Duration::from_secs(60);
    // The port that a newcomer expects, if nobody has it.
    let usual = std::net::TcpListener::bind(("127.0.0.1", 8080));
    settings.port = usual.is_ok().then_some(8080);
    drop(usual);
    let aws = Venv::clients()?.program("aws");
    let mut stack = Stack::prepare(settings);
    bucket::put_directory(&stack.servers, &arguments.dags);
    for role in &ROLES {
        stack.start(role.clone());
    }
    let hints = hints(&stack, &aws.display().to_string());
    while !ended.load(Ordering::Relaxed) {
        let state = State {
            services: stack.services().iter_mut().map(row).collect(),
            facts: facts(&mut stack),
            hints: hints.clone(),
            seconds: began.elapsed().as_secs(),
        };
        page::write(&arguments.directory, &state)?;
        start_again(&mut stack);
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// As ECS does with the tasks of a service.
fn start_again(stack: &mut Stack) {
    for role in &ROLES {
        let service = stack.service(&role.name());
        if let Some(code) = service.exit() {
            eprintln!("{} ended with {code}: {}", service.name(), service.told(5));
            stack.start(role.clone());
        }
    }
}

fn row(service: &mut Service) -> Row {
    let health = service.health();
    let status = service.status();
    let phase = status["phase"].as_str().unwrap_or("starting");
    let reason = status["reason"].as_str();
    let what = match (&health, reason) {
        (_, Some(reason)) => format!("{phase}: {reason}"),
        (Err(why), None) if status.is_object() => format!("{phase}: {why}"),
        _ => phase.to_owned(),
    };
    Row {
        name: service.name().to_owned(),
        healthy: health.is_ok(),
        what,
        serves: service.serves(),
    }
}

fn facts(stack: &mut Stack) -> Vec<(String, String)> {
    let count = |stack: &Stack, sql: &str| stack.value(sql).unwrap_or_else(|| "-".to_owned());
    let synced = stack.service("s3sync").status();
    let revision = synced["detail"]["revision"].as_str().unwrap_or("-");
    let revision: String = revision.chars().take(12).collect();
    let dags = count(stack, "SELECT count(*) FROM dag WHERE NOT is_stale");
    let errors = count(stack, "SELECT count(*) FROM import_error");
    let queue = stack.service("queue-metrics").status();
    let group = &queue["detail"]["groups"]["worker"];
    let number = |name: &str| match &group[name] {
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    };
    let queue = format!(
        "workers wanted {}, alive {}; tasks waiting {}, busy {}",
        number("workers_target"),
        number("workers_alive"),
        number("waiting"),
        number("busy")
    );
    let files = &synced["detail"]["files"];
    let dags = format!("revision {revision}, {files} files; {dags} DAGs, {errors} import errors");
    [("DAGs", dags), ("queue", queue)]
        .map(|(name, text)| (name.to_owned(), text))
        .into()
}

fn hints(stack: &Stack, aws: &str) -> Vec<(String, String)> {
    let endpoint = format!("http://127.0.0.1:{}", stack.servers.s3.port());
    // A DAG that is not there yet: what is put a second time changes nothing that a person could see.
    let new = "sed 's/=\"smoke\"/=\"hello\"/' dags/smoke.py";
    let keys = "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1";
    let to = format!("--endpoint-url {endpoint}");
    [
        (
            "Airflow",
            format!("{}   user {ADMIN}, password {PASSWORD}", stack.url()),
        ),
        ("logs", format!("{}/*/log", stack.settings.root.display())),
        (
            "upload",
            format!("{new} | {keys} {aws} s3 cp - s3://{BUCKET}/dags/hello.py {to}"),
        ),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}
