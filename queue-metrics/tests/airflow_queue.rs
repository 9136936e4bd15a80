//! A real Airflow 3.1 with its Celery executor: what both witnesses count at each stage.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod once;

use once::{answer, number, numbers};
use queue_metrics::demand::Database as Tasks;
use queue_metrics::witness::Witness;
use std::path::Path;
use std::time::Duration;
use testkit::airflow::{self, Airflow, Release};
use testkit::postgres::{Database, Postgres};
use testkit::process::{Process, Program};
use testkit::redis::Redis;

/// No step takes as long, on a machine that builds at the same time too.
const LONG: Duration = Duration::from_secs(180);
const SLOTS: u32 = 2;

const DAG: &str = r#"
import os, time
from datetime import datetime
from airflow.sdk import DAG, task
with DAG("wave", schedule="@once", start_date=datetime(2024, 1, 1)) as dag:
    @task
    def nap():
        while not os.path.exists(os.environ["GATE"]):
            time.sleep(0.2)
    for number in range(6):
        nap.override(task_id=f"nap_{number}")()
"#;

/// Everything of an Airflow but its workers.
struct Scene {
    redis: Redis,
    database: Database,
    home: tempfile::TempDir,
    port: u16,
    _services: Vec<Process>,
}

impl Scene {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        airflow::writable(home.path());
        let dags = airflow::writable(&home.path().join("dags"));
        std::fs::write(dags.join("wave.py"), DAG).unwrap();
        // Free a moment ago, and bound by nobody else on this machine's loopback.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = port.local_addr().unwrap().port();
        let mut scene = Self {
            redis: Redis::start(),
            database: Postgres::shared().database(),
            home,
            port,
            _services: Vec::new(),
        };
        let run = scene.airflow().args(["db", "migrate"]).run(LONG);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        for service in ["api-server", "scheduler", "dag-processor"] {
            scene._services.push(scene.airflow().arg(service).spawn());
        }
        scene
    }

    fn airflow(&self) -> Program {
        let postgres = self.database.url();
        let rest = postgres.strip_prefix("postgresql://").unwrap();
        let home = self.home.path().display();
        let port = self.port;
        let settings = [
            (
                "DATABASE__SQL_ALCHEMY_CONN",
                format!("postgresql+psycopg2://{rest}"),
            ),
            ("DATABASE__LOAD_DEFAULT_CONNECTIONS", "False".to_owned()),
            ("CORE__EXECUTOR", "CeleryExecutor".to_owned()),
            ("CORE__DAGS_FOLDER", format!("{home}/dags")),
            ("CORE__DAGS_ARE_PAUSED_AT_CREATION", "False".to_owned()),
            (
                "CORE__FERNET_KEY",
                "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".to_owned(),
            ),
            (
                "CORE__EXECUTION_API_SERVER_URL",
                format!("http://127.0.0.1:{port}/execution/"),
            ),
            ("CELERY__BROKER_URL", self.redis.url()),
            ("CELERY__RESULT_BACKEND", format!("db+postgresql://{rest}")),
            ("CELERY__WORKER_CONCURRENCY", SLOTS.to_string()),
            ("API_AUTH__JWT_SECRET", "0123456789abcdef".repeat(4)),
            ("API__SECRET_KEY", "a key of a test".to_owned()),
            ("API__HOST", "127.0.0.1".to_owned()),
            ("API__PORT", port.to_string()),
            ("API__WORKERS", "1".to_owned()),
            ("LOGGING__BASE_LOG_FOLDER", format!("{home}/logs")),
        ];
        let named = settings.map(|(name, value)| (format!("AIRFLOW__{name}"), value));
        Airflow::of(Release::V3_1)
            .program(self.home.path())
            .envs(named)
            .env("GATE", self.gate().as_os_str())
    }

    fn gate(&self) -> std::path::PathBuf {
        self.home.path().join("gate")
    }

    fn worker(&self) -> Process {
        let arguments = ["celery", "worker", "--skip-serve-logs"];
        self.airflow().args(arguments).spawn()
    }

    fn in_redis(&self, command: [&str; 2]) -> i64 {
        number(&self.redis, 0, command)
    }

    /// What Redis and the heartbeats say: ready, unacked, busy, orphaned, workers, target.
    fn by_broker(&self) -> [u64; 6] {
        let slots = SLOTS.to_string();
        let seen = answer(&self.redis.url(), &["--worker-concurrency", &slots], &[]);
        let names = [
            "ready",
            "unacked",
            "busy",
            "orphaned",
            "workers_alive",
            "workers_target",
        ];
        numbers(&seen, names)
    }

    /// What Airflow's database says: queued, running.
    fn by_database(&self) -> (u64, u64) {
        let url = self.airflow_url();
        let mut witness =
            Witness::new(&url, Some("CeleryExecutor"), ["default".to_owned()]).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let counts = runtime
            .block_on(witness.read(Duration::from_secs(10)))
            .unwrap();
        assert_eq!(counts.elsewhere, Tasks::default());
        let Tasks { queued, running } = counts.sum();
        (queued, running)
    }

    /// As Airflow itself is told it.
    fn airflow_url(&self) -> String {
        self.database
            .url()
            .replace("postgresql:", "postgresql+psycopg2:")
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        testkit::until(LONG, what, holds);
    }
}

#[test]
#[ignore = "a real Airflow, by make e2e"]
fn tasks_are_counted_by_both_witnesses_from_queued_to_done() {
    let scene = Scene::start();
    let in_flight = ["ZCARD", "unacked_index"];
    let waiting = ["LLEN", "default"];

    scene.until("six tasks to be queued", || scene.in_redis(waiting) == 6);
    scene.until("the database to say so", || scene.by_database() == (6, 0));
    assert_eq!(scene.by_broker(), [6, 0, 0, 0, 0, 3]);

    let mut worker = scene.worker();
    scene.until("two tasks to run", || scene.by_database() == (4, 2));
    assert_eq!(scene.in_redis(in_flight), 2);
    assert_eq!(scene.by_broker(), [4, 2, 2, 0, 1, 3]);

    // A worker that is killed leaves orphans to Redis, which the database still takes for running.
    kill_tree(&mut worker);
    assert_eq!(scene.by_broker(), [4, 2, 0, 2, 0, 2]);
    assert_eq!(scene.by_database(), (4, 2));

    let mut worker = scene.worker();
    scene.until("two others to run", || scene.in_redis(in_flight) == 4);
    scene.until("the database to say so", || scene.by_database() == (2, 4));
    assert_eq!(scene.by_broker(), [2, 4, 2, 2, 1, 2]);

    std::fs::write(scene.gate(), "").unwrap();
    scene.until("the rest to be done", || {
        scene.by_database() == (0, 2) && scene.in_redis(in_flight) == 2
    });
    // Nothing waits, and the orphans alone want no worker.
    assert_eq!(scene.by_broker(), [0, 2, 0, 2, 1, 0]);
    kill_tree(&mut worker);
}

/// SIGKILL for a worker and its pool, as when a machine fails.
fn kill_tree(worker: &mut Process) {
    let mut all = vec![worker.id()];
    let mut at = 0;
    while let Some(&id) = all.get(at) {
        let children = Path::new("/proc").join(format!("{id}/task/{id}/children"));
        let children = std::fs::read_to_string(children).unwrap_or_default();
        all.extend(
            children
                .split_whitespace()
                .filter_map(|id| id.parse::<u32>().ok()),
        );
        at += 1;
    }
    for id in all {
        let _ = Program::new("/bin/kill")
            .args(["-KILL".to_owned(), id.to_string()])
            .run(LONG);
    }
    worker.kill();
}
