//! How `once` names what a broker refuses, and of what it warns.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod once;

use once::{LONG, answer, once};
use std::net::TcpStream;
use testkit::postgres::Postgres;
use testkit::process::Finished;
use testkit::redis::{Options, Redis};

/// Ends with the code, without an answer, and with these words in one line.
#[track_caller]
fn refused(done: &Finished, code: i32, words: &[&str]) {
    let Finished {
        code: found,
        stdout,
        stderr,
    } = done;
    assert_eq!((*found, stdout.as_str()), (code, ""), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no {word} in {stderr}");
    }
}

#[test]
fn a_url_that_cannot_be_used_is_refused_before_any_connection() {
    for (url, word) in [
        ("amqp://u:s3cret@127.0.0.1:1//", "only redis and rediss"),
        ("sentinel://:s3cret@127.0.0.1:1", "only redis and rediss"),
        ("127.0.0.1:6379/0", "no scheme"),
        ("redis://:s3cret/x@127.0.0.1:1/0", "%2F"),
        ("redis://127.0.0.1:s3cret/0", "port"),
        ("redis://127.0.0.1:1/s3cret", "number of a database"),
        ("rediss://127.0.0.1:1?ssl_cert_reqs=never", "ssl_cert_reqs"),
    ] {
        let done = once(url, &[], &[]);
        refused(&done, 64, &[word]);
        assert!(!done.stderr.contains("s3cret"), "{}", done.stderr);
    }
}

#[test]
fn who_answers_but_is_no_redis_or_not_this_one_is_told_from_who_is_away() {
    let redis = Redis::with(&Options::new().tls().line("databases 4"));
    let (port, tls) = (redis.port(), redis.tls_port());
    let postgres = Postgres::shared().port();
    std::thread::scope(|scope| {
        for (url, code, words) in [
            (format!("redis://127.0.0.1:{postgres}"), 69, "rediss://"),
            (format!("redis://127.0.0.1:{tls}"), 69, "rediss://"),
            (format!("rediss://127.0.0.1:{port}"), 69, "rediss://"),
            (format!("redis://127.0.0.1:{port}/4"), 65, "number"),
            ("redis://no-such.invalid/0".to_owned(), 69, "DNS"),
        ] {
            scope.spawn(move || refused(&once(&url, &[], &[]), code, &[words]));
        }
    });
}

#[test]
fn a_certificate_is_trusted_only_with_its_authority_and_for_its_name() {
    let redis = Redis::with(&Options::new().names(&["localhost"]));
    let other = Redis::with(&Options::new().tls());
    let (own, strange) = (redis.authority(), other.authority());
    let file = |path: &std::path::Path| path.display().to_string();
    let (own, strange) = (file(&own), file(&strange));
    let expired = Redis::with(&Options::new().expired());
    let expired_ca = file(&expired.authority());
    let port = redis.tls_port();
    let url = |host: &str, query: &str| format!("rediss://{host}:{port}/0{query}");
    let right = ["--ca-file", own.as_str()];
    let nowhere = ["--ca-file", "/no/such/file.pem"];
    let old = format!("rediss://localhost:{}/0", expired.tls_port());
    std::thread::scope(|scope| {
        for (url, args) in [
            (url("localhost", ""), &right[..]),
            (url("127.0.0.1", "?ssl_check_hostname=false"), &right),
            (url("127.0.0.1", "?ssl_cert_reqs=none"), &[]),
        ] {
            scope.spawn(move || assert_eq!(answer(&url, args, &[])["ready"], 0, "{url}"));
        }
        for (url, args, code, word) in [
            (url("localhost", ""), &[][..], 77, "--ca-file"),
            (
                url("localhost", ""),
                &["--ca-file", &strange],
                77,
                "--ca-file",
            ),
            (url("127.0.0.1", ""), &right, 77, "name"),
            (old, &["--ca-file", &expired_ca], 77, "renew it"),
            (url("localhost", ""), &nowhere, 65, "/no/such/file.pem"),
        ] {
            refused(&once(&url, args, &[]), code, &[word]);
        }
    });
}

#[test]
fn a_server_that_is_loading_is_waited_for_by_nobody_and_answers_when_it_is_done() {
    let slowly = Options::new()
        .line("key-load-delay 3000")
        .line("loading-process-events-interval-bytes 1024");
    let redis = Redis::with(&slowly);
    let script = "for n = 1, 3000 do redis.call('SET', 'key' .. n, 'x') end redis.call('RPUSH', 'default', 'x')";
    redis.command(&["EVAL", script, "0"]);
    redis.command(&["SAVE"]);
    redis.stop();
    std::thread::scope(|scope| {
        let start = scope.spawn(|| redis.start_again());
        let port = redis.port();
        testkit::until(LONG, "its port", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        refused(
            &once(&redis.url(), &[], &[]),
            69,
            &["LOADING", "reads its data from disk"],
        );
        start.join().unwrap();
    });
    assert_eq!(answer(&redis.url(), &[], &[])["ready"], 1);
}

#[test]
fn a_replica_is_named_and_one_without_its_primary_is_no_witness() {
    let primary = Redis::start();
    primary.command(&["RPUSH", "default", "x"]);
    let line = format!("replicaof 127.0.0.1 {}", primary.port());
    let replica = Redis::with(
        &Options::new()
            .line(&line)
            .line("replica-serve-stale-data no"),
    );
    testkit::until(LONG, "the replica to follow", || {
        replica
            .try_command(&["LLEN", "default"])
            .is_ok_and(|length| length == testkit::redis::Value::Int(1))
    });
    let done = once(&replica.url(), &[], &[]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("it is a replica"), "{}", done.stderr);
    primary.stop();
    testkit::until(LONG, "the replica to miss it", || {
        replica.try_command(&["LLEN", "default"]).is_err()
    });
    let done = once(&replica.url(), &[], &[]);
    refused(&done, 69, &["MASTERDOWN", "lost its primary"]);
}

#[test]
fn a_server_without_a_free_connection_says_so() {
    let redis = Redis::with(&Options::new().line("maxclients 3"));
    let held: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(("127.0.0.1", redis.port())).unwrap())
        .collect();
    // Taken by the server, and not by the kernel alone.
    testkit::until(LONG, "three to be in", || {
        redis.try_command(&["PING"]).is_err()
    });
    refused(&once(&redis.url(), &[], &[]), 69, &["maxclients"]);
    drop(held);
}

#[test]
fn a_server_that_throws_keys_away_is_warned_of() {
    let options = Options::new()
        .line("maxmemory 2mb")
        .line("maxmemory-policy allkeys-random");
    let redis = Redis::with(&options);
    let value = "x".repeat(10_000);
    for key in 0..300 {
        redis.command(&["SET", &format!("key{key}"), &value]);
    }
    let done = once(&redis.url(), &[], &[]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    for word in [
        "maxmemory_policy allkeys-random throws messages away",
        "keys since it started",
        "\"event\":\"broker_risk\"",
        "WARN",
    ] {
        assert!(done.stderr.contains(word), "no {word} in {}", done.stderr);
    }
    let plain = once(&Redis::shared().url(), &[], &[]);
    assert!(!plain.stderr.contains("broker_risk"), "{}", plain.stderr);
}

#[test]
fn a_user_that_may_not_look_at_the_server_or_ping_still_gets_its_counts() {
    let redis = Redis::with(&Options::new().user(
        "few",
        "pw",
        "~* &* -@all +llen +lindex +zrange +hmget +subscribe",
    ));
    redis.command(&["RPUSH", "default", "x"]);
    let url = format!("redis://few:pw@127.0.0.1:{}/0", redis.port());
    assert_eq!(answer(&url, &[], &[])["ready"], 1);
    for (rights, word) in [
        (
            "~default* &* -@all +llen +lindex +zrange +subscribe",
            "unacked_index",
        ),
        ("~* &* -@all +llen +lindex +zrange", "+subscribe"),
        (
            "~* resetchannels -@all +llen +lindex +zrange +subscribe",
            "channels",
        ),
    ] {
        let words: Vec<&str> = ["ACL", "SETUSER", "few", "resetkeys", "nocommands"]
            .into_iter()
            .chain(rights.split(' '))
            .collect();
        redis.command(&words);
        refused(&once(&url, &[], &[]), 77, &["NOPERM", word]);
    }
}
