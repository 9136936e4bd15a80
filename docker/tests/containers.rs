//! The images in a real Docker: each as user 50000:0 with a read-only root and no capability, against
//! real servers on the host's network. `make images-test` builds them and runs this.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "figures are for who runs it")]

use std::collections::BTreeSet;
use std::os::unix::fs::chown;
use std::time::Duration;

use images::docker::{Container, Run, docker, inspect};
use testkit::ecs::EcsAgent;
use testkit::moto::Moto;
use testkit::postgres::Postgres;
use testkit::redis::Redis;

const PROGRAMS: [&str; 4] = ["s3sync", "queue-metrics", "entrypoint", "healthcheck"];

/// All of them together, uncompressed.
const MOST_BYTES: u64 = 20_000_000;

/// A container that only connects and answers.
const QUICK: Duration = Duration::from_secs(30);

fn image(program: &str) -> String {
    format!("trimtab/{program}:latest")
}

#[test]
#[ignore = "needs a Docker daemon: make images-test"]
fn all_images_together_stay_below_their_limit() {
    let sizes = PROGRAMS.map(|program| {
        let bytes = inspect(&image(program))["Size"].as_u64().unwrap();
        println!("{program:>14} {bytes:>10} bytes");
        bytes
    });
    let sum: u64 = sizes.iter().sum();
    println!("{:>14} {sum:>10} bytes, at most {MOST_BYTES}", "together");
    assert!(sum <= MOST_BYTES);
}

#[test]
#[ignore = "needs a Docker daemon: make images-test"]
fn an_image_holds_its_program_and_the_health_check_and_nothing_else() {
    for program in PROGRAMS {
        let archive = docker_export(&image(program));
        let expected = BTreeSet::from([
            format!("-rwxr-xr-x 0/0 {program}"),
            "-rwxr-xr-x 0/0 healthcheck".to_owned(),
            "drwxr-xr-x 0/0 run/".to_owned(),
            "drwxrwxr-x 50000/0 run/trimtab/".to_owned(),
            "drwxrwxrwt 50000/0 tmp/".to_owned(),
        ]);
        assert_eq!(archive, expected, "{program}");
    }
}

#[test]
#[ignore = "needs a Docker daemon: make images-test"]
fn an_image_says_what_it_is_and_runs_as_airflows_user() {
    for program in PROGRAMS {
        let config = inspect(&image(program))["Config"].clone();
        assert_eq!(config["User"], "50000:0", "{program}");
        assert_eq!(config["Entrypoint"][0], format!("/{program}"));
        let volumes: BTreeSet<&String> = config["Volumes"].as_object().unwrap().keys().collect();
        assert_eq!(
            volumes.into_iter().collect::<Vec<_>>(),
            ["/run/trimtab", "/tmp"]
        );
        for label in [
            "title",
            "description",
            "version",
            "revision",
            "created",
            "licenses",
        ] {
            let value = &config["Labels"][format!("org.opencontainers.image.{label}")];
            assert_ne!(value.as_str().unwrap_or_default(), "", "{program}: {label}");
        }
    }
}

#[test]
#[ignore = "needs a Docker daemon: make images-test"]
fn s3sync_fills_a_mounted_directory_and_becomes_healthy() {
    let moto = Moto::start();
    moto.create_bucket("dags");
    moto.put("dags", "prod/etl.py", b"# a dag for airflow\n");
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), Some(50_000), Some(0)).unwrap();
    let container = Run::of(&image("s3sync"))
        .variables(moto.environment())
        .option(format!(
            "--volume={}:/opt/airflow/dags",
            directory.path().display()
        ))
        .option("--health-interval=1s")
        .command(&["watch", "s3://dags/prod", "/opt/airflow/dags"])
        .start();
    container.wait_until_healthy(QUICK);
    let file = std::fs::read(directory.path().join("etl.py")).unwrap();
    assert_eq!(file, b"# a dag for airflow\n");
    assert_quiet(&container);
    assert_eq!(container.stop(), 0, "{}", container.log());
}

#[test]
#[ignore = "needs a Docker daemon: make images-test"]
fn queue_metrics_reads_the_broker() {
    let redis = Redis::start();
    redis.command(&["LPUSH", "default", "{}", "{}", "{}"]);
    let done = Run::of(&image("queue-metrics"))
        .variable("QUEUE_METRICS_BROKER_URL", &redis.url())
        .command(&["once", "--observe", "3s", "--output", "json"])
        .finish(QUICK);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let answer: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(answer["queues"]["default"]["ready"], 3, "{}", done.stdout);
}

#[test]
#[ignore = "needs a Docker daemon: make images-test"]
fn queue_metrics_watch_publishes_on_stdout_and_becomes_healthy() {
    let redis = Redis::start();
    let container = Run::of(&image("queue-metrics"))
        .variable("QUEUE_METRICS_BROKER_URL", &redis.url())
        .variable("QUEUE_METRICS_METRICS", "emf")
        // Else it warns that all workers together could run more than Airflow lets run.
        .variable("AIRFLOW__CORE__PARALLELISM", "160")
        .option("--health-interval=1s")
        .command(&["watch"])
        .start();
    container.wait_until_healthy(QUICK);
    testkit::until(QUICK, "the first metrics", || {
        container.log().contains("\"WorkersTarget\"")
    });
    assert_quiet(&container);
    assert_eq!(container.stop(), 0, "{}", container.log());
}

#[test]
#[ignore = "needs a Docker daemon: make images-test"]
fn queue_metrics_protect_asks_the_agent_of_its_task_before_it_is_healthy() {
    let redis = Redis::start();
    let agent = EcsAgent::start();
    let container = Run::of(&image("queue-metrics"))
        .variable("QUEUE_METRICS_BROKER_URL", &redis.url())
        .variable("QUEUE_METRICS_METRICS", "emf")
        .variable("ECS_AGENT_URI", &agent.uri())
        .option("--health-interval=1s")
        .command(&["protect"])
        .start();
    container.wait_until_healthy(QUICK);
    assert!(agent.is_protected());
    assert_eq!(container.stop(), 0, "{}", container.log());
}

#[test]
#[ignore = "needs a Docker daemon: make images-test"]
fn entrypoint_fetches_a_password_waits_for_postgres_and_runs_its_command() {
    let moto = Moto::start();
    let postgres = Postgres::start();
    let database = postgres.database();
    let put = "import boto3, sys; boto3.client('ssm').put_parameter(Name='/db/password', \
        Value=sys.argv[1], Type='SecureString')";
    moto.python(put, &[&database.password]);
    let port = database.port.to_string();
    let check = format!("tcp://127.0.0.1:{port}");
    let run = |password: &str| {
        Run::of(&image("entrypoint"))
            .variables(moto.environment())
            .variable("ENTRYPOINT_MIGRATE", "never")
            .variable("ENTRYPOINT_WAIT_TIMEOUT", "10s")
            .variable("ENTRYPOINT_DB_HOST", "127.0.0.1")
            .variable("ENTRYPOINT_DB_PORT", &port)
            .variable("ENTRYPOINT_DB_NAME", &database.name)
            .variable("ENTRYPOINT_DB_USER", &database.user)
            .variable("ENTRYPOINT_DB_PASSWORD", password)
            .command(&["/healthcheck", "--verbose", &check])
            .finish(QUICK)
    };
    let done = run("ssm:///db/password");
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("tcp://127.0.0.1"),
        "the command ran: {}",
        done.stderr
    );
    assert_eq!(run("wrong").code, 77);
}

#[test]
#[ignore = "needs a Docker daemon: make images-test"]
fn healthcheck_answers_for_a_server_of_the_host() {
    let moto = Moto::start();
    let run = |check: &str| {
        Run::of(&image("healthcheck"))
            .command(&[check])
            .finish(QUICK)
    };
    let url = format!("{}/moto-api/", moto.endpoint());
    let done = run(&url);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert_eq!(run("tcp://127.0.0.1:1").code, 1);
}

/// No warning of the status file or the settings: the image's own paths are writable.
fn assert_quiet(container: &Container) {
    let log = container.log();
    let odd = log
        .lines()
        .filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""));
    assert_eq!(odd.collect::<Vec<_>>(), Vec::<&str>::new());
}

/// An image's files as tar lists them, but for what a container's start adds.
fn docker_export(image: &str) -> BTreeSet<String> {
    let container = docker(&["create", image]);
    let container = container.trim();
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("image.tar");
    docker(&["export", "--output", archive.to_str().unwrap(), container]);
    docker(&["rm", "--volumes", container]);
    let listed = testkit::process::Program::new("/usr/bin/env")
        .args(["tar", "--list", "--verbose", "--numeric-owner", "--file"])
        .arg(&archive)
        .run(QUICK);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[1], words[5])
    };
    let added = |line: &String| {
        let path = line.rsplit(' ').next().unwrap_or_default();
        path == ".dockerenv"
            || ["dev/", "etc/", "proc/", "sys/"]
                .iter()
                .any(|top| path.starts_with(top))
    };
    listed
        .stdout
        .lines()
        .map(line)
        .filter(|line| !added(line))
        .collect()
}
