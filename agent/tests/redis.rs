//! Connections to a real Redis.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use agent::redis::{ConnectError, Reason, Target, connect, subscriber};
use testkit::process::Signal;
use testkit::proxy::{Fault, Proxy};
use testkit::redis::{Options, Redis};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn commands_and_subscriptions_go_through_tls_with_a_user() {
    let redis = Redis::with(&Options::new().tls().user("u", "p w", "~* &* +@all"));
    let root = redis.authority().display().to_string().replace('/', "%2F");
    let url = format!(
        "rediss://u:p%20w@localhost:{}/2?ssl_ca_certs={root}",
        redis.tls_port()
    );
    let target = Target::parse(&url).unwrap();
    let mut listener = subscriber(&target, SOON).await.unwrap();
    listener.subscribe("c").await.unwrap();
    let mut connection = connect(&target, SOON).await.unwrap();
    let heard: i64 = redis::cmd("PUBLISH")
        .arg(&["c", "x"])
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(heard, 1);
    let _: () = redis::cmd("SET")
        .arg(&["k", "v"])
        .query_async(&mut connection)
        .await
        .unwrap();
    // In the database that the URL names, and in no other.
    assert_eq!(
        redis.command(&["EXISTS", "k"]),
        testkit::redis::Value::Int(0)
    );
    assert!(!format!("{target:?}").contains("p w"));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let redis = Redis::start();
    let limit = Duration::from_millis(300);
    let mut connection = connect(&Target::parse(&redis.url()).unwrap(), limit)
        .await
        .unwrap();
    redis.signal(Signal::STOP);
    let asked = Instant::now();
    let answer: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
    redis.signal(Signal::CONT);
    assert_eq!(
        ConnectError::from(&answer.unwrap_err()).reason,
        Reason::Timeout
    );
    assert!(asked.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_connection_that_was_cut_says_so() {
    let redis = Redis::shared();
    let proxy = Proxy::start(redis.port());
    let target = Target::parse(&format!("redis://127.0.0.1:{}", proxy.port())).unwrap();
    let mut connection = connect(&target, SOON).await.unwrap();
    proxy.fault(Fault::CutAfter(2));
    let answer: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
    assert_eq!(
        ConnectError::from(&answer.unwrap_err()).reason,
        Reason::Network
    );
    proxy.fault(Fault::Refuse);
    assert_eq!(
        connect(&target, SOON).await.unwrap_err().reason,
        Reason::Network
    );
}
