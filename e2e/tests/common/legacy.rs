//! Scenario 6: Airflow 2.8 with the local executor.

use std::time::Instant;

use e2e::bucket;
use e2e::stack::{Role, Stack};
use testkit::until;

use super::{LONG, note, start};

const DAG: &str = r#"from datetime import datetime
from pathlib import Path
import os
from airflow.decorators import dag, task

@dag(dag_id="once", schedule="@once", start_date=datetime(2024, 1, 1), catchup=False)
def once():
    @task
    def mark():
        Path(os.environ["DAG_DATA_DIR"], "once").write_text("ran")
    mark()

once()
"#;

pub(crate) fn run(stack: &mut Stack) {
    bucket::put(&stack.servers, "once.py", DAG);
    let roles = [
        Role::S3Sync,
        Role::Webserver,
        Role::Scheduler,
        Role::Triggerer,
    ];
    start(stack, &roles);
    note(stack, "2.8: all serve, s", stack.timeline.now());
    let began = Instant::now();
    until(LONG, "the run to succeed", || {
        stack
            .value("SELECT state FROM dag_run WHERE dag_id = 'once'")
            .as_deref()
            == Some("success")
    });
    note(
        stack,
        "2.8: from then to the first run's success, s",
        began.elapsed().as_secs_f64(),
    );
    assert!(stack.settings.root.join("data/once").exists());
    let users = stack.value("SELECT string_agg(username, ' ') FROM ab_user");
    assert_eq!(users.as_deref(), Some("admin"));
    for name in stack.names() {
        let code = stack.stop(&name);
        assert!(matches!(code, 0 | 143), "{name} ended with {code}");
    }
}
