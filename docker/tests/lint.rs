//! The Dockerfiles, the scripts and the compose file, as other people's tools see them.

use std::path::PathBuf;
use std::time::Duration;

use images::root;
use testkit::process::Program;
use testkit::venv::Venv;

const LIMIT: Duration = Duration::from_secs(60);

fn tools() -> Venv {
    match Venv::make("lint", include_str!("../requirements.txt")) {
        Ok(venv) => venv,
        Err(why) => panic!("the linters cannot be installed: {why:#}"),
    }
}

/// The complaints of a tool about files of the repository.
fn complaints(tool: &str, arguments: &[&str], files: &[&str]) -> String {
    let there = |file: &&str| -> PathBuf {
        let path = root().join(file);
        assert!(path.exists(), "{file} is not there");
        path
    };
    let files: Vec<PathBuf> = files.iter().map(there).collect();
    let done = Program::new(tools().program(tool))
        .args(arguments.iter().copied())
        .args(files)
        .run(LIMIT);
    if done.code == 0 {
        return String::new();
    }
    format!("{}{}", done.stdout, done.stderr)
}

#[test]
fn the_dockerfiles_are_clean() {
    let files = [
        "docker/Dockerfile",
        "docker/airflow/Dockerfile",
        "docker/stand-ins/airflow.Dockerfile",
        "docker/stand-ins/moto.Dockerfile",
        "docker/stand-ins/postgres.Dockerfile",
        "docker/stand-ins/redis.Dockerfile",
    ];
    assert_eq!(complaints("hadolint", &[], &files), "");
}

#[test]
fn the_scripts_are_clean() {
    let files = [
        "docker/images.sh",
        "docker/daemon.sh",
        "docker/stand-ins/make.sh",
        "docker/stand-ins/postgres.sh",
        "ci/deps.sh",
        ".ci/run",
    ];
    assert_eq!(complaints("shellcheck", &[], &files), "");
}

#[test]
fn the_compose_file_is_one() {
    let schema = ["--builtin-schema", "vendor.compose-spec"];
    assert_eq!(
        complaints("check-jsonschema", &schema, &["docker/compose.yaml"]),
        ""
    );
}
