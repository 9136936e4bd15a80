//! A site that takes its DAGs from generations: Airflow with the bundle, and who publishes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::airflow::Api;
use e2e::stack::{BUCKET, Role, Settings, Stack};
use serde_json::json;
use testkit::airflow::{self, Release};
use testkit::process::Program;
use testkit::{until, until_some};

use crate::common::{self, LONG, Root};
use crate::package;

/// The DAG's tasks, one after the other.
pub(crate) const TASKS: [&str; 3] = ["first", "second", "third"];

const VIEW_URL: &str = "https://example.com/tree/{version}";

/// Airflow with the bundle, and with a clean-up that runs all the time and keeps nothing.
pub(crate) fn settings(root: &Root, release: Release) -> Settings {
    let mut settings = common::settings(root, 1);
    settings.release = release;
    settings.concurrency = 4;
    let source = root.path().join("python");
    let package = source.join("trimtab_airflow");
    airflow::writable(root.path());
    copy(&package::source().join("src/trimtab_airflow"), &package);
    let bundles = json!([{
        "name": "dags",
        "classpath": "trimtab_airflow.GenerationBundle",
        "kwargs": {
            "root": root.path().join("dags"),
            "refresh_interval": 2,
            "view_url_template": VIEW_URL,
        },
    }]);
    let more = [
        ("PYTHONPATH", source.display().to_string()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        (
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST",
            bundles.to_string(),
        ),
        (
            "AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_INTERVAL",
            "5".to_owned(),
        ),
        (
            "AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_AGE_THRESHOLD",
            "0".to_owned(),
        ),
        (
            "AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_MIN_VERSIONS",
            "0".to_owned(),
        ),
        ("AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG", "100".to_owned()),
    ];
    for (name, value) in more {
        settings = settings.with(name, &value);
    }
    settings
}

/// Where a service has what is its own of the bundle.
pub(crate) fn storage(stack: &Stack, service: &str) -> PathBuf {
    stack.settings.root.join(service).join("bundles")
}

/// Who publishes, and what was published.
#[derive(Debug)]
pub(crate) struct Scene {
    /// The API, logged in.
    pub(crate) api: Api,
    /// Publishes; a thread may have a copy.
    pub(crate) publisher: Publisher,
    /// The label of each ID.
    pub(crate) labels: BTreeMap<String, String>,
}

impl Scene {
    /// Publishes the first release, starts Airflow's services, and waits until it is parsed.
    pub(crate) fn begin(stack: &mut Stack) -> Scene {
        let publisher = Publisher::new(stack);
        let first = publisher.publish("begin");
        let watch = [
            ("S3SYNC_LAYOUT", "generations"),
            ("S3SYNC_REPORT", &source()),
        ];
        stack.start_with(Role::S3Sync, &watch);
        let mut services = vec![Role::ApiServer, Role::Scheduler, Role::DagProcessor];
        if stack.settings.celery {
            services.push(Role::Worker(1));
        }
        for service in &services {
            // Each container has its own: two clean-ups in one directory fail over one another.
            let storage = airflow::writable(&storage(stack, &service.name()));
            let storage = storage.display().to_string();
            let variable = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH";
            stack.start_with(service.clone(), &[(variable, &storage)]);
        }
        let names: Vec<String> = services.iter().map(Role::name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        stack.wait_serving(&names, LONG);
        let api = until_some(LONG, "the login", || Api::login(stack).ok());
        let mut scene = Scene {
            api,
            publisher,
            labels: BTreeMap::new(),
        };
        scene.labels.insert(first.clone(), "begin".to_owned());
        scene.wait_parsed(stack, &first);
        scene
    }

    /// Publishes a tree that holds this label; its ID.
    pub(crate) fn publish(&mut self, stack: &Stack, label: &str) -> String {
        stack.timeline.event("publishes", label);
        let id = self.publisher.publish(label);
        self.labels.insert(id.clone(), label.to_owned());
        id
    }

    /// The same, and returns when the watcher's report says that it landed, as a pipeline does.
    pub(crate) fn publish_and_wait(&mut self, stack: &Stack, label: &str) -> String {
        stack.timeline.event("publishes", label);
        let id = self.publisher.publish_with(label, &["--wait"]);
        stack.timeline.event("landed", label);
        let current = fs::read_to_string(stack.dags().join("current")).unwrap();
        assert_eq!(current.trim(), id, "it waited for something else");
        self.labels.insert(id.clone(), label.to_owned());
        id
    }

    /// Makes an older generation the current one again.
    pub(crate) fn rollback(&self, stack: &Stack, id: &str) {
        stack.timeline.event("rolls back", &self.labels[id]);
        self.publisher.rollback(&self.labels[id]);
    }

    /// Waits until Airflow has parsed this generation.
    pub(crate) fn wait_parsed(&self, stack: &Stack, id: &str) {
        let label = &self.labels[id];
        until(LONG, &format!("{label} in the database"), || {
            std::thread::sleep(Duration::from_millis(45));
            let version = stack
                .value("SELECT bundle_version FROM dag WHERE dag_id = 'chain' AND NOT is_stale");
            version.as_deref() == Some(id)
                && common::upload::described(stack, "chain").as_deref() == Some(label)
        });
        stack.timeline.event("serialized", label);
    }
}

/// What one publisher needs.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    s3sync: PathBuf,
    trees: PathBuf,
    environment: Vec<(String, String)>,
}

impl Publisher {
    fn new(stack: &Stack) -> Publisher {
        let root = &stack.settings.root;
        Publisher {
            s3sync: root.join("bin/s3sync"),
            trees: airflow::writable(&root.join("trees")),
            environment: stack.servers.environment(),
        }
    }

    /// Publishes a release of that name, whose files hold it too; the ID of its generation.
    pub(crate) fn publish(&self, label: &str) -> String {
        self.publish_with(label, &[])
    }

    fn publish_with(&self, label: &str, words: &[&str]) -> String {
        let tree = self.tree(label);
        let publish = self.program("publish").arg(&tree).arg(source());
        let publish = publish.args(["--name", label]).args(words.iter().copied());
        eprint!("{}", succeeds(&publish));
        self.digest(&tree)
    }

    /// Makes an older release the current one.
    pub(crate) fn rollback(&self, label: &str) {
        succeeds(&self.program("rollback").args([&source(), label]));
    }

    /// The revision of a directory.
    pub(crate) fn digest(&self, tree: &Path) -> String {
        let answer = succeeds(&self.program("digest").arg(tree));
        answer.trim().to_owned()
    }

    fn program(&self, command: &str) -> Program {
        let environment = self.environment.iter().cloned();
        Program::new(&self.s3sync).arg(command).envs(environment)
    }

    /// A tree that holds this label, in the DAG's file and in a module that tasks import late.
    fn tree(&self, label: &str) -> PathBuf {
        let tree = self.trees.join(label);
        fs::create_dir_all(tree.join("parts")).unwrap();
        fs::write(tree.join("chain.py"), DAG.replace("{label}", label)).unwrap();
        fs::write(tree.join("parts/__init__.py"), "").unwrap();
        fs::write(tree.join("parts/late.py"), format!("LABEL = \"{label}\"\n")).unwrap();
        tree
    }
}

fn succeeds(program: &Program) -> String {
    let done = program.run(LONG);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    done.stdout
}

/// Where releases are published, and taken from.
fn source() -> String {
    format!("s3://{BUCKET}/dags")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Each task leaves what it saw: the label of the DAG's file, that of a module imported only then, and
/// the generation's directory. It waits while there is a file of the test's, before and after that.
const DAG: &str = r#"from datetime import datetime
from pathlib import Path
import os
import time
from airflow.sdk import dag, task

LABEL = "{label}"

def held(path):
    end = time.monotonic() + 3600
    while path.exists() and time.monotonic() < end:
        time.sleep(0.05)

def look(run_id, name):
    record = Path(os.environ["DAG_DATA_DIR"], f"{run_id}.{name}")
    record.with_name(record.name + ".began").touch()
    held(record.with_name(record.name + ".before"))
    from parts.late import LABEL as late
    record.with_name(record.name + ".seen").write_text(f"{LABEL} {late} {Path(__file__).parent.name}")
    held(record.with_name(record.name + ".after"))

@dag(dag_id="chain", schedule=None, start_date=datetime(2026, 1, 1), description=LABEL)
def chain():
    @task
    def first(run_id=None): look(run_id, "first")
    @task
    def second(run_id=None): look(run_id, "second")
    @task
    def third(run_id=None): look(run_id, "third")
    first() >> second() >> third()

@dag(dag_id="lone", schedule=None, start_date=datetime(2026, 1, 1))
def lone():
    @task
    def only(run_id=None): look(run_id, "only")
    only()

chain()
lone()
"#;
