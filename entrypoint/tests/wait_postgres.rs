//! Waiting for a real PostgreSQL, in each state that keeps somebody out.

mod wait;

use std::time::Duration;

use agent::secret::Secret;
use testkit::postgres::{Options, Postgres, Shutdown, literal, percent};
use testkit::process::{Program, Signal};
use testkit::proxy::{Fault, Proxy};
use wait::{SOON, database, once, start, target, timed};

#[test]
fn a_database_that_is_there_is_asked_once_and_nothing_is_said() {
    let postgres = Postgres::shared();
    let proxy = Proxy::start(postgres.port());
    let url = postgres.database().url();
    let url = url.replace(
        &format!(":{}/", postgres.port()),
        &format!(":{}/", proxy.port()),
    );
    let waiting = database(&target(&url), SOON);
    let lines = waiting.lines.clone();
    assert_eq!(waiting.end(), Ok(()));
    assert_eq!((proxy.accepted(), lines.text().as_str()), (1, ""));
}

#[test]
fn a_wrong_password_is_looked_up_once_more_and_then_fatal() {
    let postgres = Postgres::shared();
    let mut wrong = target(&postgres.database().url());
    wrong.password = Some(Secret::new("not-this-one"));
    let asked = start(move || async move {
        let mut asked = 0;
        let deadline = tokio::time::Instant::now() + SOON;
        let refetch = async || {
            asked += 1;
            let mut newer = wrong.clone();
            newer.password = Some(Secret::new("nor-this-one"));
            Ok(Some(newer))
        };
        let mut used = wrong.clone();
        let failure = entrypoint::database::wait(&mut used, deadline, refetch).await;
        (asked, failure.map(drop).unwrap_err())
    });
    let (asked, failure) = asked.end();
    assert_eq!((asked, failure.code()), (1, 77));
    assert!(failure.why.contains("28P01") && failure.why.contains("ENTRYPOINT_DB_PASSWORD"));
    assert!(!failure.why.contains("this-one"), "{failure}");
}

#[test]
fn a_password_that_was_rotated_is_used() {
    let postgres = Postgres::shared();
    let right = target(&postgres.database().url());
    let mut stale = right.clone();
    stale.password = Some(Secret::new("the-old-one"));
    let waiting = start(move || async move {
        let deadline = tokio::time::Instant::now() + SOON;
        let newer = right.clone();
        let refetch = async || Ok(Some(newer.clone()));
        let result = entrypoint::database::wait(&mut stale, deadline, refetch).await;
        (result.map(drop), stale == right)
    });
    let lines = waiting.lines.clone();
    assert_eq!(waiting.end(), (Ok(()), true));
    assert_eq!(lines.count("database_password_changed"), 1);
    assert!(!lines.text().contains("the-old-one"));
}

#[test]
fn a_missing_database_is_fatal_and_named() {
    let postgres = Postgres::shared();
    let mut missing = target(&postgres.database().url());
    missing.name = "no-such".to_owned();
    let failure = database(&missing, SOON).end().unwrap_err();
    assert_eq!(failure.code(), 65);
    assert!(failure.why.contains("3D000") && failure.why.contains("no-such at 127.0.0.1"));
}

#[test]
fn a_role_that_may_not_connect_is_fatal() {
    let postgres = Postgres::shared();
    let database_ = postgres.database();
    postgres.execute(&format!(
        "REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
        database_.name
    ));
    postgres.role("outsider", "pw");
    let mut outsider = target(&database_.url());
    outsider.user = "outsider".to_owned();
    outsider.password = Some(Secret::new("pw"));
    let failure = once(&outsider).unwrap_err();
    assert_eq!(failure.code(), 77);
    assert!(failure.why.contains("42501"), "{failure}");
}

#[test]
fn a_server_that_is_full_is_waited_for() {
    let options = Options::new()
        .set("max_connections", "5")
        .set("superuser_reserved_connections", "1");
    let postgres = Postgres::with(&options);
    let own = postgres.database();
    let held: Vec<_> = (0..4).map(|_| postgres.hold(&own)).collect();
    let waiting = database(&target(&own.url()), SOON);
    waiting.until_told("database_unavailable", 1);
    assert!(
        waiting.lines.text().contains("53300"),
        "{}",
        waiting.lines.text()
    );
    drop(held);
    let lines = waiting.lines.clone();
    assert_eq!(waiting.end(), Ok(()));
    assert_eq!(lines.count("database_available"), 1);
}

#[test]
fn the_last_message_names_cause_and_remedy() {
    let options = Options::new()
        .set("max_connections", "5")
        .set("superuser_reserved_connections", "1");
    let postgres = Postgres::with(&options);
    let own = postgres.database();
    let _held: Vec<_> = (0..4).map(|_| postgres.hold(&own)).collect();
    let waiting = database(&target(&own.url()), Duration::from_secs(1));
    let (result, took) = timed(|| waiting.end());
    let failure = result.unwrap_err();
    assert_eq!(failure.code(), 69);
    assert!(
        failure.why.contains("53300") && failure.why.contains("max_connections"),
        "{failure}"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_server_that_starts_is_waited_for() {
    let postgres = Postgres::start();
    let own = postgres.database();
    // A recovery that asks a command for its log, and the command takes as long as a file is there.
    postgres.stop(Shutdown::Fast);
    postgres.write("recovery.signal", "");
    postgres.write("wait", "");
    let gate = postgres.data().join("wait");
    let command = format!(
        "while [ -e {} ]; do sleep 0.05; done; false",
        gate.display()
    );
    postgres.write(
        "postgresql.auto.conf",
        &format!("restore_command = {}\n", literal(&command)),
    );
    postgres.start_again_at_once();
    let waiting = database(&target(&own.url()), SOON);
    waiting.until_told("database_unavailable", 1);
    assert!(
        waiting.lines.text().contains("57P03"),
        "{}",
        waiting.lines.text()
    );
    std::fs::remove_file(gate).unwrap();
    assert_eq!(waiting.end(), Ok(()));
}

#[test]
fn a_server_that_recovers_and_takes_no_writes_is_waited_for() {
    let postgres = Postgres::start();
    let own = postgres.database();
    postgres.stop(Shutdown::Fast);
    postgres.write("standby.signal", "");
    postgres.start_again();
    let waiting = database(&target(&own.url()), SOON);
    waiting.until_told("database_unavailable", 1);
    assert!(
        waiting.lines.text().contains("25006"),
        "{}",
        waiting.lines.text()
    );
    postgres.execute("SELECT pg_promote()");
    assert_eq!(waiting.end(), Ok(()));
}

#[test]
fn a_server_that_restarts_during_the_wait_is_found_again() {
    let postgres = Postgres::start();
    let own = postgres.database();
    postgres.stop(Shutdown::Fast);
    let waiting = database(&target(&own.url()), SOON);
    waiting.until_told("database_unavailable", 1);
    postgres.start_again();
    let lines = waiting.lines.clone();
    assert_eq!(waiting.end(), Ok(()));
    assert_eq!(lines.count("database_available"), 1);
    assert!(lines.text().contains("refused"), "{}", lines.text());
}

#[test]
fn a_client_that_is_not_let_in_is_fatal_and_told_why() {
    let postgres = Postgres::with(&Options::new().rules(&[]));
    let own = postgres.database();
    let failure = once(&target(&own.url())).unwrap_err();
    assert_eq!(failure.code(), 77);
    assert!(failure.why.contains("pg_hba.conf"), "{failure}");
}

#[test]
fn a_server_that_says_nothing_costs_no_more_than_the_deadline() {
    let postgres = Postgres::start();
    let own = postgres.database();
    postgres.signal(Signal::STOP);
    let waiting = database(&target(&own.url()), Duration::from_millis(1500));
    let (result, took) = timed(|| waiting.end());
    postgres.signal(Signal::CONT);
    let failure = result.unwrap_err();
    assert_eq!(failure.code(), 69);
    assert!(failure.why.contains("no answer within"), "{failure}");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[test]
fn faults_on_the_wire_are_waited_out() {
    let postgres = Postgres::shared();
    let own = postgres.database();
    let proxy = Proxy::start(postgres.port());
    let url = own
        .url()
        .replace(&format!(":{}/", own.port), &format!(":{}/", proxy.port()));
    for fault in [
        Fault::Refuse,
        Fault::CutAfter(0),
        Fault::CutAfter(1),
        Fault::CutAfter(600),
    ] {
        proxy.fault(fault);
        let waiting = database(&target(&url), SOON);
        waiting.until_told("database_unavailable", 1);
        proxy.fault(Fault::None);
        assert_eq!(waiting.end(), Ok(()), "{fault:?}");
    }
}

#[test]
fn a_name_without_an_address_is_waited_for_until_the_deadline() {
    let unknown = target("postgresql://u:p@no-such-host.invalid/d");
    let failure = database(&unknown, Duration::from_millis(300))
        .end()
        .unwrap_err();
    assert_eq!(failure.code(), 69);
    assert!(
        failure.why.contains("no-such-host.invalid has no address"),
        "{failure}"
    );
    assert!(failure.why.contains("ENTRYPOINT_DB_HOST"), "{failure}");
}

#[test]
fn each_odd_character_in_a_password_logs_in() {
    let postgres = Postgres::shared();
    let odd = "%$~@/:?#&+='\"\\`!*()[]{}<>|;, \t\n%41$HOME~/éß日本\u{1F600}";
    let databases = ["plain", "odd $name/é?# %41"].map(|name| {
        let user = format!("{name}'s @user:$");
        postgres.database_for(name, &user, "")
    });
    let passwords = odd.chars().map(String::from).chain([odd.to_owned()]);
    for (place, password) in passwords.enumerate() {
        let mut own = databases[place % 2].clone();
        own.password = password;
        let password = &own.password;
        postgres.role(&own.user, password);
        let mut variables = entrypoint::variables::Variables::from_pairs([
            ("ENTRYPOINT_DB_HOST", "127.0.0.1"),
            ("ENTRYPOINT_DB_PORT", &own.port.to_string()),
            ("ENTRYPOINT_DB_NAME", &own.name),
            ("ENTRYPOINT_DB_USER", &own.user),
            ("ENTRYPOINT_DB_PASSWORD", &own.password),
            ("AIRFLOW_HOME", "/no/such"),
        ]);
        let built = entrypoint::database::urls(&mut variables, None)
            .unwrap()
            .unwrap();
        assert_eq!(once(&built), Ok(()), "{password:?}");
        for variable in [
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
        ] {
            let read = target(variables.text(variable).unwrap());
            assert_eq!(once(&read), Ok(()), "{variable} with {password:?}");
        }
    }
}

#[test]
fn a_password_that_libpq_reads_from_the_url_is_the_same() {
    let postgres = Postgres::shared();
    let own = postgres.database();
    postgres.role(&own.user, "a%b$c~d@e/f:g h");
    let url = own
        .url()
        .replace(&own.password, &percent("a%b$c~d@e/f:g h"));
    assert_eq!(once(&target(&url)), Ok(()));
    let psql = Program::new(postgres.programs().join("psql"))
        .args(["-Atc", "SELECT 1", &url])
        .run(SOON);
    assert_eq!(psql.code, 0, "{}", psql.stderr);
}
