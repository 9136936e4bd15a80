//! PostgreSQL, Redis and the proxy do what tests will lean on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::postgres::{Options, Postgres, Shutdown};
use testkit::process::{Program, Signal};
use testkit::proxy::{Fault, Proxy};
use testkit::redis::{self, Redis, Value};

const SOON: Duration = Duration::from_secs(30);

#[allow(clippy::unwrap_used, reason = "a test may panic")]
fn cell(postgres: &Postgres, sql: &str) -> String {
    postgres.rows("postgres", sql)[0][0].clone().unwrap()
}

#[test]
fn postgres_keeps_its_data_over_a_stop_of_each_kind_and_a_kill() {
    let postgres = Postgres::with(&Options::new().set("max_connections", "17"));
    assert_eq!(cell(&postgres, "SHOW max_connections"), "17");
    assert_eq!(cell(&postgres, "SHOW ssl"), "on");
    postgres.execute("CREATE TABLE kept (x int); INSERT INTO kept VALUES (1)");
    for how in [Shutdown::Smart, Shutdown::Fast, Shutdown::Immediate] {
        postgres.stop(how);
        let refused = postgres.try_rows("postgres", "SELECT 1").unwrap_err();
        assert!(refused.contains("connect"), "{refused}");
        postgres.start_again();
    }
    postgres.kill();
    postgres.start_again();
    assert_eq!(cell(&postgres, "SELECT count(*) FROM kept"), "1");
}

#[test]
fn postgres_never_runs_as_root() {
    let postgres = Postgres::shared();
    let id = std::fs::read_to_string(postgres.data().join("postmaster.pid")).unwrap();
    let id = id.lines().next().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let user = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .unwrap();
    assert!(!user.split_whitespace().any(|word| word == "0"), "{user}");
}

#[test]
fn a_database_of_ones_own_lets_its_owner_in_by_password_only() {
    let postgres = Postgres::shared();
    let database = postgres.database();
    let psql = |url: String| {
        Program::new(postgres.programs().join("psql"))
            .args(["-Atc", "SELECT current_user", &url])
            .run(SOON)
    };
    let finished = psql(database.url());
    assert_eq!(finished.stdout.trim(), database.user, "{}", finished.stderr);
    let refused = psql(database.url().replace(&database.password, "wrong"));
    assert!(refused.stderr.contains("password authentication failed"));
    postgres.wait_for_log(
        &format!(
            "password authentication failed for user \"{}\"",
            database.user
        ),
        SOON,
    );
}

#[test]
fn tls_can_be_checked_against_the_tests_authority() {
    let postgres = Postgres::with(&Options::new().tls_only());
    let database = postgres.database();
    let psql = |mode: &str, root: &str| {
        Program::new(postgres.programs().join("psql"))
            .args([
                "-Atc",
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            ])
            .arg(database.url())
            .envs([("PGSSLMODE", mode), ("PGSSLROOTCERT", root)])
            .run(SOON)
    };
    let authority = postgres.authority();
    let checked = psql("verify-full", authority.to_str().unwrap());
    assert_eq!(checked.stdout.trim(), "t", "{}", checked.stderr);
    assert!(psql("disable", "").stderr.contains("no pg_hba.conf entry"));
    let other = testkit::server::Authority::new().pem();
    postgres.write("other.pem", &other);
    let other = postgres.data().join("other.pem");
    assert!(
        psql("verify-full", other.to_str().unwrap())
            .stderr
            .contains("certificate verify failed")
    );
}

#[test]
fn redis_keeps_or_loses_its_data_as_asked() {
    let options = redis::Options::new()
        .password("odd \"'\\ #é")
        .user("reader", "pw", "~* +get");
    let redis = Redis::with(&options);
    redis.command(&["SET", "x", "1"]);
    let one = Value::BulkString(b"1".to_vec());
    redis.restart_with_data();
    assert_eq!(redis.command(&["GET", "x"]), one);
    redis.restart_without_data();
    assert_eq!(redis.command(&["GET", "x"]), Value::Nil);
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    let mut say = |words: &str| {
        stream.write_all(words.as_bytes()).unwrap();
        let mut answer = [0; 64];
        let count = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..count]).into_owned()
    };
    assert!(say("PING\r\n").starts_with("-NOAUTH"));
    assert!(say("AUTH \"odd \\\"'\\\\ #é\"\r\n").starts_with("+OK"));
    assert!(say("AUTH reader pw\r\n").starts_with("+OK"));
    assert!(say("SET x 1\r\n").starts_with("-NOPERM"));
}

#[test]
#[allow(clippy::print_stdout, reason = "it is the other program's line")]
fn what_a_test_that_was_killed_started_ends_too() {
    // This test's program again, as the one that is killed.
    let marker = "TESTKIT_HOLD_SERVERS";
    if std::env::var_os(marker).is_some() {
        let (postgres, redis) = (Postgres::shared(), Redis::shared());
        println!(
            "\nports={} {} {}",
            postgres.port(),
            redis.port(),
            postgres.data().display()
        );
        std::thread::sleep(Duration::from_secs(600));
    }
    let mut held = Program::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "what_a_test_that_was_killed_started_ends_too",
            "--nocapture",
        ])
        .inherit(&["PATH", "HOME", "XDG_CACHE_HOME"])
        .env(marker, "1")
        .spawn();
    let line = held
        .wait_for(|line| line.starts_with("ports="), Duration::from_secs(120))
        .text;
    let words: Vec<&str> = line.trim_start_matches("ports=").split(' ').collect();
    held.kill();
    for port in &words[..2] {
        let port: u16 = port.parse().unwrap();
        testkit::until(SOON, "the server to end", || {
            TcpStream::connect(("127.0.0.1", port)).is_err()
        });
    }
    testkit::until(SOON, "its files to go", || {
        !std::path::Path::new(words[2]).exists()
    });
}

#[test]
fn the_proxy_counts_cuts_slows_and_falls_silent() {
    let redis = Redis::shared();
    let proxy = Proxy::start(redis.port());
    let open = || {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        stream
    };
    let ask = |stream: &mut TcpStream| {
        stream.write_all(b"PING\r\n")?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n") {
            match stream.read(&mut byte)? {
                0 => break,
                _ => answer.push(byte[0]),
            }
        }
        Ok::<_, std::io::Error>(String::from_utf8(answer).unwrap())
    };
    let mut stream = open();
    assert_eq!(ask(&mut stream).unwrap(), "+PONG\r\n");
    assert_eq!((proxy.accepted(), proxy.open(), proxy.most()), (1, 1, 1));
    proxy.cut();
    assert!(!matches!(ask(&mut stream), Ok(answer) if answer.contains("PONG")));
    testkit::until(SOON, "the connection to be counted out", || {
        proxy.open() == 0
    });

    proxy.fault(Fault::CutAfter(3));
    assert!(!matches!(ask(&mut open()), Ok(answer) if answer.len() > 3));
    proxy.fault(Fault::SilentAfter(3));
    assert!(ask(&mut open()).unwrap_err().kind() == std::io::ErrorKind::WouldBlock);
    proxy.fault(Fault::Slow(Duration::from_millis(20)));
    let started = Instant::now();
    assert_eq!(ask(&mut open()).unwrap(), "+PONG\r\n");
    assert!(started.elapsed() >= Duration::from_millis(7 * 20));
    proxy.fault(Fault::Refuse);
    assert!(!matches!(ask(&mut open()), Ok(answer) if !answer.is_empty()));
    proxy.fault(Fault::None);
    redis.signal(Signal::STOP);
    let silent = ask(&mut open());
    redis.signal(Signal::CONT);
    assert!(silent.is_err());
}
