//! The task definitions of docs/images.md, and the containers of README.md: what a reader copies is
//! valid, and is understood by the programs.

use std::collections::BTreeSet;
use std::time::Duration;

use agent::settings::duration;
use images::container::Container;
use images::parser::{Program, service};
use images::task::{alone, containers, strings, tasks};
use serde_json::Value;
use testkit::moto::Moto;

const PAGE: &str = "docs/images.md";

/// ECS's own default and longest, in seconds.
const LONGEST_STOP: u64 = 120;
const LONGEST_START: u64 = 300;

/// How long s3sync and queue-metrics take at most to end; entrypoint's is a setting.
const GRACE: Duration = Duration::from_secs(20);

/// Each container, with its own and its task's JSON.
fn all() -> Vec<(Container, Value, Value)> {
    let tasks = tasks(&images::read(PAGE));
    let each = tasks.into_iter().flat_map(|task| {
        let definitions = task["containerDefinitions"].as_array().cloned();
        let definitions = definitions.unwrap_or_default();
        let pairs = containers(&task).into_iter().zip(definitions);
        pairs.map(move |(container, definition)| (container, definition, task.clone()))
    });
    each.collect()
}

#[test]
fn no_program_refuses_or_warns_of_what_it_is_told() {
    for (container, ..) in all() {
        let name = &container.name;
        assert_eq!(container.complaints(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn what_the_readme_shows_is_understood_too() {
    let shown = alone(&images::read("README.md"));
    let names: Vec<&str> = shown.iter().map(|container| &*container.name).collect();
    assert_eq!(names, ["s3sync", "scheduler", "queue-metrics"]);
    for container in &shown {
        let name = &container.name;
        assert_eq!(container.complaints(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_program_is_shown() {
    let word = |container: Container| match container.program() {
        Some(Program::Entrypoint) => "entrypoint".to_owned(),
        _ => format!("{} {}", container.short_image(), container.command[0]),
    };
    let shown: BTreeSet<String> = all()
        .into_iter()
        .map(|(container, ..)| word(container))
        .collect();
    let expected = [
        "entrypoint",
        "queue-metrics protect",
        "queue-metrics watch",
        "s3sync watch",
    ];
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn every_container_has_a_read_only_root_and_what_it_must_write_mounted() {
    for (container, definition, task) in all() {
        let name = &container.name;
        assert_eq!(definition["readonlyRootFilesystem"], true, "{name}");
        assert_eq!(
            definition["linuxParameters"]["capabilities"]["drop"][0], "ALL",
            "{name}"
        );
        let volumes = names(&task["volumes"], "name");
        let mounts = names(&definition["mountPoints"], "containerPath");
        let sources = names(&definition["mountPoints"], "sourceVolume");
        assert!(sources.is_subset(&volumes), "{name}");
        let airflow: &[&str] = match container.program() {
            Some(Program::Entrypoint) => &["/tmp", "/opt/airflow/logs"],
            _ => &[],
        };
        for path in airflow.iter().chain(&["/run/trimtab"]) {
            assert!(mounts.contains(*path), "{name}: {path}");
        }
    }
}

#[test]
fn a_container_has_longer_to_stop_than_its_program_takes() {
    for (container, definition, _) in all() {
        let grace = match container.program() {
            Some(Program::Entrypoint) => {
                let set = container.variables.get("ENTRYPOINT_STOP_GRACE");
                set.map_or(Ok(Duration::from_secs(25)), |grace| duration(grace))
            }
            _ => Ok(GRACE),
        };
        let stop = definition["stopTimeout"].as_u64().unwrap_or_default();
        assert!(stop <= LONGEST_STOP, "{}", container.name);
        assert!(
            Duration::from_secs(stop) > grace.unwrap(),
            "{}",
            container.name
        );
    }
}

#[test]
fn a_health_check_is_shorter_than_ecs_waits_for_it_and_fits_the_service() {
    for (container, definition, _) in all() {
        let check = &definition["healthCheck"];
        let name = &container.name;
        assert_eq!(strings(&check["command"])[0], "CMD", "{name}");
        assert!(
            check["timeout"].as_u64() > Some(4),
            "{name}: longer than its own 4 s"
        );
        assert!(
            check["startPeriod"].as_u64() <= Some(LONGEST_START),
            "{name}"
        );
        if let Some(service) =
            service(&container.command).filter(|_| container.program() == Some(Program::Entrypoint))
        {
            let profile = service.words().trim_start_matches("celery ");
            assert_eq!(container.health_check[1], format!("airflow:{profile}"));
        }
    }
}

#[test]
fn who_waits_for_health_waits_for_a_container_of_its_task() {
    for (container, definition, task) in all() {
        let others = names(&task["containerDefinitions"], "name");
        for wait in definition["dependsOn"].as_array().into_iter().flatten() {
            assert_eq!(wait["condition"], "HEALTHY");
            let other = wait["containerName"].as_str().unwrap_or_default();
            assert!(others.contains(other), "{}: {other}", container.name);
        }
    }
}

#[test]
fn ecs_takes_the_task_definitions() {
    let register = "import boto3, json, sys\n\
        ecs = boto3.client('ecs')\n\
        names = []\n\
        for task in json.loads(sys.argv[1]):\n\
        \x20   answer = ecs.register_task_definition(**task)['taskDefinition']\n\
        \x20   names.append(answer['family'] + ' ' + answer['networkMode'])\n\
        print(json.dumps(names))";
    let tasks = tasks(&images::read(PAGE));
    let text = serde_json::to_string(&tasks).unwrap();
    let names: Vec<String> = Moto::shared().json(register, &[&text]);
    assert_eq!(names.len(), tasks.len());
    assert!(
        names.contains(&"airflow-worker awsvpc".to_owned()),
        "{names:?}"
    );
}

fn names(list: &Value, key: &str) -> BTreeSet<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|item| item[key].as_str())
        .map(str::to_owned)
        .collect()
}
