//! The second witness and a real PostgreSQL: counts, and everything that happens to a session.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use queue_metrics::broker::Failure;
use queue_metrics::demand::Database as Tasks;
use queue_metrics::witness::{APPLICATION, Counts, Witness};
use std::time::{Duration, Instant};
use testkit::postgres::{Database, Options, Postgres, Shutdown};
use testkit::proxy::{Fault, Proxy};
use testkit::until;

const LIMIT: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(30);

/// As much of Airflow's table as is asked about, of a release before 2.10 or from then on.
const OLD: &str = "CREATE TABLE task_instance (queue varchar(256), state varchar(20));
    CREATE INDEX ti_state ON task_instance (state);";
const NEW: &str = "ALTER TABLE task_instance ADD executor varchar(1000);";
const TASKS: &str = "INSERT INTO task_instance (queue, state) VALUES
    ('default', 'queued'), ('default', 'queued'), ('default', 'running'), ('big', 'running'),
    ('kubernetes', 'running'), ('default', 'success'), ('default', 'deferred'), ('default', NULL),
    ('default', 'scheduled'), ('big', 'failed');";

fn database(postgres: &Postgres, sql: &str) -> Database {
    let own = postgres.database();
    let sql = format!("SET ROLE \"{}\"; {sql}", own.user);
    postgres.rows(&own.name, &sql);
    own
}

fn witness(url: &str) -> Witness {
    let queues = ["big", "default", "empty"].map(str::to_owned);
    Witness::new(url, None, queues).unwrap()
}

fn through(proxy: &Proxy, own: &Database) -> Witness {
    let port = proxy.port();
    witness(
        &Database {
            port,
            ..own.clone()
        }
        .url(),
    )
}

fn counts(of: [(u64, u64); 3], elsewhere: (u64, u64)) -> Counts {
    let tasks = |(queued, running)| Tasks { queued, running };
    Counts {
        queues: of.map(tasks).to_vec(),
        elsewhere: tasks(elsewhere),
    }
}

fn seen() -> Counts {
    counts([(0, 1), (2, 1), (0, 0)], (0, 1))
}

/// Reads until it is answered, as `watch` does with each sample; a count that is not true fails.
async fn read_again(witness: &mut Witness) -> Counts {
    let started = Instant::now();
    loop {
        match witness.read(LIMIT).await {
            Ok(counts) => return counts,
            Err(error) => assert!(started.elapsed() < LONG, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn refused(witness: &mut Witness) -> Failure {
    witness.read(LIMIT).await.unwrap_err()
}

#[tokio::test]
async fn queued_and_running_are_counted_by_queue_with_one_statement_a_sample() {
    let postgres = Postgres::start();
    let own = database(&postgres, &format!("{OLD}{TASKS}"));
    let mut witness = witness(&own.url().replace("postgresql:", "postgresql+psycopg2:"));
    for _ in 0..3 {
        assert_eq!(witness.read(LIMIT).await.unwrap(), seen());
    }
    let statements = |text: &str| {
        let by = format!("app={APPLICATION}");
        let log = postgres.log();
        log.lines()
            .filter(|line| line.contains(&by) && line.contains(text))
            .count()
    };
    // The server's log comes through a pipe, in order.
    until(LONG, "the third sample in the server's log", || {
        statements("statement: SET LOCAL") >= 3
    });
    // What the table has is asked once a session; whatever else was said would show here.
    assert_eq!(statements("statement: SET LOCAL"), 3);
    assert_eq!(statements("pg_attribute"), 1);
    assert_eq!(statements("statement:"), 4);
    assert_eq!(statements("WARNING"), 0);
}

#[tokio::test]
async fn a_task_of_another_executor_is_none_of_celerys() {
    let postgres = Postgres::shared();
    let more = "INSERT INTO task_instance (queue, state, executor) VALUES
        ('default', 'running', 'LocalExecutor'), ('default', 'running', 'CeleryExecutor'),
        ('big', 'queued', 'airflow.providers.celery.executors.celery_executor.CeleryExecutor');";
    let own = database(postgres, &format!("{OLD}{NEW}{TASKS}{more}"));
    let with_celerys = counts([(1, 1), (2, 2), (0, 0)], (0, 1));
    assert_eq!(witness(&own.url()).read(LIMIT).await.unwrap(), with_celerys);
    // Where Celery's is not the default, only what names it is.
    let queues = ["big", "default", "empty"].map(str::to_owned);
    let executors = Some("LocalExecutor,CeleryExecutor");
    let mut second = Witness::new(&own.url(), executors, queues).unwrap();
    let named = counts([(1, 0), (0, 1), (0, 0)], (0, 0));
    assert_eq!(second.read(LIMIT).await.unwrap(), named);
}

#[tokio::test]
async fn a_session_that_ended_between_two_samples_costs_none() {
    let postgres = Postgres::start();
    let own = database(&postgres, &format!("{OLD}{TASKS}"));
    let proxy = Proxy::start(postgres.port());
    let mut witness = through(&proxy, &own);
    assert_eq!(witness.read(LIMIT).await.unwrap(), seen());
    proxy.cut();
    assert_eq!(witness.read(LIMIT).await.unwrap(), seen());
    postgres.execute(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{APPLICATION}'"
    ));
    assert_eq!(witness.read(LIMIT).await.unwrap(), seen());
    postgres.restart();
    assert_eq!(witness.read(LIMIT).await.unwrap(), seen());
    assert_eq!(proxy.accepted(), 4);
}

#[tokio::test]
async fn a_migration_under_an_open_session_is_followed() {
    let postgres = Postgres::shared();
    let own = database(postgres, &format!("{OLD}{NEW}{TASKS}"));
    let mut witness = witness(&own.url());
    assert_eq!(witness.read(LIMIT).await.unwrap(), seen());
    postgres.rows(&own.name, "ALTER TABLE task_instance DROP executor");
    assert_eq!(witness.read(LIMIT).await.unwrap(), seen());
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_ever_less_often_and_found_again() {
    let postgres = Postgres::start();
    let own = database(&postgres, &format!("{OLD}{TASKS}"));
    let proxy = Proxy::start(postgres.port());
    let mut witness = through(&proxy, &own);
    assert_eq!(witness.read(LIMIT).await.unwrap(), seen());
    postgres.stop(Shutdown::Fast);
    let first = refused(&mut witness).await;
    assert_eq!(first.exit.code(), 69, "{first}");
    let tries = proxy.accepted();
    for _ in 0..1000 {
        assert_eq!(refused(&mut witness).await, first);
    }
    assert_eq!(proxy.accepted(), tries, "tried without a pause");
    postgres.start_again();
    assert_eq!(read_again(&mut witness).await, seen());
}

#[tokio::test]
async fn whatever_the_wire_does_there_is_an_answer_in_time_and_never_a_false_zero() {
    let postgres = Postgres::start();
    let own = database(&postgres, &format!("{OLD}{TASKS}"));
    let proxy = Proxy::start(postgres.port());
    let limit = Duration::from_millis(400);
    let slow = Fault::Slow(Duration::from_millis(40));
    let cut = |at| Fault::CutAfter(at);
    let silent = |at| Fault::SilentAfter(at);
    for fault in [
        Fault::Refuse,
        slow,
        cut(1),
        cut(60),
        cut(400),
        cut(500),
        cut(600),
        silent(0),
        silent(60),
        silent(400),
        silent(550),
    ] {
        // With a session from before, and without one.
        for warm in [true, false] {
            let mut witness = through(&proxy, &own);
            proxy.fault(Fault::None);
            if warm {
                assert_eq!(witness.read(LIMIT).await.unwrap(), seen());
            }
            proxy.fault(fault);
            let started = Instant::now();
            match witness.read(limit).await {
                Ok(counts) => assert_eq!(counts, seen(), "{fault:?}"),
                Err(failure) => assert_eq!(failure.exit.code(), 69, "{fault:?}: {failure}"),
            }
            let took = started.elapsed();
            assert!(took < limit + LIMIT / 2, "{fault:?}: {took:?}");
            proxy.fault(Fault::None);
            assert_eq!(read_again(&mut witness).await, seen(), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_lock_that_a_migration_holds_is_not_waited_for_and_leaves_nothing_behind() {
    let postgres = Postgres::shared();
    let own = database(postgres, &format!("{OLD}{TASKS}"));
    let mut witness = witness(&own.url());
    assert_eq!(witness.read(LIMIT).await.unwrap(), seen());
    let name = own.name.clone();
    let migration = std::thread::spawn(move || {
        let hold = "BEGIN; LOCK TABLE task_instance IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4);";
        postgres.rows(&name, hold);
    });
    testkit::until(LONG, "the lock", || {
        let held = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
            AND relation = 'task_instance'::regclass";
        !postgres.rows(&own.name, held).is_empty()
    });
    let failure = witness.read(Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(failure.exit.code(), 69, "{failure}");
    assert!(failure.why.contains("57014"), "{failure}");
    // The server itself gave up: else each sample would leave one more session in the queue.
    testkit::until(Duration::from_secs(2), "no statement to be left", || {
        let waiting = format!(
            "SELECT 1 FROM pg_stat_activity WHERE datname = '{}' AND application_name = '{APPLICATION}'
            AND wait_event_type = 'Lock'",
            own.name
        );
        postgres.rows("postgres", &waiting).is_empty()
    });
    assert!(!migration.is_finished(), "the lock was gone already");
    assert_eq!(read_again(&mut witness).await, seen());
    migration.join().unwrap();
}

#[tokio::test]
async fn each_refusal_is_named_and_none_shows_the_password() {
    let postgres = Postgres::with(&Options::new().tls_only());
    let own = database(&postgres, &format!("{OLD}{TASKS}"));
    let empty = postgres.database();
    let reader = postgres.database();
    let other = |name: &str, user: &Database| Database {
        name: name.to_owned(),
        ..user.clone()
    };
    postgres.execute(&format!(
        "GRANT CONNECT ON DATABASE \"{}\" TO \"{}\"",
        own.name, reader.user
    ));
    for (url, code, why) in [
        (own.url().replace(&own.password, "wr0ng"), 77, "28P01"),
        (own.url() + "?sslmode=disable", 77, "sslmode=require"),
        (own.url() + "?sslmode=verify-full", 77, "sslrootcert"),
        (other("no-such", &own).url(), 65, "3D000"),
        (empty.url(), 65, "no tables of Airflow's"),
        (
            other(&own.name, &reader).url(),
            77,
            "SELECT on task_instance",
        ),
    ] {
        let failure = refused(&mut witness(&url)).await;
        assert_eq!(failure.exit.code(), code, "{failure}");
        assert!(failure.why.contains(why), "{failure}");
        for secret in [&own.password, &empty.password, &reader.password, "wr0ng"] {
            assert!(!failure.why.contains(secret), "{failure}");
        }
    }
    let ca = postgres.authority().display().to_string();
    let url = format!("{}?sslmode=verify-full&sslrootcert={ca}", own.url());
    assert_eq!(witness(&url).read(LIMIT).await.unwrap(), seen());
    let shown = format!("{:?}", witness(&url));
    assert!(!shown.contains(&own.password), "{shown}");
    let none = Witness::new("sqlite:////tmp/airflow.db", None, []).unwrap_err();
    assert!(none.contains("only postgresql"), "{none}");
}
