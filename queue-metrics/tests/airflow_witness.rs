//! The second witness and the tables of real Airflows.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use queue_metrics::demand::Database as Tasks;
use queue_metrics::witness::Witness;
use std::time::Duration;
use testkit::airflow::{self, Airflow, Release};
use testkit::postgres::{Database, Postgres};

const LIMIT: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(180);

/// A database as that release makes it.
fn migrated(release: Release) -> Database {
    let own = Postgres::shared().database();
    let home = tempfile::tempdir().unwrap();
    airflow::writable(home.path());
    let url = own.url().replace("postgresql:", "postgresql+psycopg2:");
    let run = Airflow::of(release)
        .program(home.path())
        .env("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
        .env("AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS", "False")
        .args(["db", "migrate"])
        .run(LONG);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    own
}

/// Statements that put task instances, whatever else a release wants in the row.
fn put(own: &Database, queue: &str, state: &str, count: u32) -> String {
    let columns = Postgres::shared().rows(
        &own.name,
        "SELECT column_name, data_type FROM information_schema.columns
        WHERE table_name = 'task_instance' AND table_schema = 'public' AND is_nullable = 'NO'
        AND column_default IS NULL AND column_name NOT IN ('queue', 'state')",
    );
    let value = |kind: &str| match kind {
        "uuid" => "gen_random_uuid()",
        "character varying" | "text" => "'x' || number || random()",
        "timestamp with time zone" => "now()",
        "boolean" => "false",
        "bytea" => "''",
        "json" | "jsonb" => "'{}'",
        _ => "0",
    };
    let columns: Vec<(String, &str)> = columns
        .into_iter()
        .map(|row| {
            let [name, kind] = <[_; 2]>::try_from(row).unwrap();
            (format!(", {}", name.unwrap()), value(&kind.unwrap()))
        })
        .collect();
    let names: String = columns.iter().map(|(name, _)| name.as_str()).collect();
    let values: String = columns
        .iter()
        .map(|(_, value)| format!(", {value}"))
        .collect();
    format!(
        "INSERT INTO task_instance (queue, state{names})
        SELECT '{queue}', '{state}'{values} FROM generate_series(1, {count}) AS number;"
    )
}

/// Scans of the whole table, and through an index.
fn scans(own: &Database) -> [u64; 2] {
    let sql = "SELECT pg_stat_clear_snapshot(); SELECT seq_scan, idx_scan FROM pg_stat_user_tables
        WHERE relname = 'task_instance'";
    let rows = Postgres::shared().rows(&own.name, sql);
    let row = rows.last().unwrap();
    [0, 1].map(|at| row[at].as_deref().unwrap().parse().unwrap())
}

async fn each_is_counted_by_the_index_alone(release: Release) {
    let own = migrated(release);
    let mut witness = Witness::new(&own.url(), None, ["default".to_owned()]).unwrap();
    let empty = witness.read(LIMIT).await.unwrap();
    assert_eq!((empty.sum(), empty.elsewhere), Default::default());
    // Rows refer to others that are not there, which is of no matter here.
    let mut sql = "SET session_replication_role = replica;".to_owned();
    for (queue, state, count) in [
        ("default", "queued", 7),
        ("default", "running", 3),
        ("kubernetes", "running", 2),
        ("default", "deferred", 5),
        ("default", "scheduled", 4),
        // The history, which grows for ever.
        ("default", "success", 50_000),
    ] {
        sql.push_str(&put(&own, queue, state, count));
    }
    Postgres::shared().rows(&own.name, &sql);
    Postgres::shared().rows(&own.name, "ANALYZE task_instance");
    let before = scans(&own);
    let counts = witness.read(LIMIT).await.unwrap();
    let tasks = |queued, running| Tasks { queued, running };
    assert_eq!((counts.sum(), counts.elsewhere), (tasks(7, 3), tasks(0, 2)));
    drop(witness);
    // A session's figures are added when it is idle or ends.
    testkit::until(Duration::from_secs(20), "the scan to be counted", || {
        scans(&own) != before
    });
    assert_eq!(
        scans(&own)[0],
        before[0],
        "{release:?} reads the whole table"
    );
}

#[tokio::test]
#[ignore = "a real Airflow, by make e2e"]
async fn airflow_2_8_has_what_is_asked_for() {
    each_is_counted_by_the_index_alone(Release::V2_8).await;
}

#[tokio::test]
#[ignore = "a real Airflow, by make e2e"]
async fn airflow_3_0_has_what_is_asked_for() {
    each_is_counted_by_the_index_alone(Release::V3_0).await;
}

#[tokio::test]
#[ignore = "a real Airflow, by make e2e"]
async fn airflow_3_1_has_what_is_asked_for() {
    each_is_counted_by_the_index_alone(Release::V3_1).await;
}

#[tokio::test]
#[ignore = "a real Airflow, by make e2e"]
async fn airflow_3_3_has_what_is_asked_for() {
    each_is_counted_by_the_index_alone(Release::V3_3).await;
}
