//! The services of the compose file.

use std::time::Duration;

use serde_json::Value;
use testkit::process::Program;
use testkit::venv::Venv;

use crate::container::Container;
use crate::task::{strings, text};

/// Anchors and merged maps are resolved, as compose does.
const TO_JSON: &str =
    "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";

/// The file as JSON.
///
/// # Panics
/// When it is no YAML.
pub fn file() -> Value {
    let python = match Venv::moto() {
        Ok(venv) => venv.python(),
        Err(why) => panic!("no Python with a reader of YAML: {why:#}"),
    };
    let read = Program::new(python)
        .args(["-c", TO_JSON])
        .arg(crate::root().join("docker/compose.yaml"))
        .run(Duration::from_secs(60));
    match serde_json::from_str(&read.stdout) {
        Ok(value) => value,
        Err(why) => panic!("compose.yaml is no YAML: {why}\n{}", read.stderr),
    }
}

/// A service's container.
pub fn container(name: &str, service: &Value) -> Container {
    let mut health_check = strings(&service["healthcheck"]["test"]);
    if health_check.first().is_some_and(|word| word == "CMD") {
        health_check.remove(0);
    }
    let variables = service["environment"].as_object().into_iter().flatten();
    Container {
        name: name.to_owned(),
        image: text(&service["image"]),
        entry_point: strings(&service["entrypoint"]),
        command: strings(&service["command"]),
        variables: variables
            .map(|(name, value)| (name.clone(), scalar(value)))
            .collect(),
        health_check,
    }
}

/// As compose passes it on.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace("$$", "$"),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
