//! The laptop's stack: what each service is told, by the programs' own parsers.

use std::collections::BTreeSet;

use images::compose::{container, file};
use images::container::Container;
use images::parser::{Program, service};
use serde_json::{Map, Value};

/// Other people's images, whose settings are not ours to judge.
const SERVERS: [&str; 4] = ["postgres", "redis", "moto", "seed"];

fn services() -> Map<String, Value> {
    let services = file()["services"].as_object().cloned();
    services.expect("the file has services")
}

fn ours() -> Vec<(Container, Value)> {
    let services = services().into_iter();
    services
        .filter(|(name, _)| !SERVERS.contains(&name.as_str()))
        .map(|(name, service)| (container(&name, &service), service))
        .collect()
}

#[test]
fn no_program_refuses_or_warns_of_what_it_is_told() {
    for (container, _) in ours() {
        assert_eq!(
            container.complaints(),
            Vec::<String>::new(),
            "{}",
            container.name
        );
    }
}

#[test]
fn all_programs_are_at_work_and_every_service_of_airflow() {
    let words = |container: &Container| match container.program() {
        Some(Program::Entrypoint) => {
            service(&container.command).map(|known| known.words().to_owned())
        }
        _ => Some(format!(
            "{} {}",
            container.short_image(),
            container.command[0]
        )),
    };
    let found: BTreeSet<String> = ours()
        .iter()
        .filter_map(|(container, _)| words(container))
        .collect();
    let expected = [
        "api-server",
        "celery worker",
        "dag-processor",
        "queue-metrics protect",
        "queue-metrics watch",
        "s3sync watch",
        "scheduler",
        "triggerer",
    ];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(ours().len(), expected.len());
}

#[test]
fn every_service_runs_as_strictly_as_in_a_task() {
    for (container, service) in ours() {
        let name = container.name;
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        assert_eq!(
            service["security_opt"][0], "no-new-privileges:true",
            "{name}"
        );
        assert_eq!(
            service["user"],
            Value::Null,
            "{name}: the image's own user holds"
        );
    }
}

#[test]
fn who_waits_for_health_waits_for_one_that_has_a_check() {
    let services = services();
    for (name, service) in &services {
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let other = &services[other.as_str()];
            match how["condition"].as_str() {
                Some("service_healthy") => {
                    assert!(other["healthcheck"]["test"].is_array(), "{name}")
                }
                Some("service_completed_successfully") => {
                    assert_eq!(other["restart"], Value::Null, "{name}");
                }
                other => panic!("{name} waits for {other:?}"),
            }
        }
    }
}

#[test]
fn nothing_is_reachable_from_outside_the_laptop() {
    for (name, service) in services() {
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().unwrap_or_default();
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
}

#[test]
fn the_servers_are_pinned_and_moto_is_the_tests_own() {
    let moto = images::read("testkit/requirements/moto.txt");
    let version = moto.lines().find_map(|line| line.strip_prefix("moto=="));
    let services = services();
    for name in SERVERS {
        let image = services[name]["image"].as_str().unwrap_or_default();
        let (_, tag) = image.split_once(':').expect("a tag");
        assert!(tag.contains('.'), "{image}");
        if image.starts_with("motoserver/") {
            assert_eq!(Some(tag), version);
        }
    }
}

#[test]
fn a_dag_directory_is_written_by_s3sync_alone() {
    let mounts = |service: &Value| -> Vec<String> {
        let volumes = service["volumes"].as_array().into_iter().flatten();
        let volumes = volumes.filter_map(Value::as_str).map(str::to_owned);
        volumes
            .filter(|volume| volume.starts_with("dags:"))
            .collect()
    };
    for (container, service) in ours() {
        let expected: &[&str] = match container.program() {
            Some(Program::S3sync) => &["dags:/opt/airflow/dags"],
            Some(Program::Entrypoint) => &["dags:/opt/airflow/dags:ro"],
            _ => &[],
        };
        assert_eq!(mounts(&service), expected, "{}", container.name);
    }
}
