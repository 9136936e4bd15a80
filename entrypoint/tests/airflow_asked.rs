//! URLs that a real Airflow finds out by a command or by its secrets backend: asked for, waited for and
//! migrated.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod airflow_common;

use airflow_common::{LONG, Scene};
use testkit::airflow::Release;
use testkit::process::Program;

const SYNC: &str = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN";

/// A secrets backend that knows one setting.
const BACKEND: &str = "import os
from airflow.secrets import BaseSecretsBackend


class Backend(BaseSecretsBackend):
    def get_config(self, key):
        return os.environ['TOLD'] if key == 'conn' else None
";

fn is_asked_and_migrated(scene: &Scene<'_>, program: &Program) {
    let run = program.run(LONG);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    for event in ["setting_asked", "migration_done"] {
        assert!(run.stderr.contains(event), "{event}: {}", run.stderr);
    }
    assert_eq!(scene.migrations(), 1);
    let output = run.stdout + &run.stderr;
    assert!(!output.contains(&scene.database.password), "{output}");
}

fn by_a_command(release: Release) {
    let scene = Scene::empty();
    let url = scene.database.url();
    let program = scene.entrypoint(release).without_env(SYNC);
    is_asked_and_migrated(
        &scene,
        &program.env(format!("{SYNC}_CMD"), format!("printf {url}")),
    );
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn airflow_2_8_is_asked_for_what_its_command_prints() {
    by_a_command(Release::V2_8);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn airflow_3_1_is_asked_for_what_its_command_prints() {
    by_a_command(Release::V3_1);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn airflow_3_3_is_asked_for_what_its_secrets_backend_holds() {
    let scene = Scene::empty();
    let modules = tempfile::tempdir().unwrap();
    let directory = testkit::airflow::writable(modules.path());
    std::fs::write(directory.join("told.py"), BACKEND).unwrap();
    let program = scene
        .entrypoint(Release::V3_3)
        .without_env(SYNC)
        .env("PYTHONPATH", &directory)
        .env("AIRFLOW__SECRETS__BACKEND", "told.Backend")
        .env("TOLD", scene.database.url())
        .env(format!("{SYNC}_SECRET"), "conn");
    is_asked_and_migrated(&scene, &program);
}
