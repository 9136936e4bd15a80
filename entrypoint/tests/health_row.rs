//! The service's own row in a real `job` table, and what a database that is away does to the state.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

use std::time::{Duration, SystemTime};

use agent::metrics::Metrics;
use agent::postgres::Target;
use agent::status::Status;
use entrypoint::health::judge::Seen;
use entrypoint::health::plan::Watched;
use entrypoint::health::row::{self, Own};
use entrypoint::health::witness::{Outside, Witness as _};
use entrypoint::health::{Pace, Watch};
use entrypoint::oom;
use entrypoint::supervise::Stop;
use testkit::postgres::{Database, Postgres, Shutdown};

const LIMIT: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(15);

/// As `airflow db migrate` makes it, 2.8.4 to 3.3.2 alike.
const TABLE: &str = "CREATE TABLE job (
    id serial PRIMARY KEY, dag_id varchar(250), state varchar(20), job_type varchar(30),
    start_date timestamptz, end_date timestamptz, latest_heartbeat timestamptz,
    executor_class varchar(500), hostname varchar(500), unixname varchar(1000));
    CREATE INDEX job_type_heart ON job (job_type, latest_heartbeat);
    CREATE INDEX idx_job_state_heartbeat ON job (state, latest_heartbeat);";

fn own() -> Own {
    Own {
        job_type: "TriggererJob",
        threshold: Duration::from_secs(30),
    }
}

struct World {
    postgres: Postgres,
    database: Database,
}

impl World {
    fn new() -> Self {
        let postgres = Postgres::start();
        let database = postgres.database();
        let world = Self { postgres, database };
        world.sql(TABLE);
        world.sql(&format!(
            "GRANT ALL ON job TO {}",
            testkit::postgres::identifier(&world.database.user)
        ));
        world
    }

    fn sql(&self, sql: &str) {
        for statement in sql
            .split(';')
            .filter(|statement| !statement.trim().is_empty())
        {
            self.postgres.rows(&self.database.name, statement);
        }
    }

    /// A row that started and beat so many seconds ago.
    fn job(&self, job_type: &str, host: &str, state: &str, started: f64, beat: f64) {
        self.sql(&format!(
            "INSERT INTO job (job_type, hostname, state, start_date, latest_heartbeat) VALUES \
             ('{job_type}', '{host}', '{state}', now() - interval '{started} s', now() - interval '{beat} s')"
        ));
    }

    fn target(&self) -> Target {
        Target::parse(&self.database.url()).unwrap()
    }

    /// What is seen of a service that was started `ago` seconds ago.
    async fn seen(&self, outside: &mut Outside, names: &[&str], ago: u64) -> Seen {
        let started = SystemTime::now() - Duration::from_secs(ago);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        match outside.row(&own(), &names, started, LIMIT).await {
            Ok(found) => row::seen(&own(), found.as_ref(), SystemTime::now()),
            Err(why) => Seen::Unknown(why),
        }
    }
}

fn is_dead(seen: &Seen, why: &str) -> bool {
    matches!(seen, Seen::Dead(reason) if reason.contains(why))
}

#[tokio::test]
async fn only_a_row_of_this_host_this_service_and_this_start_counts() {
    let world = World::new();
    let mut outside = Outside::new(Some(world.target()), None);
    let none = "there is no TriggererJob of this host";
    // Another host's, another service's, and that of the container that was here before.
    world.job("TriggererJob", "other", "running", 10.0, 0.0);
    world.job("SchedulerJob", "host", "running", 10.0, 0.0);
    world.job("TriggererJob", "host", "running", 4000.0, 20.0);
    world.job("TriggererJob", "hostile.internal", "running", 10.0, 0.0);
    let seen = world.seen(&mut outside, &["host", "10.0.0.9"], 60).await;
    assert!(is_dead(&seen, none), "{seen:?}");

    // A newer one that beats; an older one that failed does not count beside it.
    world.job("TriggererJob", "host.internal", "failed", 50.0, 45.0);
    let seen = world.seen(&mut outside, &["host", "10.0.0.9"], 60).await;
    assert!(is_dead(&seen, "is failed"), "{seen:?}");
    world.job("TriggererJob", "host.internal", "running", 30.0, 2.0);
    assert_eq!(world.seen(&mut outside, &["host"], 60).await, Seen::Alive);

    // The address, where that is what Airflow is told to use.
    world.sql("DELETE FROM job");
    world.job("TriggererJob", "10.0.0.9", "running", 30.0, 2.0);
    assert_eq!(
        world.seen(&mut outside, &["host", "10.0.0.9"], 60).await,
        Seen::Alive
    );

    // A heartbeat that stopped.
    world.sql("UPDATE job SET latest_heartbeat = now() - interval '31 s', start_date = now() - interval '50 s'");
    let seen = world.seen(&mut outside, &["host", "10.0.0.9"], 60).await;
    assert!(is_dead(&seen, "31 s old"), "{seen:?}");

    // All of it over one connection.
    let sessions = world.postgres.rows(
        "postgres",
        "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'trimtab-health'",
    );
    assert_eq!(sessions[0][0].as_deref(), Some("1"));
}

#[tokio::test]
async fn a_large_job_table_is_read_by_its_index() {
    let world = World::new();
    world.sql("INSERT INTO job (job_type, hostname, state, start_date, latest_heartbeat) \
        SELECT 'LocalTaskJob', 'host', 'success', now() - i * interval '1 s', now() - i * interval '1 s' FROM generate_series(1, 20000) i; ANALYZE job");
    world.job("TriggererJob", "host", "running", 30.0, 2.0);
    let query = row::QUERY
        .replace("$1", "'TriggererJob'")
        .replace("$2", "1.0")
        .replace("$3", "'{host}'")
        .replace("$4", "'host.'");
    let plan = world
        .postgres
        .rows(&world.database.name, &format!("EXPLAIN {query}"));
    let plan: Vec<String> = plan.into_iter().flatten().flatten().collect();
    assert!(
        plan.iter().any(|line| line.contains("job_type_heart")),
        "{plan:#?}"
    );
}

#[tokio::test]
async fn a_database_that_is_away_or_hangs_is_unknown_and_comes_back() {
    let world = World::new();
    let mut outside = Outside::new(Some(world.target()), None);
    world.job("TriggererJob", "host", "running", 10.0, 0.0);
    assert_eq!(world.seen(&mut outside, &["host"], 60).await, Seen::Alive);
    world.postgres.stop(Shutdown::Fast);
    for _ in 0..2 {
        let seen = world.seen(&mut outside, &["host"], 60).await;
        assert!(matches!(seen, Seen::Unknown(_)), "{seen:?}");
    }
    world.postgres.start_again();
    assert_eq!(world.seen(&mut outside, &["host"], 60).await, Seen::Alive);
    // A table that is not there says nothing of the service.
    world.sql("DROP TABLE job");
    let seen = world.seen(&mut outside, &["host"], 60).await;
    assert!(
        matches!(&seen, Seen::Unknown(why) if why.contains("42P01")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn the_status_follows_the_row_and_keeps_its_last_state_while_the_database_is_away() {
    let world = World::new();
    let (status, metrics, oom) = (Status::disabled(), Metrics::none(), oom::Watch::begin());
    let (stop, ask) = Stop::manual();
    let watch = Watch {
        watched: Watched::Row(own(), None),
        witness: Outside::new(Some(world.target()), None),
        status: &status,
        metrics: &metrics,
        stop: &stop,
        oom: &oom,
        beside: Vec::new(),
        pace: Pace {
            starting: Duration::from_millis(20),
            settled: Duration::from_millis(20),
        },
    };
    let story = async {
        reaches(&status, "starting", |state| {
            !state.healthy
                && state
                    .reason
                    .as_deref()
                    .unwrap_or_default()
                    .contains("starting")
        })
        .await;
        let host = row::host_names().remove(0);
        world.job("TriggererJob", &host, "running", 0.0, 0.0);
        reaches(&status, "alive", |state| {
            state.healthy && !state.degraded && state.reason.is_none() && state.phase == "running"
        })
        .await;
        world.postgres.stop(Shutdown::Fast);
        reaches(&status, "away", |state| state.healthy && state.degraded).await;
        world.postgres.start_again();
        reaches(&status, "back", |state| state.healthy && !state.degraded).await;
        world.sql("UPDATE job SET state = 'failed'");
        reaches(&status, "dead", |state| !state.healthy && !state.degraded).await;
        world.postgres.stop(Shutdown::Fast);
        reaches(&status, "dead and away", |state| {
            !state.healthy && state.degraded
        })
        .await;
        world.postgres.start_again();
        world.sql("UPDATE job SET state = 'running', latest_heartbeat = now()");
        reaches(&status, "alive again", |state| {
            state.healthy && !state.degraded
        })
        .await;
        ask(entrypoint::supervise::Signal::TERM);
        reaches(&status, "stopping", |state| {
            state.phase == "stopping" && state.healthy
        })
        .await;
    };
    tokio::select! {
        never = watch.run() => match never {},
        () = story => {}
    }
}

async fn reaches(status: &Status, what: &str, holds: impl Fn(&agent::status::State) -> bool) {
    let start = tokio::time::Instant::now();
    while !holds(&status.state()) {
        assert!(start.elapsed() < SOON, "{what}: {:?}", status.state());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
