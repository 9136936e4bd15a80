//! A real Airflow, databases at the schema of any release, and `entrypoint` beside them, run as
//! Airflow's own image runs it: user 50000, group 0.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use testkit::airflow::{self, Airflow, Release};
use testkit::postgres::{Database, Options, Postgres};
use testkit::process::Program;

/// No run of this takes as long, on a machine that builds at the same time too.
pub(crate) const LONG: Duration = Duration::from_secs(180);

pub(crate) const FAB: &str = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager";

/// A server whose log tells which session was there when.
pub(crate) fn options() -> Options {
    Options::new()
        .set("log_connections", "on")
        .set("log_disconnections", "on")
        .set("log_statement", "all")
        .set("log_min_duration_statement", "-1")
        .set("log_line_prefix", "'%p|%d|'")
        .set("max_connections", "200")
}

pub(crate) fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::with(&options()))
}

/// A database of Airflow's, with an Airflow and a home for it.
pub(crate) struct Scene<'a> {
    pub(crate) server: &'a Postgres,
    pub(crate) database: Database,
    home: tempfile::TempDir,
}

impl Scene<'static> {
    /// An empty database.
    pub(crate) fn empty() -> Self {
        Self::new(server(), server().database())
    }

    /// A database that this release, with FAB, made and another process of this test copies.
    pub(crate) fn made_by(release: Release) -> Self {
        static TEMPLATES: Mutex<BTreeMap<String, Database>> = Mutex::new(BTreeMap::new());
        let name = format!("{release:?}").to_lowercase();
        let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
        let template = templates.entry(name).or_insert_with(|| {
            let scene = Self::empty();
            scene.make(release);
            scene.database.clone()
        });
        Self::copied(server(), template)
    }
}

impl<'a> Scene<'a> {
    pub(crate) fn new(server: &'a Postgres, database: Database) -> Self {
        let home = tempfile::tempdir().unwrap();
        airflow::writable(home.path());
        // It may have been built where another user may not look.
        std::fs::copy(
            env!("CARGO_BIN_EXE_entrypoint"),
            home.path().join("entrypoint"),
        )
        .unwrap();
        Self {
            server,
            database,
            home,
        }
    }

    fn copied(server: &'a Postgres, template: &Database) -> Self {
        let name = format!("db{:012x}", fastrand::u64(..1 << 48));
        server.execute(&format!(
            "CREATE DATABASE \"{name}\" TEMPLATE \"{}\" OWNER \"{}\"",
            template.name, template.user
        ));
        let database = Database {
            name,
            ..template.clone()
        };
        Self::new(server, database)
    }

    /// Has the release itself make the schema.
    pub(crate) fn make(&self, release: Release) {
        let program = Airflow::of(release).program(self.home.path());
        let run = program
            .envs(self.settings())
            .args(["db", "migrate"])
            .run(LONG);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    }

    /// What Airflow is told; both managers of users are FAB's.
    fn settings(&self) -> Vec<(String, String)> {
        let url = self
            .database
            .url()
            .replace("postgresql://", "postgresql+psycopg2://");
        [
            ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url.as_str()),
            ("AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS", "False"),
            ("AIRFLOW__CORE__LOAD_EXAMPLES", "False"),
            ("AIRFLOW__CORE__AUTH_MANAGER", FAB),
            (
                "AIRFLOW__CORE__FERNET_KEY",
                "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// `entrypoint` with that release installed.
    pub(crate) fn entrypoint(&self, release: Release) -> Program {
        self.entrypoint_with(&Airflow::of(release).bin(), release)
    }

    /// `entrypoint` with programs of one's own before those of the system.
    pub(crate) fn entrypoint_with(&self, bin: &Path, release: Release) -> Program {
        let mut settings = self.settings();
        if release == Release::V2_8 {
            settings.retain(|(name, _)| name != "AIRFLOW__CORE__AUTH_MANAGER");
        }
        airflow::unprivileged(self.home.path().join("entrypoint"))
            .arg("true")
            .env("ENTRYPOINT_MIGRATE", "auto")
            .envs(settings)
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("HOME", self.home.path())
            // As in the image, where the user has a line in /etc/passwd.
            .env("USER", "airflow")
            .env("AIRFLOW_HOME", self.home.path())
            .env("TRIMTAB_LOG_FORMAT", "json")
    }

    /// The first value that statements of the superuser's answer.
    pub(crate) fn query(&self, sql: &str) -> String {
        let rows = self.server.rows(&self.database.name, sql);
        let value = rows.last().and_then(|row| row.first().cloned().flatten());
        value.unwrap_or_default()
    }

    /// The revisions of Airflow's and of FAB's tables.
    pub(crate) fn revisions(&self) -> (String, String) {
        let fab = match self
            .query("SELECT to_regclass('alembic_version_fab') IS NOT NULL")
            .as_str()
        {
            "t" => self.query("SELECT version_num FROM alembic_version_fab"),
            _ => String::new(),
        };
        (self.query("SELECT version_num FROM alembic_version"), fab)
    }

    /// Keeps every migration from changing its tables until this is dropped.
    pub(crate) fn obstacle(&self) -> Obstacle {
        let psql = Program::new(self.server.programs().join("psql"));
        let url = self.server.superuser_url(&self.database.name);
        let mut process = psql.args(["-X", "-q", "-At", &url]).with_stdin().spawn();
        process.write("BEGIN; LOCK TABLE dag, dag_run, task_instance, log, job IN ACCESS SHARE MODE; SELECT 'locked';\n");
        process.wait_for(|line| line == "locked", LONG);
        Obstacle(process)
    }

    /// Waits until the child waits at the obstacle.
    pub(crate) fn until_in_the_middle(&self) {
        let sql = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'trimtab-migrate' \
            AND datname = current_database() AND wait_event_type = 'Lock'";
        testkit::until(LONG, "the migration to be in the middle", || {
            let rows = self.server.try_rows(&self.database.name, sql);
            rows.is_ok_and(|rows| {
                rows.last()
                    .is_some_and(|row| row[0].as_deref() == Some("t"))
            })
        });
    }

    /// How many migrations the server saw, each by the session that stood for it: opened before the
    /// child was, and without a statement of Airflow's. No other session of a migration was open when it
    /// was opened.
    ///
    /// # Panics
    /// When two migrations ran at once.
    pub(crate) fn migrations(&self) -> usize {
        migrations(&self.server.log(), &self.database.name)
    }
}

pub(crate) struct Obstacle(#[expect(dead_code, reason = "held")] testkit::process::Process);

/// See [`Scene::migrations`].
pub(crate) fn migrations(log: &str, database: &str) -> usize {
    let mut open: BTreeMap<&str, bool> = BTreeMap::new();
    // Those that were open when each was opened, until it is known whether it stood for a migration.
    let mut beside: BTreeMap<&str, usize> = BTreeMap::new();
    let mut markers = 0;
    for line in log.lines() {
        let mut parts = line.splitn(3, '|');
        let (Some(pid), Some(name), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if name != database {
            continue;
        }
        if text.contains("connection authorized")
            && text.contains("application_name=trimtab-migrate")
        {
            beside.insert(pid, open.len());
            open.insert(pid, false);
        } else if text.contains("disconnection:") {
            if open.remove(pid) == Some(false) {
                markers += 1;
                assert_eq!(beside[pid], 0, "two migrations at once: {line}");
            }
        } else if text.contains("statement:")
            // All that is ever said by the one that stands for a child, once the child was ended.
            && !text.contains("pg_terminate_backend")
            && let Some(spoke) = open.get_mut(pid)
        {
            *spoke = true;
        }
    }
    assert!(open.is_empty(), "{open:?}");
    markers
}
