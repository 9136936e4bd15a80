//! How `once` ends where Redis is away, refuses, or holds something else.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod once;

use once::{answer, once};
use testkit::redis::{Options, Redis};

#[test]
fn a_broker_that_is_away_is_69_and_no_answer() {
    let redis = Redis::start();
    redis.stop();
    let done = once(&redis.url(), &[], &[]);
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (69, ""),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("broker 127.0.0.1:"), "{}", done.stderr);
}

#[test]
fn who_may_not_come_in_or_look_is_77() {
    let redis = Redis::with(&Options::new().password("right").user(
        "blind",
        "pw",
        "~* &* -@all +ping",
    ));
    for (login, why) in [
        ("", "NOAUTH"),
        (":wrong@", "password"),
        ("blind:pw@", "NOPERM"),
    ] {
        let url = format!("redis://{login}127.0.0.1:{}/0", redis.port());
        let done = once(&url, &[], &[]);
        assert_eq!(
            (done.code, done.stdout.as_str()),
            (77, ""),
            "{login}: {}",
            done.stderr
        );
        assert!(done.stderr.contains(why), "{login}: {}", done.stderr);
        assert!(!done.stderr.contains("wrong@"), "{}", done.stderr);
    }
}

#[test]
fn a_key_of_a_wrong_type_is_named() {
    for (key, other) in [
        ("default\u{6}\u{16}3", "list"),
        ("unacked_index", "sorted set"),
    ] {
        let redis = Redis::start();
        redis.command(&["SET", key, "text"]);
        let done = once(&redis.url(), &[], &[]);
        assert_eq!(
            (done.code, done.stdout.as_str()),
            (65, ""),
            "{}",
            done.stderr
        );
        assert!(
            done.stderr
                .contains(&format!("is no {other}: another program"))
                && done.stderr.contains(key.split('\u{6}').next().unwrap()),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn five_hundred_queues_are_read() {
    let redis = Redis::start();
    let names: Vec<String> = (0..500).map(|at| format!("queue-{at}")).collect();
    for name in &names {
        redis.command(&["RPUSH", name, "message"]);
    }
    let seen = answer(&redis.url(), &["--queues", &names.join(",")], &[]);
    assert_eq!(
        (seen["ready"].as_u64(), seen["workers_target"].as_u64()),
        (Some(500), Some(10))
    );
    assert_eq!(seen["queues"].as_object().unwrap().len(), 500);
}

#[test]
fn settings_that_cannot_be_are_refused_before_any_connection() {
    for arguments in [
        &["--database"][..],
        &["--group", "a=b", "--group", "c=b"],
        &["--observe", "1s"],
        &["--metrics", "cloudwatch"],
    ] {
        let done = once("redis://127.0.0.1:1/0", arguments, &[]);
        assert_eq!(done.code, 64, "{arguments:?}: {}", done.stderr);
    }
}
