//! The program that ships beside real Airflows: what each of their health endpoints says while the
//! scheduler runs, hangs and is gone, and while the database is away.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test]")]

mod support;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use support::{closed_port, program};
use testkit::airflow::{Airflow, Release, unprivileged, writable};
use testkit::postgres::{Database, Postgres, Shutdown};
use testkit::process::{Finished, Process, Program};

/// No step takes as long, on a machine that builds at the same time too.
const LONG: Duration = Duration::from_secs(150);

/// A heartbeat is then this old when Airflow calls its scheduler unhealthy; its default is 30.
const THRESHOLD: &str = "5";

#[test]
#[ignore = "needs Airflow: make e2e"]
fn airflow_3_1_web_server_and_scheduler_answer_each_for_themselves() {
    let scene = Scene::new(Release::V3_1);
    scene.migrate();
    let mut scheduler = scene.start(&["scheduler", "--skip-serve-logs"]);
    let mut server = scene.start(&["api-server", "--workers", "1"]);
    let component =
        |name: &str| scene.url(&format!("/api/v2/monitor/health#{name}.status=healthy"));

    scene.until_holds("airflow:api-server");
    scene.until_holds(&component("scheduler"));
    scene.until_holds("airflow:scheduler");
    // Neither a triggerer nor a processor of DAGs was ever started, so that they say null.
    scene.until_holds(&component("*"));
    scene.until_fails(
        &component("triggerer"),
        "triggerer.status is null, where healthy is asserted",
    );

    // It hangs: its health server is a process of its own, and answers by the database's word.
    scheduler.0.signal(Signal::STOP);
    scene.until_fails(
        &component("scheduler"),
        "scheduler.status is \"unhealthy\", where healthy is asserted",
    );
    scene.until_fails("airflow:scheduler", "it answered 503");
    scene.holds("airflow:api-server");
    scheduler.0.signal(Signal::CONT);
    scene.until_holds(&component("scheduler"));
    scene.until_holds("airflow:scheduler");

    // It dies, and leaves its health server behind.
    scheduler.0.kill();
    scene.until_fails(
        &component("scheduler"),
        "scheduler.status is \"unhealthy\", where healthy is asserted",
    );
    scene.until_fails("airflow:scheduler", "it answered 503");
    scene.holds("airflow:api-server");
    drop(scheduler);
    scene.until_fails("airflow:scheduler", "connection refused");

    // Without its database it is still the one that answers.
    scene.postgres.stop(Shutdown::Immediate);
    scene.until_fails(
        &component("metadatabase"),
        "metadatabase.status is \"unhealthy\", where healthy is asserted",
    );
    scene.holds("airflow:api-server");

    server.0.signal(Signal::STOP);
    let done = scene.check(&["--timeout", "500ms", "airflow:api-server"]);
    let told = "it accepted the connection and did not answer within 0.500 s\n";
    assert!(done.code == 1 && done.stderr.ends_with(told), "{done:?}");
    server.0.kill();
    scene.until_fails("airflow:api-server", "connection refused");
}

#[test]
#[ignore = "needs Airflow: make e2e"]
fn airflow_2_8_web_server_lives_whatever_its_scheduler_does() {
    let scene = Scene::new(Release::V2_8);
    scene.migrate();
    let _server = scene.start(&["webserver", "--workers", "1"]);
    let scheduler = scene.url("/health#scheduler.status=healthy");
    scene.until_holds("airflow:webserver");
    // None was ever started. Then there is one by its row, and then it is gone.
    scene.until_fails(&scheduler, ", where healthy is asserted");
    scene.sql(
        "INSERT INTO job (job_type, state, latest_heartbeat) VALUES ('SchedulerJob', 'running', now() + interval '1 hour')",
    );
    scene.until_holds(&scheduler);
    scene.sql("UPDATE job SET latest_heartbeat = now() - interval '1 hour'");
    scene.until_fails(
        &scheduler,
        "scheduler.status is \"unhealthy\", where healthy is asserted",
    );
    scene.holds("airflow:webserver");
}

/// An Airflow with a database, ports and a home of its own.
struct Scene {
    airflow: Airflow,
    postgres: Postgres,
    database: Database,
    home: tempfile::TempDir,
    port: u16,
    scheduler_port: u16,
}

impl Scene {
    fn new(release: Release) -> Scene {
        let postgres = Postgres::start();
        let home = tempfile::tempdir().unwrap();
        writable(home.path());
        Scene {
            airflow: Airflow::of(release),
            database: postgres.database(),
            postgres,
            home,
            port: closed_port(),
            scheduler_port: closed_port(),
        }
    }

    /// The same for Airflow as for the check, as in one task definition.
    fn variables(&self) -> Vec<(String, String)> {
        let url = self.database.url();
        [
            (
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
                url.replace("postgresql://", "postgresql+psycopg2://"),
            ),
            (
                "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS",
                "False".into(),
            ),
            ("AIRFLOW__API__PORT", self.port.to_string()),
            (
                "AIRFLOW__API_AUTH__JWT_SECRET",
                "of this test alone, and long enough for HS512, which wants 64".into(),
            ),
            ("AIRFLOW__WEBSERVER__WEB_SERVER_PORT", self.port.to_string()),
            ("AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK", "True".into()),
            (
                "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT",
                self.scheduler_port.to_string(),
            ),
            (
                "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD",
                THRESHOLD.into(),
            ),
            ("AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC", "1".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    fn airflow(&self, words: &[&str]) -> Program {
        let home = self.home.path();
        // A session of its own, so that what it leaves behind can be ended with it.
        unprivileged(Path::new("/usr/bin/setsid"))
            .arg(self.airflow.bin().join("airflow"))
            .args(words.iter().copied())
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.airflow.bin().display()),
            )
            .env("HOME", home)
            .env("USER", "airflow")
            .env("AIRFLOW_HOME", home)
            .env("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
            .envs(self.variables())
    }

    fn migrate(&self) {
        let run = self.airflow(&["db", "migrate"]).run(LONG);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    }

    fn start(&self, words: &[&str]) -> Service {
        Service(self.airflow(words).spawn())
    }

    fn sql(&self, statement: &str) {
        self.postgres.rows(&self.database.name, statement);
    }

    fn url(&self, rest: &str) -> String {
        format!("http://127.0.0.1:{}{rest}", self.port)
    }

    fn check(&self, arguments: &[&str]) -> Finished {
        Program::new(program())
            .args(arguments.iter().copied())
            .envs(self.variables())
            .run(LONG)
    }

    #[track_caller]
    fn holds(&self, check: &str) {
        let done = self.check(&[check]);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{check}");
    }

    fn until_holds(&self, check: &str) {
        self.until(check, "holds", |done| done.code == 0);
    }

    /// It ends so, and not before: what failed for another reason until then is no proof.
    fn until_fails(&self, check: &str, told: &str) {
        let end = format!("{told}\n");
        self.until(check, told, |done| {
            done.code == 1 && done.stderr.ends_with(&end)
        });
    }

    fn until(&self, check: &str, wanted: &str, fits: impl Fn(&Finished) -> bool) {
        let started = Instant::now();
        let mut done = self.check(&[check]);
        while !fits(&done) {
            assert!(
                started.elapsed() < LONG,
                "{check}: not {wanted:?} in {LONG:?}, but {done:?}"
            );
            thread::sleep(Duration::from_millis(50));
            done = self.check(&[check]);
        }
        eprintln!("{:.1?} until {check}: {wanted}", started.elapsed());
    }
}

/// A command of Airflow's with all processes that it started.
struct Service(Process);

impl Drop for Service {
    fn drop(&mut self) {
        // The leader's id is given to nobody else while its group has a member.
        let group = Pid::from_raw(self.0.id() as i32).unwrap();
        let _ = kill_process_group(group, Signal::KILL);
    }
}
