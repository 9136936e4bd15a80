//! The Fernet key tried on what a real Airflow encrypted in a schema of its own making.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

use entrypoint::airflow::config::Config;
use entrypoint::command::Service;
use entrypoint::preflight::{self, Level, Subject};
use entrypoint::variables::Variables;
use std::time::Duration;
use testkit::airflow::{Airflow, Release, writable};
use testkit::postgres::{Database, Postgres};
use tokio_postgres::NoTls;

const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
const OTHER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const FERNET: &str = "AIRFLOW__CORE__FERNET_KEY";
const DEADLINE: Duration = Duration::from_secs(120);

fn level(database: &Database, key: &str) -> Option<Level> {
    let variables = Variables::from_pairs([(FERNET, key)]);
    let config = Config::from_parts(&variables, "");
    let subject = Subject {
        service: Service::Triggerer,
        release: None,
        config: &config,
        variables: &variables,
        simple_auth_allowed: true,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&database.url(), NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        preflight::inspect(&subject, None, Some(&client)).await
    });
    let findings = report.findings.iter();
    let mut about = findings.filter(|finding| finding.variable == FERNET);
    about.next().map(|finding| finding.level)
}

fn a_key_is_told_from_another(release: Release) {
    let (airflow, database) = (Airflow::of(release), Postgres::shared().database());
    let directory = tempfile::tempdir().unwrap();
    let home = writable(&directory.path().join("home"));
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    let run = |words: &[&str]| {
        let done = airflow
            .program(&home)
            .args(words.iter().copied())
            .env("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", database.url())
            .env(FERNET, KEY)
            .run(DEADLINE);
        assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
    };
    run(&["db", "migrate"]);
    assert_eq!(
        level(&database, OTHER),
        None,
        "there is nothing encrypted yet"
    );
    run(&[
        "connections",
        "add",
        "warehouse",
        "--conn-type",
        "http",
        "--conn-password",
        "x",
    ]);
    assert_eq!(level(&database, KEY), None);
    assert_eq!(level(&database, &format!("{OTHER},{KEY}")), None);
    assert_eq!(level(&database, OTHER), Some(Level::Error));
    assert_eq!(level(&database, ""), Some(Level::Error));
}

#[test]
#[ignore = "needs Airflow: make e2e"]
fn airflow_2_8_encrypts_what_its_key_opens() {
    a_key_is_told_from_another(Release::V2_8);
}

#[test]
#[ignore = "needs Airflow: make e2e"]
fn airflow_3_1_encrypts_what_its_key_opens() {
    a_key_is_told_from_another(Release::V3_1);
}

#[test]
#[ignore = "needs Airflow: make e2e"]
fn airflow_3_3_encrypts_what_its_key_opens() {
    a_key_is_told_from_another(Release::V3_3);
}
