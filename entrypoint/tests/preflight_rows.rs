//! The Fernet key tried on a real PostgreSQL, whose encrypted rows Python's `cryptography` made.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

use agent::exit::Exit;
use entrypoint::airflow::config::Config;
use entrypoint::airflow::version::Version;
use entrypoint::command::Service;
use entrypoint::preflight::{self, Finding, Level, Subject};
use entrypoint::variables::Variables;
use std::time::Duration;
use testkit::postgres::{Database, Postgres};
use testkit::process::Program;
use testkit::venv::Venv;
use tokio_postgres::{Client, NoTls};

const OLD: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
const NEW: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const FERNET: &str = "AIRFLOW__CORE__FERNET_KEY";
const SCHEMA: &str = "AIRFLOW__DATABASE__SQL_ALCHEMY_SCHEMA";

/// The columns that matter, as 2.8 to 3.3 have them.
const TABLES: &str = "
    CREATE TABLE connection (id serial PRIMARY KEY, conn_id varchar(250), password varchar(5000),
        extra text, is_encrypted boolean, is_extra_encrypted boolean);
    CREATE TABLE variable (id serial PRIMARY KEY, key varchar(250), val text, is_encrypted boolean);";

/// Tokens that cryptography made with this key.
fn encrypted(key: &str, count: usize) -> Vec<String> {
    let script = "import sys\nfrom cryptography.fernet import Fernet\n\
                  for n in range(int(sys.argv[2])): print(Fernet(sys.argv[1].encode()).encrypt(b'x' * n).decode())";
    let finished = Program::new(Venv::moto().unwrap().python())
        .args(["-c", script, key, &count.to_string()])
        .inherit(&["PATH"])
        .run(Duration::from_secs(60));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    finished.stdout.lines().map(str::to_owned).collect()
}

struct World {
    database: Database,
}

impl World {
    fn empty() -> World {
        let database = Postgres::shared().database();
        World { database }
    }

    fn with_tables() -> World {
        let world = World::empty();
        world.execute(TABLES);
        world.execute(&format!(
            "ALTER TABLE connection OWNER TO {0}; ALTER TABLE variable OWNER TO {0}",
            world.database.user
        ));
        world
    }

    fn execute(&self, sql: &str) {
        Postgres::shared().rows(&self.database.name, sql);
    }

    fn add(&self, tokens: &[String]) {
        for token in tokens {
            self.execute(&format!(
                "INSERT INTO connection (conn_id, password, is_encrypted, is_extra_encrypted) VALUES ('one', '{token}', true, false)"
            ));
        }
    }

    /// What is found with these variables, about the key alone.
    fn found(&self, pairs: &[(&str, &str)]) -> Vec<Finding> {
        self.look(pairs, Service::Scheduler).0
    }

    fn look(&self, pairs: &[(&str, &str)], service: Service) -> (Vec<Finding>, Option<Exit>) {
        let variables = Variables::from_pairs(pairs.iter().copied());
        let config = Config::from_parts(&variables, "");
        let subject = Subject {
            service,
            release: Some(Version::new(3, 1, 8)),
            config: &config,
            variables: &variables,
            simple_auth_allowed: true,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.database.url(), NoTls)
                .await
                .unwrap();
            let connection = tokio::spawn(connection);
            let report = preflight::inspect(&subject, None, Some(&client)).await;
            still_usable(&client).await;
            drop(client);
            connection.await.unwrap().unwrap();
            let key = report
                .findings
                .iter()
                .filter(|found| found.variable == FERNET);
            let exit = report.conclude().err().map(|failure| failure.exit);
            (key.cloned().collect(), exit)
        })
    }
}

/// The session goes on being used after the check, outside any transaction: each statement is one.
async fn still_usable(client: &Client) {
    let mut transactions = Vec::new();
    for _ in 0..2 {
        let row = client
            .query_one("SELECT txid_current()", &[])
            .await
            .unwrap();
        transactions.push(row.get::<_, i64>(0));
    }
    assert_ne!(transactions[0], transactions[1], "a transaction is open");
}

#[test]
fn a_wrong_key_ends_the_run_and_the_right_one_passes_wherever_it_stands() {
    let world = World::with_tables();
    world.add(&encrypted(OLD, 2));
    let both = format!("{NEW},{OLD}");
    for (key, level) in [
        (OLD, None),
        (both.as_str(), None),
        (NEW, Some(Level::Error)),
    ] {
        let found = world.found(&[(FERNET, key)]);
        assert_eq!(found.first().map(|found| found.level), level, "{found:?}");
    }
    let (found, exit) = world.look(&[(FERNET, NEW)], Service::Triggerer);
    assert_eq!(exit, Some(Exit::Source));
    assert!(found[0].why.contains("connection one"), "{found:?}");
}

#[test]
fn every_kind_of_encrypted_value_is_tried() {
    let token = &encrypted(OLD, 1)[0];
    for statement in [
        format!(
            "INSERT INTO connection (conn_id, password, is_encrypted) VALUES ('a', '{token}', true)"
        ),
        format!(
            "INSERT INTO connection (conn_id, extra, is_extra_encrypted) VALUES ('a', '{token}', true)"
        ),
        format!("INSERT INTO variable (key, val, is_encrypted) VALUES ('a', '{token}', true)"),
    ] {
        let world = World::with_tables();
        world.execute(&statement);
        assert_eq!(world.found(&[(FERNET, OLD)]), [], "{statement}");
        let found = world.found(&[(FERNET, NEW)]);
        assert_eq!(found.len(), 1, "{statement}");
    }
}

#[test]
fn a_key_that_is_older_than_some_rows_is_only_a_warning() {
    let world = World::with_tables();
    world.add(&encrypted(OLD, 3));
    world.add(&encrypted(NEW, 1));
    let found = world.found(&[(FERNET, NEW)]);
    assert_eq!(found[0].level, Level::Warning);
    assert!(found[0].why.contains("3 of the 4"), "{found:?}");
}

#[test]
fn encrypted_rows_without_any_key_are_an_error() {
    let world = World::with_tables();
    world.add(&encrypted(OLD, 1));
    let found = world.found(&[(FERNET, "")]);
    assert!(
        found
            .iter()
            .any(|found| found.level == Level::Error && found.why.contains("connection one")),
        "{found:?}"
    );
    // What only Airflow can ask for is left to it.
    assert_eq!(world.found(&[("AIRFLOW__CORE__FERNET_KEY_CMD", "x")]), []);
}

#[test]
fn what_is_not_encrypted_or_not_there_yet_says_nothing() {
    assert_eq!(World::empty().found(&[(FERNET, NEW)]), []);
    let world = World::with_tables();
    assert_eq!(world.found(&[(FERNET, NEW)]), []);
    world.execute(
        "INSERT INTO connection (conn_id, password, extra, is_encrypted, is_extra_encrypted)
             VALUES ('plain', 'x', 'y', false, false), ('none', NULL, '', true, true);
         INSERT INTO variable (key, val, is_encrypted) VALUES ('plain', 'x', false)",
    );
    assert_eq!(world.found(&[(FERNET, NEW)]), []);
}

#[test]
fn tables_in_a_schema_of_their_own_are_found() {
    let world = World::empty();
    let (tables, user) = (
        TABLES.replace("TABLE ", "TABLE \"my schema\"."),
        &world.database.user,
    );
    world.execute(&format!(
        "CREATE SCHEMA \"my schema\" AUTHORIZATION {user}; {tables}"
    ));
    world.execute(&format!(
        "GRANT SELECT ON ALL TABLES IN SCHEMA \"my schema\" TO {user}"
    ));
    let token = &encrypted(OLD, 1)[0];
    world.execute(&format!(
        "INSERT INTO \"my schema\".variable (key, val, is_encrypted) VALUES ('a', '{token}', true)"
    ));
    assert_eq!(world.found(&[(FERNET, NEW)]), []);
    assert_eq!(
        world.found(&[(FERNET, NEW), (SCHEMA, "my schema")]).len(),
        1
    );
    assert_eq!(world.found(&[(FERNET, OLD), (SCHEMA, "my schema")]), []);
}

#[test]
fn tables_that_may_not_be_read_are_a_warning_with_the_servers_words() {
    let world = World::empty();
    world.execute(TABLES);
    let found = world.found(&[(FERNET, NEW)]);
    assert_eq!(found[0].level, Level::Warning);
    assert!(
        found[0].why.contains("permission denied for table"),
        "{found:?}"
    );
}
