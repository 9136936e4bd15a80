//! Scenario 2: what is uploaded is seen, as whole sets, and runs.

use std::time::{Duration, Instant};

use e2e::airflow::Api;
use e2e::bucket;
use e2e::stack::Stack;
use serde_json::json;
use testkit::{until, until_some};

use super::{LONG, note};

/// A DAG whose description and whose run's marker are its version.
pub(crate) fn probe(version: &str) -> String {
    format!(
        r#"from datetime import datetime
from pathlib import Path
import os
from airflow.sdk import dag, task

VERSION = "{version}"

@dag(dag_id="probe", schedule=None, start_date=datetime(2026, 1, 1), description=VERSION)
def probe():
    @task
    def mark(run_id=None):
        Path(os.environ["DAG_DATA_DIR"], run_id).write_text(VERSION)
    mark()

probe()
"#
    )
}

/// A helper whose one name changes with its version, and two DAGs that import it.
fn set(version: &str) -> [(String, String); 3] {
    let one = |name: &str| {
        let text = format!(
            r#"from datetime import datetime
from shared_{version} import name_{version}
from airflow.sdk import dag, task

@dag(dag_id="{name}", schedule=None, start_date=datetime(2026, 1, 1), description=name_{version})
def build():
    @task
    def nothing(): pass
    nothing()

build()
"#
        );
        (
            format!("{name}.py"),
            text.replace(&format!("shared_{version}"), "shared_names"),
        )
    };
    let helper = format!("name_{version} = \"{version}\"\n");
    [
        ("shared_names.py".to_owned(), helper),
        one("left"),
        one("right"),
    ]
}

pub(crate) fn described(stack: &Stack, dag: &str) -> Option<String> {
    let sql = format!(
        "SELECT s.data->'dag'->>'description' FROM serialized_dag s JOIN dag d USING (dag_id) \
         WHERE dag_id = '{dag}' AND NOT d.is_stale ORDER BY s.last_updated DESC LIMIT 1"
    );
    stack.value(&sql)
}

/// Every import error that ever was, also one that is gone a second later.
pub(crate) fn watch_import_errors(stack: &Stack) {
    let sql = "CREATE SCHEMA e2e;
        CREATE TABLE e2e.import_errors (filename text, stacktrace text);
        CREATE FUNCTION e2e.note() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS
          'BEGIN INSERT INTO e2e.import_errors VALUES (NEW.filename, NEW.stacktrace); RETURN NEW; END';
        CREATE TRIGGER note AFTER INSERT OR UPDATE ON import_error FOR EACH ROW EXECUTE FUNCTION e2e.note()";
    stack.servers.postgres.rows("airflow", sql);
}

pub(crate) fn no_import_error(stack: &Stack) {
    let sql = "SELECT string_agg(filename || ': ' || stacktrace, E'\n') FROM e2e.import_errors";
    assert_eq!(stack.value(sql), None, "import errors");
}

/// Uploads a probe; the seconds until the file is there, and until Airflow has it.
pub(crate) fn upload(stack: &Stack, version: &str) -> (f64, f64) {
    let (began, text) = (Instant::now(), probe(version));
    bucket::put(&stack.servers, "probe.py", &text);
    stack.timeline.event("uploads", &format!("probe {version}"));
    let path = stack.dags().join("probe.py");
    until(LONG, "the file", || {
        std::fs::read_to_string(&path).is_ok_and(|there| there == text)
    });
    let file = began.elapsed().as_secs_f64();
    stack.timeline.event("files", &format!("probe {version}"));
    wait_described(stack, "probe", version);
    let parsed = began.elapsed().as_secs_f64();
    stack
        .timeline
        .event("serialized", &format!("probe {version}"));
    (file, parsed)
}

fn wait_described(stack: &Stack, dag: &str, version: &str) {
    let what = format!("{dag} {version} in the database");
    until(LONG, &what, || {
        std::thread::sleep(Duration::from_millis(45));
        described(stack, dag).as_deref() == Some(version)
    });
}

/// Runs the probe; the seconds until it succeeded. It must have been of that version.
pub(crate) fn run_probe(stack: &Stack, api: &Api, version: &str) -> f64 {
    let began = Instant::now();
    let run = format!("run-{version}");
    api.trigger("probe", &run, &json!({})).unwrap();
    wait_for_run(stack, "probe", &run);
    let marker = stack.settings.root.join("data").join(&run);
    assert_eq!(std::fs::read_to_string(marker).unwrap(), version);
    began.elapsed().as_secs_f64()
}

pub(crate) fn wait_for_run(stack: &Stack, dag: &str, run: &str) {
    let sql = format!("SELECT state FROM dag_run WHERE dag_id = '{dag}' AND run_id = '{run}'");
    until(LONG, &format!("{run} of {dag} to succeed"), || {
        std::thread::sleep(Duration::from_millis(95));
        let state = stack.value(&sql);
        assert_ne!(state.as_deref(), Some("failed"), "{run} of {dag}");
        state.as_deref() == Some("success")
    });
    stack
        .timeline
        .event("runs", &format!("{dag} {run} succeeded"));
}

pub(crate) fn run(stack: &mut Stack) {
    watch_import_errors(stack);
    let api = until_some(LONG, "the login", || Api::login(stack).ok());

    let (file, parsed) = upload(stack, "v1");
    note(stack, "new DAG: upload to file, s", file);
    note(stack, "new DAG: upload to serialized, s", parsed);
    let ran = run_probe(stack, &api, "v1");
    note(stack, "new DAG: trigger to success through Celery, s", ran);

    let (file, parsed) = upload(stack, "v2");
    note(stack, "edit of the same size: upload to file, s", file);
    note(
        stack,
        "edit of the same size: upload to serialized, s",
        parsed,
    );
    run_probe(stack, &api, "v2");

    for (what, version) in [
        ("a set", "a1"),
        ("the set changed", "b2"),
        ("the set put back", "a1"),
    ] {
        let began = Instant::now();
        for (name, text) in set(version) {
            bucket::put(&stack.servers, &name, &text);
        }
        stack.timeline.event("uploads", &format!("set {version}"));
        wait_described(stack, "left", version);
        wait_described(stack, "right", version);
        stack
            .timeline
            .event("serialized", &format!("set {version}"));
        note(
            stack,
            &format!("{what}: upload to serialized, s"),
            began.elapsed().as_secs_f64(),
        );
    }
    no_import_error(stack);

    let began = Instant::now();
    bucket::delete(&stack.servers, "probe.py");
    stack.timeline.event("uploads", "probe deleted");
    until(LONG, "the DAG to go", || {
        std::thread::sleep(Duration::from_millis(45));
        stack
            .value("SELECT is_stale::text FROM dag WHERE dag_id = 'probe'")
            .as_deref()
            == Some("true")
    });
    stack.timeline.event("serialized", "probe gone");
    note(
        stack,
        "delete: to the DAG's end, s",
        began.elapsed().as_secs_f64(),
    );
    let (_, parsed) = upload(stack, "v1");
    note(
        stack,
        "deleted DAG put back: upload to serialized, s",
        parsed,
    );
    no_import_error(stack);
}
