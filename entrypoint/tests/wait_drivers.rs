//! The URLs in the hands of those they are for: SQLAlchemy with psycopg2 and asyncpg, and Celery, at the
//! versions that Airflow 3.1 pins.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wait;

use std::time::Duration;

use entrypoint::database::urls;
use entrypoint::variables::Variables;
use testkit::postgres::{Options, Postgres};
use testkit::process::Program;
use testkit::redis::Redis;
use testkit::venv::Venv;
use wait::{SOON, start};

const REQUIREMENTS: &str = include_str!("../../testkit/requirements/drivers.txt");
const LOG_IN: &str = r#"
import asyncio, json, os, sys
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
ask = text("SELECT current_user, current_database(), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
with create_engine(os.environ["SYNC"]).connect() as connection:
    seen = [list(connection.execute(ask).one())]
async def main():
    async with create_async_engine(os.environ["ASYNC"]).connect() as connection:
        return list((await connection.execute(ask)).one())
seen.append(asyncio.run(main()))
print(json.dumps(seen))
"#;

fn drivers() -> Venv {
    Venv::make("drivers", REQUIREMENTS).unwrap()
}

/// User, database and TLS as the server saw them, by either driver, or what went wrong.
fn log_in(venv: &Venv, parts: &[(&str, &str)]) -> Result<Vec<(String, String, bool)>, String> {
    let mut variables = Variables::from_pairs(parts.iter().copied());
    urls(&mut variables, None)
        .map_err(|failure| failure.why)?
        .unwrap();
    let of = |name: &str| variables.text(name).unwrap().to_owned();
    let finished = Program::new(venv.python())
        .args(["-c", LOG_IN])
        .inherit(&["PATH"])
        .env("HOME", "/no/such")
        .env("SYNC", of("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"))
        .env("ASYNC", of("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"))
        .run(SOON);
    match finished.code {
        0 => Ok(serde_json::from_str(&finished.stdout).unwrap()),
        _ => Err(finished.stderr),
    }
}

#[test]
fn both_drivers_log_in_with_odd_names_and_in_each_tls_mode() {
    let venv = drivers();
    let postgres = Postgres::with(&Options::new().names(&["localhost"]));
    let own = postgres.database_for("a b/é?$x%41", "us er@:/$", "p%$~@/:?#&+='\"\\ \n日%41");
    let root = postgres.authority().display().to_string();
    let port = postgres.port().to_string();
    for (host, mode, root, expected) in [
        ("localhost", "disable", "", Ok(false)),
        ("localhost", "prefer", "", Ok(true)),
        ("localhost", "require", "", Ok(true)),
        ("127.0.0.1", "require", root.as_str(), Ok(true)),
        ("127.0.0.1", "verify-ca", root.as_str(), Ok(true)),
        ("localhost", "verify-full", root.as_str(), Ok(true)),
        (
            "127.0.0.1",
            "verify-full",
            root.as_str(),
            Err("does not match"),
        ),
    ] {
        let parts = [
            ("AIRFLOW_HOME", "/no/such"),
            ("ENTRYPOINT_DB_HOST", host),
            ("ENTRYPOINT_DB_PORT", &port),
            ("ENTRYPOINT_DB_NAME", &own.name),
            ("ENTRYPOINT_DB_USER", &own.user),
            ("ENTRYPOINT_DB_PASSWORD", &own.password),
            ("ENTRYPOINT_DB_SSLMODE", mode),
            ("ENTRYPOINT_DB_SSLROOTCERT", root),
        ];
        match (log_in(&venv, &parts), expected) {
            (Ok(seen), Ok(tls)) => {
                let one = (own.user.clone(), own.name.clone(), tls);
                assert_eq!(seen, [one.clone(), one], "{host} {mode}");
            }
            (Err(text), Err(why)) => assert!(text.contains(why), "{text}"),
            (seen, expected) => panic!("{host} {mode}: {seen:?}, not {expected:?}"),
        }
    }
}

#[test]
fn a_real_worker_answers_for_itself_alone() {
    let venv = drivers();
    let redis = Redis::start();
    let url = redis.url().replace("/0", "/3");
    let worker = Program::new(venv.program("celery"))
        .args([
            "-b",
            &url,
            "worker",
            "-n",
            "celery@one",
            "-P",
            "solo",
            "-l",
            "info",
        ])
        .inherit(&["PATH"])
        .env("C_FORCE_ROOT", "1")
        .spawn();
    worker.wait_for(|line| line.contains("celery@one ready."), SOON);
    let ask = |node: &'static str, limit| {
        let url = url.clone();
        start(move || async move {
            let asked = std::time::Instant::now();
            let answer = entrypoint::broker::worker_answers(&url, node, limit).await;
            (answer, asked.elapsed())
        })
        .end()
    };
    // Ready is said before it listens.
    testkit::until(SOON, "the worker to answer", || {
        ask("celery@one", Duration::from_secs(2)).0 == Ok(true)
    });
    let (answer, took) = ask("celery@one", Duration::from_secs(5));
    assert_eq!(answer, Ok(true));
    assert!(took < Duration::from_millis(500), "{took:?}");
    // It hears the question for another, and keeps silent.
    let (answer, _) = ask("celery@two", Duration::from_millis(700));
    assert_eq!(answer, Ok(false));
    let keys = redis.command(&[
        "EVAL",
        "redis.call('select', 3); return redis.call('keys', '*reply*')",
        "0",
    ]);
    assert_eq!(keys, testkit::redis::Value::Array(vec![]));
}
