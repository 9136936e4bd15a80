//! Settings as the real Airflow finds them, of each release, beside what is read without Python: odd
//! characters, older names, commands, and a file.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

use entrypoint::airflow::config::{Config, Setting, variable};
use entrypoint::variables::Variables;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use testkit::airflow::{Airflow, Release, unprivileged, writable};

type Name = (&'static str, &'static str);

/// In both 2.x and 3.x. The first may be a command's answer too.
const NAMES: [Name; 6] = [
    ("core", "fernet_key"),
    ("database", "sql_alchemy_conn"),
    ("celery", "broker_url"),
    ("core", "executor"),
    ("core", "auth_manager"),
    ("scheduler", "task_queued_timeout"),
];
const NAMES_OF_2: [Name; 1] = [("webserver", "secret_key")];
const NAMES_OF_3: [Name; 6] = [
    ("api", "secret_key"),
    ("api", "base_url"),
    ("api", "port"),
    ("api_auth", "jwt_secret"),
    ("core", "execution_api_server_url"),
    ("execution_api", "jwt_expiration_time"),
];

const FILE: &str = "[core]\nexecutor = CeleryExecutor\nfernet_key = from%%file$A\n\
    [celery]\nbroker_url = redis://h/0\n    continued\n[api_auth]\njwt_secret = x\n";

const VALUES: [&str; 10] = [
    "plain",
    "p%s#@/:'\"w;é",
    " spaced ",
    "a$A-${B}$NONE",
    "~/x",
    "~root",
    "~nobody-knows",
    "",
    "line\nline",
    "$SELF",
];

#[derive(Deserialize)]
struct Answers {
    unset: Vec<Option<String>>,
    found: Vec<Vec<Option<String>>>,
}

fn compare(release: Release, more: &[Name], older: &[(&str, &str)], file: &str) {
    let airflow = Airflow::of(release);
    let directory = tempfile::tempdir().unwrap();
    let home = writable(&directory.path().join("home"));
    std::fs::write(home.join("airflow.cfg"), file).unwrap();
    let names: Vec<Name> = NAMES.into_iter().chain(more.iter().copied()).collect();

    let mut cases: Vec<Vec<(String, String)>> = Vec::new();
    for (section, key) in &names {
        let name = variable(section, key);
        cases.extend(VALUES.map(|value| vec![(name.clone(), value.to_owned())]));
    }
    for (name, value) in older {
        let older = ((*name).to_owned(), (*value).to_owned());
        cases.push(vec![older]);
    }
    let command = |name: &str, words: &str| (format!("{name}_CMD"), words.to_owned());
    let fernet = variable("core", "fernet_key");
    cases.push(vec![command(&fernet, "printf told")]);
    cases.push(vec![
        (fernet.clone(), "wins".to_owned()),
        command(&fernet, "printf told"),
    ]);

    let around = [("A", "x"), ("B", "$A~"), ("SELF", "$SELF")];
    let question = directory.path().join("cases.json");
    let maps: Vec<serde_json::Map<_, _>> = cases
        .iter()
        .map(|case| {
            case.iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect()
        })
        .collect();
    std::fs::write(
        &question,
        json!({"names": names, "cases": maps}).to_string(),
    )
    .unwrap();
    std::os::unix::fs::chown(&question, None, None).unwrap();
    let script = directory.path().join("settings.py");
    std::fs::write(&script, include_str!("preflight/settings.py")).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let finished = unprivileged(airflow.bin().join("python"))
        .args([&script, &question])
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", &home)
        .env("AIRFLOW_HOME", &home)
        .env("PYTHONUTF8", "1")
        .envs(around)
        .run(Duration::from_secs(120));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let last = finished.stdout.lines().last().unwrap_or_default();
    let answers: Answers = serde_json::from_str(last).unwrap();

    let home = home.to_str().unwrap();
    let mut known = 0;
    for (case, theirs) in cases.iter().zip(&answers.found) {
        let own = [("HOME", home), ("AIRFLOW_HOME", home)];
        let case_pairs = case
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let variables = Variables::from_pairs(own.into_iter().chain(around).chain(case_pairs));
        let config = Config::read(&variables);
        for (index, (section, key)) in names.iter().enumerate() {
            let (theirs, unset) = (&theirs[index], &answers.unset[index]);
            match config.setting(section, key) {
                Setting::Value(value) => {
                    assert_eq!(
                        theirs.as_ref(),
                        Some(&value),
                        "{release:?} {case:?} {section} {key}"
                    );
                    known += 1;
                }
                Setting::Elsewhere => assert_eq!(theirs.as_deref(), Some("told"), "{case:?}"),
                Setting::Unset => assert!(
                    theirs == unset || theirs.as_deref() == Some(""),
                    "{release:?} {case:?} {section} {key}: {theirs:?}"
                ),
            }
        }
    }
    assert!(known > cases.len(), "{known}");
}

const OLDER_OF_3: [(&str, &str); 4] = [
    ("AIRFLOW__WEBSERVER__SECRET_KEY", "old"),
    ("AIRFLOW__WEBSERVER__BASE_URL", "http://old"),
    ("AIRFLOW__WEBSERVER__WEB_SERVER_PORT", "81"),
    (
        "AIRFLOW__WORKERS__EXECUTION_API_SERVER_URL",
        "http://old/execution/",
    ),
];

#[test]
#[ignore = "needs Airflow: make e2e"]
fn airflow_2_8_finds_the_same() {
    let older = [("AIRFLOW__CORE__SQL_ALCHEMY_CONN", "sqlite:////old")];
    compare(Release::V2_8, &NAMES_OF_2, &older, FILE);
}

#[test]
#[ignore = "needs Airflow: make e2e"]
fn airflow_3_0_finds_the_same() {
    // It reads no older name of the base URL.
    let older = [OLDER_OF_3[0], OLDER_OF_3[2]];
    compare(Release::V3_0, &NAMES_OF_3, &older, FILE);
}

#[test]
#[ignore = "needs Airflow: make e2e"]
fn airflow_3_1_finds_the_same() {
    compare(Release::V3_1, &NAMES_OF_3, &OLDER_OF_3[..3], FILE);
}

#[test]
#[ignore = "needs Airflow: make e2e"]
fn airflow_3_3_finds_the_same() {
    compare(Release::V3_3, &NAMES_OF_3, &OLDER_OF_3, FILE);
}
