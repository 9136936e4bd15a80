//! What the scenarios share.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod begin;
pub(crate) mod burst;
pub(crate) mod faults;
pub(crate) mod figures;
pub(crate) mod lagging;
pub(crate) mod legacy;
pub(crate) mod upgrade;
pub(crate) mod upload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::stack::{Role, Settings, Stack};

/// No step takes as long, on a machine that builds at the same time too.
pub(crate) const LONG: Duration = Duration::from_secs(480);

/// The directory of the four programs: the release's, or what cargo built beside this test.
pub(crate) fn programs() -> PathBuf {
    match std::env::var_os("TRIMTAB_PROGRAMS") {
        Some(directory) => PathBuf::from(directory),
        None => {
            let own = std::env::current_exe().unwrap();
            own.parent().unwrap().parent().unwrap().to_owned()
        }
    }
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A stack's files: removed when the test passed, kept when it failed.
pub(crate) struct Root(Option<tempfile::TempDir>);

impl Root {
    pub(crate) fn new() -> Root {
        let made = tempfile::Builder::new().prefix("trimtab-e2e").tempdir();
        Root(Some(made.unwrap()))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().unwrap().path()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(root) = self.0.take()
            && std::thread::panicking()
        {
            eprintln!("the services' logs are kept in {}", root.keep().display());
        }
    }
}

/// Where the record of a run goes.
pub(crate) fn results() -> PathBuf {
    let directory = programs().join("e2e");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// The record as JSON and as a plot.
pub(crate) fn record(stack: &Stack, name: &str, title: &str) {
    let directory = results();
    stack
        .timeline
        .write(&directory.join(format!("{name}.json")));
    let plot = e2e::plot::svg(&stack.timeline.record(), title);
    let path = directory.join(format!("{name}.svg"));
    std::fs::write(&path, plot).unwrap();
    eprintln!("the plot of this run: {}", path.display());
}

pub(crate) fn settings(root: &Root, workers: u32) -> Settings {
    let mut settings = Settings::new(root.path(), &programs());
    settings.max_workers = workers;
    settings.with("AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION", "False")
}

/// Starts all of these at once, and waits until each of them serves.
pub(crate) fn start(stack: &mut Stack, roles: &[Role]) {
    for role in roles {
        stack.start(role.clone());
    }
    let names: Vec<String> = roles.iter().map(Role::name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stack.wait_serving(&names, LONG);
}

/// A figure of the run, on the terminal and in its record.
pub(crate) fn note(stack: &Stack, what: &str, value: f64) {
    eprintln!("{:7.1} s  {what}: {value:.2}", stack.timeline.now());
    stack.timeline.figure(what, value);
}
