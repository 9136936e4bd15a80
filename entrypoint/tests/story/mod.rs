//! What the stories share: a database, a stand-in for Airflow 3.1, and their parameters in moto.

#![allow(dead_code, reason = "each test uses a part")]

use serde_json::Value;
use std::time::Duration;
use testkit::airflow::StandIn;
use testkit::moto::Moto;
use testkit::postgres::{Database, Postgres};
use testkit::process::{Finished, Program};
use testkit::ssm;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const FERNET: &str = "dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=";
pub(crate) const JWT: &str =
    "a-jwt-secret-of-more-than-sixty-four-characters-for-the-tests-of-it-all";

/// A database, an Airflow 3.1, and their parameters below a path of their own.
pub(crate) struct Scene {
    pub(crate) database: Database,
    pub(crate) airflow: StandIn,
    pub(crate) path: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let database = Postgres::shared().database();
        let airflow = StandIn::new("3.1.8", &[("a", "3.0.0"), ("b", "3.1.0")]);
        airflow.on("db", "migrate", &schema("b"));
        let path = format!("/story/{}", database.name);
        let scene = Self {
            database,
            airflow,
            path,
        };
        let port = scene.database.port.to_string();
        for (name, value) in [
            ("db/host", "127.0.0.1"),
            ("db/port", &port),
            ("db/name", &scene.database.name),
            ("db/username", &scene.database.user),
            ("db/password", &scene.database.password),
            ("fernet-key", FERNET),
            ("webserver/secret-key", "shared"),
            ("jwt-secret", JWT),
            ("env/AIRFLOW__CORE__PARALLELISM", "7"),
        ] {
            scene.put(name, value);
        }
        scene
    }

    pub(crate) fn put(&self, name: &str, value: &str) {
        ssm::put(
            Moto::shared().endpoint(),
            &format!("{}/{name}", self.path),
            value,
        );
    }

    pub(crate) fn entrypoint(&self) -> Program {
        self.given(Program::new(env!("CARGO_BIN_EXE_entrypoint")))
    }

    /// What the program is told.
    pub(crate) fn given(&self, program: Program) -> Program {
        let programs = Postgres::shared().programs().display().to_string();
        let path = format!("{}:{programs}:/usr/bin:/bin", self.airflow.bin().display());
        program
            .envs(Moto::shared().environment())
            .env("PATH", path)
            .env("AIRFLOW_HOME", self.airflow.home())
            .env("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
            .env("ENTRYPOINT_SIMPLE_AUTH", "allow")
            .env("ENTRYPOINT_PARAMETERS", &self.path)
            .env("ENTRYPOINT_WAIT_TIMEOUT", "20s")
    }

    /// What the database holds, as text.
    pub(crate) fn value(&self, sql: &str) -> Option<String> {
        let rows = Postgres::shared().rows(&self.database.name, sql);
        rows.last().and_then(|row| row.first().cloned().flatten())
    }
}

/// Brings an empty schema to a revision.
pub(crate) fn schema(revision: &str) -> String {
    format!(
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); \
         INSERT INTO alembic_version VALUES ('{revision}');"
    )
}

/// The events of a run's log, in order, with a field each.
pub(crate) fn events<'a>(log: &'a str, field: &'a str) -> Vec<(String, String)> {
    let lines = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or(Value::Null));
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let pairs = lines.map(|line| (text(&line["event"]), text(&line[field])));
    pairs.collect()
}

pub(crate) fn phases(finished: &Finished) -> Vec<String> {
    let events = events(&finished.stderr, "phase");
    let done = events
        .into_iter()
        .filter(|(event, _)| event == "phase_done");
    done.map(|(_, phase)| phase).collect()
}
