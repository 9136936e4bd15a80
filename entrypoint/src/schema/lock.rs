//! Who may migrate: an advisory lock of our own, and what else the server knows of migrations.
//!
//! The lock is `pg_advisory_lock(1953655149, 1835624306)`, "trim" and "migr" in ASCII, of the database
//! that is migrated. It belongs to a session that is idle outside any transaction: a waiter inside
//! `pg_advisory_lock` would hold a snapshot, on which `CREATE INDEX CONCURRENTLY` waits for ever
//! (40P01), so it is only ever tried. Airflow's own is the bigint 1: never taken here, or our own child
//! would fail on it.

use super::state::{column, rows};
use tokio_postgres::{Client, Error};

/// The two numbers of the lock.
pub const KEY: (i32, i32) = (0x7472_696d, 0x6d69_6772);

/// What the migrating child's sessions are called, by `PGAPPNAME`, and the session that stands for it
/// until it has one of its own.
pub const MIGRATOR: &str = "trimtab-migrate";

/// A service that lives, by Airflow's own table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `SchedulerJob`, `TriggererJob`, …
    pub kind: String,
    /// Where it runs.
    pub host: String,
}

/// A job that was seen within this many seconds lives: Airflow's own threshold is 30, its heart beats
/// every 5, and a busy scheduler misses some.
const LIVES: u32 = 60;

/// Takes the lock if it is free. A session that was lost without a word is found by the server within
/// a minute, and its lock is free then.
pub async fn take(client: &Client) -> Result<bool, Error> {
    let (first, second) = KEY;
    let taken = column(
        client,
        &format!("SELECT pg_try_advisory_lock({first}, {second})"),
    )
    .await?;
    if taken != ["t"] {
        return Ok(false);
    }
    // What this server does not know is left out: idle_session_timeout is new in 14.
    let settings = "SELECT set_config(name, value, false) FROM pg_settings \
        JOIN (VALUES ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), \
        ('tcp_keepalives_count', '3'), ('idle_session_timeout', '0')) AS wanted (name, value) \
        USING (name)";
    client.simple_query(settings).await?;
    Ok(true)
}

/// Gives it back. A lock that was not held is a warning of the server's.
pub async fn release(client: &Client) -> Result<(), Error> {
    let (first, second) = KEY;
    let query = format!("SELECT pg_advisory_unlock({first}, {second})");
    client.simple_query(&query).await.map(drop)
}

/// What the server says while a migration runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// Whether this session still holds the lock; a pooler may have put another behind it.
    pub held: bool,
    /// Whether a session that is none of ours holds Airflow's own lock or waits for it.
    pub contended: bool,
}

/// Feels it.
pub async fn pulse(client: &Client) -> Result<Pulse, Error> {
    let (first, second) = KEY;
    let query = format!(
        "WITH locks AS (SELECT l.classid, l.objid, l.objsubid, l.pid, l.granted, a.application_name \
         FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) \
         SELECT EXISTS (SELECT 1 FROM locks WHERE classid = {first} AND objid = {second} \
         AND objsubid = 2 AND pid = pg_backend_pid() AND granted), \
         EXISTS (SELECT 1 FROM locks WHERE classid = 0 AND objid = 1 AND objsubid = 1 \
         AND application_name IS DISTINCT FROM '{MIGRATOR}')"
    );
    let rows = rows(client, &query).await?;
    let is = |place: usize| {
        rows.iter().any(|row| {
            row.get(place)
                .is_some_and(|value| value.as_deref() == Some("t"))
        })
    };
    Ok(Pulse {
        held: is(0),
        contended: is(1),
    })
}

/// The backends of migrations that run now, ours or another's whose lock was lost.
pub async fn migrators(client: &Client) -> Result<Vec<String>, Error> {
    let query = format!(
        "SELECT pid FROM pg_stat_activity WHERE application_name = '{MIGRATOR}' \
         AND datname = current_database()"
    );
    column(client, &query).await
}

/// The transactions of migrations that have written something and are not at their end.
pub async fn transactions(client: &Client) -> Result<Vec<String>, Error> {
    let query = format!(
        "SELECT pid || ' ' || backend_xid FROM pg_stat_activity \
         WHERE application_name = '{MIGRATOR}' AND datname = current_database() \
         AND backend_xid IS NOT NULL"
    );
    column(client, &query).await
}

/// Ends the backends of migrations but for this one. A backend does not see that its client has died
/// while it works or waits for a lock.
pub async fn end_migrators(client: &Client) -> Result<(), Error> {
    let query = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{MIGRATOR}' \
         AND datname = current_database() AND pid <> pg_backend_pid()"
    );
    client.simple_query(&query).await.map(drop)
}

/// The services that live. Each is of the release that made the schema: no other could run on it.
pub async fn services(client: &Client) -> Result<Vec<Service>, Error> {
    let query = format!(
        "SELECT job_type, hostname FROM job WHERE state = 'running' \
         AND latest_heartbeat > now() - interval '{LIVES} seconds' ORDER BY 1, 2"
    );
    let rows = rows(client, &query).await?;
    let services = rows.into_iter().map(|mut row| {
        let mut take = |place: usize| {
            row.get_mut(place)
                .and_then(Option::take)
                .unwrap_or_default()
        };
        Service {
            kind: take(0),
            host: take(1),
        }
    });
    Ok(services.collect())
}
