//! A database, a stand-in for Airflow whose revisions are `a` (2.8.1), `b` (3.0.0) and `c` (3.1.0),
//! and `entrypoint` beside them.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;
use testkit::airflow::StandIn;
use testkit::postgres::{Database, Postgres};
use testkit::process::{Finished, Process, Program};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct Scene<'a> {
    pub(crate) server: &'a Postgres,
    pub(crate) database: Database,
    pub(crate) airflow: StandIn,
}

impl Scene<'static> {
    pub(crate) fn new(version: &str) -> Self {
        Self::on(Postgres::shared(), version)
    }
}

impl<'a> Scene<'a> {
    pub(crate) fn on(server: &'a Postgres, version: &str) -> Self {
        Self {
            server,
            database: server.database(),
            airflow: StandIn::new(version, &[("a", "2.8.1"), ("b", "3.0.0"), ("c", "3.1.0")]),
        }
    }

    /// The database is at that revision.
    pub(crate) fn at(&self, revision: &str) -> &Self {
        self.query(&migration(revision));
        self
    }

    /// `airflow db migrate` brings the database there.
    pub(crate) fn migrates_to(&self, revision: &str) -> &Self {
        self.airflow.on("db", "migrate", &migration(revision));
        self
    }

    /// Statements of the owner's, and the first value that they answer.
    pub(crate) fn query(&self, sql: &str) -> String {
        let owner = &self.database.user;
        let rows = self
            .server
            .rows(&self.database.name, &format!("SET ROLE \"{owner}\"; {sql}"));
        let value = rows.last().and_then(|row| row.first().cloned().flatten());
        value.unwrap_or_default()
    }

    pub(crate) fn entrypoint(&self) -> Program {
        Program::new(env!("CARGO_BIN_EXE_entrypoint"))
            .arg("true")
            .env("ENTRYPOINT_MIGRATE", "auto")
            .env(
                "PATH",
                format!(
                    "{}:{}:/usr/bin:/bin",
                    self.airflow.bin().display(),
                    self.server.programs().display()
                ),
            )
            .env("AIRFLOW_HOME", self.airflow.home())
            .env("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", self.database.url())
            .env("TRIMTAB_LOG_FORMAT", "json")
    }
}

/// Brings the database to a revision, from whatever it is at.
pub(crate) fn migration(revision: &str) -> String {
    format!(
        "BEGIN; CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32) PRIMARY KEY); \
         DELETE FROM alembic_version; INSERT INTO alembic_version VALUES ('{revision}'); COMMIT;"
    )
}

pub(crate) fn ended(run: &Finished) -> i32 {
    run.code
}

/// A session of somebody else's, that does what it is told until it is dropped.
pub(crate) struct Somebody(Process);

impl Somebody {
    pub(crate) fn new(scene: &Scene<'_>, name: &str) -> Self {
        let psql = Program::new(scene.server.programs().join("psql"));
        let url = format!("{}?application_name={name}", scene.database.url());
        Self(psql.args(["-X", "-q", "-At", &url]).with_stdin().spawn())
    }

    /// Statements, which are done when this returns.
    pub(crate) fn does(&mut self, sql: &str) {
        let before = self.0.stdout().matches("done").count();
        self.0.write(&format!("{sql};\nSELECT 'done';\n"));
        testkit::until(MINUTE, sql, || {
            self.0.stdout().matches("done").count() > before
        });
    }
}

/// Waits until a query of the superuser's in the scene's database answers something true.
pub(crate) fn until_true(scene: &Scene<'_>, what: &str, sql: &str) {
    testkit::until(MINUTE, what, || {
        let rows = scene.server.try_rows(&scene.database.name, sql);
        rows.is_ok_and(|rows| {
            rows.last()
                .is_some_and(|row| row[0].as_deref() == Some("t"))
        })
    });
}
