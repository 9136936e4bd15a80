//! Waiting for a real Redis.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wait;

use std::time::Duration;

use entrypoint::failure::Failure;
use testkit::process::Signal;
use testkit::proxy::{Fault, Proxy};
use testkit::redis::{Options, Redis};
use wait::{SOON, Waiting, start, timed};

fn broker(url: &str, timeout: Duration) -> Waiting<Result<(), Failure>> {
    let url = url.to_owned();
    start(move || async move {
        let deadline = tokio::time::Instant::now() + timeout;
        entrypoint::broker::wait(&url, deadline).await
    })
}

fn once(url: &str) -> Result<(), Failure> {
    broker(url, Duration::ZERO).end()
}

#[test]
fn a_broker_that_is_there_is_asked_once_and_nothing_is_said() {
    let redis = Redis::shared();
    let proxy = Proxy::start(redis.port());
    let waiting = broker(&format!("redis://127.0.0.1:{}/3", proxy.port()), SOON);
    let lines = waiting.lines.clone();
    assert_eq!(waiting.end(), Ok(()));
    assert_eq!((proxy.accepted(), lines.text().as_str()), (1, ""));
}

#[test]
fn users_and_passwords_are_told_right_from_wrong() {
    let options = Options::new()
        .password("p@ss/w:rd%")
        .user("worker", "$pw~", "~* &* +@all")
        .user("quiet", "pw", "~* -@all");
    let redis = Redis::with(&options);
    let port = redis.port();
    for (login, code) in [
        ("", Some(77)),
        (":wrong@", Some(77)),
        (":p%40ss%2Fw%3Ard%25@", None),
        ("worker:%24pw~@", None),
        ("worker:other@", Some(77)),
        // Logged in is in, though it may not ping.
        ("quiet:pw@", None),
    ] {
        let result = once(&format!("redis://{login}127.0.0.1:{port}/0"));
        assert_eq!(
            result.as_ref().err().map(Failure::code),
            code,
            "{login}: {result:?}"
        );
        if let Err(failure) = result {
            assert!(
                failure.why.contains("AIRFLOW__CELERY__BROKER_URL"),
                "{failure}"
            );
            assert!(
                !failure.why.contains("wrong@") && !failure.why.contains("other"),
                "{failure}"
            );
        }
    }
}

#[test]
fn a_certificate_is_checked_unless_the_url_says_not_to() {
    let redis = Redis::with(&Options::new().names(&["localhost"]));
    let port = redis.tls_port();
    let root = redis.authority().display().to_string().replace('/', "%2F");
    let unknown = "no authority that is trusted";
    for (host, query, why) in [
        (
            "localhost",
            format!("ssl_cert_reqs=required&ssl_ca_certs={root}"),
            None,
        ),
        (
            "127.0.0.1",
            format!("ssl_ca_certs={root}"),
            Some("for another name"),
        ),
        (
            "127.0.0.1",
            format!("ssl_ca_certs={root}&ssl_check_hostname=false"),
            None,
        ),
        ("localhost", String::new(), Some(unknown)),
        (
            "localhost",
            "ssl_cert_reqs=CERT_REQUIRED".to_owned(),
            Some(unknown),
        ),
        ("127.0.0.1", "ssl_cert_reqs=none".to_owned(), None),
        (
            "localhost",
            "ssl_ca_certs=%2Fno%2Fsuch".to_owned(),
            Some("cannot be read"),
        ),
    ] {
        let result = once(&format!("rediss://{host}:{port}/0?{query}"));
        match (result, why) {
            (Ok(()), None) => {}
            (Err(failure), Some(why)) => assert!(failure.why.contains(why), "{query}: {failure}"),
            (result, why) => panic!("{host} {query}: {result:?}, not {why:?}"),
        }
    }
    // TLS where there is none, and none where there is.
    let crossed = once(&format!("rediss://localhost:{}/0", redis.port())).unwrap_err();
    assert_eq!(crossed.code(), 69);
    assert!(crossed.why.contains("TLS"), "{crossed}");
    let crossed = once(&format!("redis://localhost:{port}/0")).unwrap_err();
    assert_eq!(crossed.code(), 69);
    assert!(crossed.why.contains("TLS"), "{crossed}");
}

#[test]
fn one_that_restarts_is_found_again() {
    let redis = Redis::start();
    redis.stop();
    let waiting = broker(&redis.url(), SOON);
    waiting.until_told("broker_unavailable", 1);
    redis.start_again();
    let lines = waiting.lines.clone();
    assert_eq!(waiting.end(), Ok(()));
    assert_eq!(lines.count("broker_available"), 1);
}

#[test]
fn one_that_has_no_room_is_waited_for() {
    let redis = Redis::with(&Options::new().line("maxclients 1"));
    let held = std::net::TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    // Taken by the server only once it answers.
    testkit::until(SOON, "the connection to be counted", || {
        redis.try_command(&["PING"]).is_err()
    });
    let waiting = broker(&redis.url(), SOON);
    waiting.until_told("broker_unavailable", 1);
    drop(held);
    assert_eq!(waiting.end(), Ok(()));
}

#[test]
fn a_number_of_a_database_that_there_is_not_is_fatal() {
    let failure = once(&Redis::shared().url().replace("/0", "/99")).unwrap_err();
    assert_eq!(failure.code(), 65);
    assert!(failure.why.contains("number"), "{failure}");
}

#[test]
fn silence_and_half_an_answer_cost_no_more_than_the_deadline() {
    let redis = Redis::start();
    let proxy = Proxy::start(redis.port());
    let url = format!("redis://127.0.0.1:{}/0", proxy.port());
    proxy.fault(Fault::SilentAfter(3));
    let (result, took) = timed(|| broker(&url, Duration::from_millis(300)).end());
    assert_eq!(result.unwrap_err().code(), 69);
    assert!(took < Duration::from_secs(5), "{took:?}");
    proxy.fault(Fault::None);
    redis.signal(Signal::STOP);
    let (result, took) = timed(|| broker(&url, Duration::from_millis(300)).end());
    redis.signal(Signal::CONT);
    assert!(result.unwrap_err().why.contains("no answer"));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_broker_that_is_no_redis_is_not_waited_for() {
    let waiting = broker("amqp://u:secret@127.0.0.1:1//", SOON);
    let lines = waiting.lines.clone();
    assert_eq!(waiting.end(), Ok(()));
    assert_eq!(lines.count("broker_unknown"), 1);
    assert!(!lines.text().contains("secret"));
}

#[test]
fn a_worker_that_does_not_listen_is_told_from_a_broker_that_is_away() {
    let redis = Redis::start();
    let asked = |url: String| {
        start(move || async move {
            let limit = Duration::from_secs(2);
            entrypoint::broker::worker_answers(&url, "celery@nobody", limit).await
        })
        .end()
    };
    assert_eq!(asked(redis.url()), Ok(false));
    // Nothing of the question stays behind.
    assert_eq!(redis.command(&["DBSIZE"]), testkit::redis::Value::Int(0));
    let url = redis.url();
    redis.stop();
    let away = asked(url).unwrap_err();
    assert!(away.starts_with("broker 127.0.0.1:"), "{away}");
}
