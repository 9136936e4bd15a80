//! The status file of the real program follows its service.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use entrypoint::health::row;
use serde_json::Value;
use testkit::postgres::{Database, Postgres, identifier};
use testkit::process::{Process, Program, Signal};

const SOON: Duration = Duration::from_secs(20);

struct Service {
    process: Process,
    status: PathBuf,
}

/// `airflow SERVICE` as a program that waits, with a database.
fn start(
    directory: &Path,
    service: &str,
    database: &Database,
    variables: &[(&str, &str)],
) -> Service {
    let airflow = directory.join("airflow");
    std::fs::write(&airflow, "#!/bin/sh\nexec /bin/sleep 100\n").unwrap();
    std::fs::set_permissions(&airflow, std::fs::Permissions::from_mode(0o755)).unwrap();
    let status = directory.join("status.json");
    let process = Program::new(env!("CARGO_BIN_EXE_entrypoint"))
        .env("PATH", format!("{}:/usr/bin:/bin", directory.display()))
        .env("AIRFLOW_HOME", directory)
        .env("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
        .env(
            "AIRFLOW__CORE__FERNET_KEY",
            "dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=",
        )
        .env(
            "AIRFLOW__API_AUTH__JWT_SECRET",
            "a-jwt-secret-of-more-than-sixty-four-characters-for-the-tests-of-it-all",
        )
        .env("AIRFLOW__API__SECRET_KEY", "shared")
        .env("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", database.url())
        .env("ENTRYPOINT_MIGRATE", "never")
        .env("ENTRYPOINT_SIMPLE_AUTH", "allow")
        .env("ENTRYPOINT_STATUS_FILE", &status)
        .env("ENTRYPOINT_METRICS", "emf")
        .envs(variables.iter().copied())
        .arg(service)
        .spawn();
    Service { process, status }
}

impl Service {
    fn reaches(&mut self, what: &str, holds: impl Fn(&Value) -> bool) {
        let mut last = Value::Null;
        let start = std::time::Instant::now();
        loop {
            if let Ok(text) = std::fs::read_to_string(&self.status) {
                last = serde_json::from_str(&text).unwrap();
            }
            if holds(&last) {
                return;
            }
            assert!(
                start.elapsed() < SOON && self.process.is_running(),
                "{what}: {last}\n{}",
                self.process.stderr()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_triggerer_is_healthy_from_its_first_heartbeat_on() {
    let (postgres, directory) = (Postgres::shared(), tempfile::tempdir().unwrap());
    let database = postgres.database();
    let sql = |sql: &str| drop(postgres.rows(&database.name, sql));
    sql(
        "CREATE TABLE job (id serial PRIMARY KEY, state varchar(20), job_type varchar(30), start_date timestamptz, latest_heartbeat timestamptz, hostname varchar(500))",
    );
    sql(&format!(
        "GRANT ALL ON job TO {}",
        identifier(&database.user)
    ));
    let mut service = start(directory.path(), "triggerer", &database, &[]);
    service.reaches("running", |status| status["phase"] == "running");
    service.reaches("starting", |status| {
        status["healthy"] == false
            && status["reason"]
                .as_str()
                .unwrap_or_default()
                .contains("no TriggererJob of this host")
    });
    let host = row::host_names().remove(0);
    sql(&format!(
        "INSERT INTO job (state, job_type, start_date, latest_heartbeat, hostname) VALUES ('running', 'TriggererJob', now(), now(), '{host}')"
    ));
    service.reaches("alive", |status| {
        status["healthy"] == true && status["reason"].is_null()
    });
    service
        .process
        .wait_for(|line| line.contains("\"ServiceHealthy\":1"), SOON);
    let sessions = postgres.rows("postgres", &format!("SELECT count(*)::text FROM pg_stat_activity WHERE datname = '{}' AND backend_type = 'client backend'", database.name));
    assert!(sessions[0][0].as_deref() <= Some("2"), "{sessions:?}");
    service.process.signal(Signal::TERM);
    assert_eq!(service.process.exit_code(SOON), 143);
    let status: Value =
        serde_json::from_str(&std::fs::read_to_string(&service.status).unwrap()).unwrap();
    assert_eq!(
        (&status["phase"], &status["healthy"]),
        (&"stopped".into(), &false.into())
    );
}

#[test]
fn an_api_server_is_healthy_when_its_own_port_answers() {
    let (postgres, directory) = (Postgres::shared(), tempfile::tempdir().unwrap());
    let database = postgres.database();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut service = start(
        directory.path(),
        "api-server",
        &database,
        &[("AIRFLOW__API__PORT", &port)],
    );
    service.reaches("running", |status| {
        status["phase"] == "running" || status["phase"] == "checking"
    });
    // Nobody answered yet; now somebody does, for as long as this test lasts.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            use std::io::{Read as _, Write as _};
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
        }
    });
    service.reaches("alive", |status| {
        status["healthy"] == true && status["phase"] == "running"
    });
    assert!(!service.process.stderr().contains("\"event\":\"unhealthy\""));
}
