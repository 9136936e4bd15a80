//! The services of Airflow by name: their own port, `entrypoint`'s status file, and one for the other.

use std::fs;
use std::io::Write as _;

use testkit::process::Program;

use super::support::{DEADLINE, Server, closed_port, program, read_request};

#[test]
fn a_profile_asks_its_own_service_or_the_status_file() {
    let directory = tempfile::tempdir().unwrap();
    let status_file = directory.path().join("status");
    let asked = |service: &str, variables: &[(&str, &str)]| {
        Program::new(program())
            .arg(format!("airflow:{service}"))
            .env("ENTRYPOINT_STATUS_FILE", status_file.as_os_str())
            .envs(variables.iter().copied())
            .run(DEADLINE)
    };
    let server = Server::start(|mut stream| {
        let request = read_request(&mut stream);
        let found = ["/api/v2/version", "/health", "/sub/health"]
            .iter()
            .any(|path| request.starts_with(&format!("GET {path} ")));
        let _ = write!(
            stream,
            "HTTP/1.1 {}\r\n\r\n",
            if found { "200 OK" } else { "404 Not Found" }
        );
    });
    let (port, closed) = (server.port().to_string(), closed_port().to_string());
    let scheduler = |port| {
        [
            ("AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK", "True"),
            (
                "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT",
                port,
            ),
        ]
    };
    assert_eq!(
        asked("api-server", &[("AIRFLOW__API__PORT", &port)]).code,
        0
    );
    assert_eq!(
        asked(
            "webserver",
            &[
                ("AIRFLOW__WEBSERVER__WEB_SERVER_PORT", &port),
                ("AIRFLOW__WEBSERVER__BASE_URL", "http://x/sub")
            ]
        )
        .code,
        0
    );
    assert_eq!(asked("scheduler", &scheduler(&port)).code, 0);
    let refused = asked("scheduler", &scheduler(&closed));
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (1, "healthcheck: airflow:scheduler: connection refused\n")
    );
    for service in ["scheduler", "dag-processor", "triggerer", "worker"] {
        let missing = asked(service, &[]);
        assert_eq!(
            missing.stderr,
            format!(
                "healthcheck: airflow:{service}: {}: no such file\n",
                status_file.display()
            )
        );
    }
    let write = |agent: &str, phase: &str, healthy: bool, reason: Option<&str>, age: i64| {
        let then = time::OffsetDateTime::now_utc() - time::Duration::seconds(age);
        let then = then
            .format(&time::format_description::well_known::Rfc3339)
            .unwrap();
        let status = serde_json::json!({"schema": 1, "agent": agent, "phase": phase, "healthy": healthy,
            "reason": reason, "updated": then, "valid_until": then});
        fs::write(&status_file, status.to_string()).unwrap();
    };
    write("entrypoint", "running", true, None, 0);
    assert_eq!(asked("worker", &[]).code, 0);
    let starting = Some("the service is starting: connection refused");
    for (agent, phase, healthy, reason, age, code) in [
        // It is not there yet, and ending the container would end the migration.
        ("entrypoint", "migrating", true, None, 0, 0),
        ("entrypoint", "checking", true, None, 0, 0),
        // The migration may have taken all of ECS's start period; Airflow takes its time after it.
        ("entrypoint", "running", true, starting, 0, 0),
        (
            "entrypoint",
            "running",
            true,
            Some("the database is away"),
            0,
            0,
        ),
        // It is there no more, or never came, whatever else the file says.
        ("entrypoint", "running", true, None, 0, 1),
        ("entrypoint", "running", false, starting, 0, 1),
        ("entrypoint", "migrating", false, None, 0, 1),
        ("entrypoint", "migrating", true, None, 60, 1),
        ("entrypoint", "running", true, starting, -60, 1),
        ("s3sync", "migrating", true, None, 0, 1),
    ] {
        write(agent, phase, healthy, reason, age);
        for (service, variables) in [
            ("api-server", &[("AIRFLOW__API__PORT", closed.as_str())][..]),
            ("scheduler", &scheduler(&closed)),
        ] {
            let done = asked(service, variables);
            let told = match code {
                0 => String::new(),
                _ => format!("healthcheck: airflow:{service}: connection refused\n"),
            };
            assert_eq!(
                (done.code, done.stderr),
                (code, told),
                "{service}: {agent} {phase} {healthy} {reason:?} {age}"
            );
        }
    }
    write("s3sync", "running", true, None, 0);
    let other = asked("triggerer", &[]);
    assert!(
        other.code == 1
            && other
                .stderr
                .ends_with(": the status is s3sync's and not entrypoint's\n"),
        "{}",
        other.stderr
    );
}
