//! The Python package's own tests, and its types, with each Airflow.

use std::path::PathBuf;
use std::time::Duration;

use testkit::airflow::{Airflow, Release};
use testkit::process::Program;
use testkit::venv::Venv;

use crate::common::repository;

const LIMIT: Duration = Duration::from_secs(300);

/// Where the package is.
pub(crate) fn source() -> PathBuf {
    repository().join("python")
}

/// Runs pytest and mypy with each of these, all at once, and ruff.
pub(crate) fn tested_and_clean(releases: &[Release]) {
    let pytest = Venv::make(
        "pytest",
        include_str!("../../../python/requirements-test.txt"),
    );
    let lint = Venv::make(
        "python-lint",
        include_str!("../../../python/requirements-lint.txt"),
    );
    let (pytest, lint) = (pytest.unwrap(), lint.unwrap());
    let packages = packages(&pytest);
    std::thread::scope(|scope| {
        for &release in releases {
            let (lint, packages) = (&lint, &packages);
            scope.spawn(move || {
                let python = Airflow::of(release).bin().join("python");
                let cache = tempfile::tempdir().unwrap();
                let path = format!("{}:{}", source().join("src").display(), packages.display());
                let tests = Program::new(&python)
                    .args(["-B", "-m", "pytest"])
                    .env("PATH", "/usr/bin:/bin")
                    .env("HOME", cache.path())
                    .env("PYTHONPATH", path);
                passes(&format!("{release:?}: pytest"), tests);
                let types = Program::new(lint.program("mypy"))
                    .arg("--cache-dir")
                    .arg(cache.path())
                    .arg("--python-executable")
                    .arg(&python);
                passes(&format!("{release:?}: mypy"), types);
            });
        }
    });
    let ruff = |words: &[&str]| Program::new(lint.program("ruff")).args(words.iter().copied());
    passes("ruff", ruff(&["check", "--no-cache"]));
    passes("ruff format", ruff(&["format", "--no-cache", "--check"]));
}

fn passes(what: &str, program: Program) {
    let done = program.directory(source()).run(LIMIT);
    assert_eq!(done.code, 0, "{what}:\n{}{}", done.stdout, done.stderr);
}

/// Another environment's packages, beside those of an Airflow, which is left as it is.
fn packages(venv: &Venv) -> PathBuf {
    let library = venv
        .program("python")
        .parent()
        .unwrap()
        .with_file_name("lib");
    let mut found = std::fs::read_dir(&library).unwrap().flatten();
    found.next().unwrap().path().join("site-packages")
}
