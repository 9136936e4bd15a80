//! Samples over a wire that fails: true counts or a failure, in time, and never a zero that nobody saw.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod once;

use agent::redis::{Target, connect};
use once::{LONG, Turns, number, once};
use queue_metrics::broker::{Failure, Layout, Reading, Sampler};
use queue_metrics::protect::Wire;
use queue_metrics::settings::Keys;
use std::time::{Duration, Instant};
use testkit::process::Signal;
use testkit::proxy::{Fault, Proxy};
use testkit::redis::{Options, Redis};

const LIMIT: Duration = Duration::from_millis(400);

/// What kombu leaves of so many messages that wait, and of others in flight.
fn fill(redis: &Redis, waiting: usize, in_flight: usize) {
    let script = r#"
        for n = 1, ARGV[1] do redis.call('RPUSH', 'default', '{"properties":{"delivery_tag":"w' .. n .. '"}}') end
        for n = 1, ARGV[2] do
            redis.call('ZADD', 'unacked_index', n, 'tag' .. n)
            redis.call('HSET', 'unacked', 'tag' .. n, '[{"body":"x"},"","default"]')
        end"#;
    let (waiting, in_flight) = (waiting.to_string(), in_flight.to_string());
    redis.command(&["EVAL", script, "0", &waiting, &in_flight]);
}

struct Client {
    target: Target,
    sampler: Sampler,
}

impl Client {
    fn new(login: &str, port: u16) -> Self {
        let url = format!("redis://{login}127.0.0.1:{port}/0");
        let target = Target::parse(&url).unwrap();
        let layout = Layout::new(&Keys::default(), 0, ["default", "other"]);
        Self {
            sampler: Sampler::new(target.clone(), layout),
            target,
        }
    }

    /// Over a connection of its own.
    async fn read(&mut self) -> Result<Reading, Failure> {
        let connected = connect(&self.target, LIMIT).await;
        let mut connection = connected.map_err(|error| Failure::new(&self.target, &error))?;
        self.sampler.read(&mut connection, false).await
    }

    async fn counts(&mut self) -> (u64, u64) {
        counts(&self.read().await.unwrap())
    }
}

fn counts(reading: &Reading) -> (u64, u64) {
    let in_flight = &reading.in_flight;
    (reading.ready.iter().sum(), in_flight.queues.iter().sum())
}

#[tokio::test]
async fn a_sample_is_one_round_trip_and_a_second_only_for_what_is_new() {
    let redis = Redis::start();
    fill(&redis, 3, 2);
    let turns = Turns::start(redis.port());
    let mut client = Client::new("", turns.port());
    let mut connection = connect(&client.target, LONG).await.unwrap();
    let mut took = Vec::new();
    let message = r#"{"properties":{"delivery_tag":"o"}}"#;
    let both =
        "redis.call('ZADD', 'unacked_index', 1, 'tag2') redis.call('RPUSH', 'other', ARGV[1])";
    let steps: [&[&str]; 10] = [
        &["PING"],
        &["PING"],
        &["ZREM", "unacked_index", "tag1"],
        &["ZADD", "unacked_index", "1", "tag1"],
        &["DEL", "unacked_index"],
        // A list that was empty when it was looked at last.
        &["RPUSH", "other", message],
        &["PING"],
        &["DEL", "other"],
        &["EVAL", both, "0", message],
        &["DEL", "other", "default"],
    ];
    let mut next = Vec::new();
    for step in steps {
        redis.command(step);
        let before = turns.count();
        let reading = client.sampler.read(&mut connection, false).await.unwrap();
        took.push(turns.count() - before);
        next.push(
            reading
                .next
                .into_iter()
                .map(|(_, id)| id)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(took, [2, 1, 1, 2, 1, 2, 1, 1, 2, 1]);
    // Each is named in the first sample that sees it.
    assert_eq!(next[4..7], [vec!["w3"], vec!["w3", "o"], vec!["w3", "o"]]);
    assert_eq!(next[7..], [vec!["w3"], vec!["w3", "o"], vec![]]);
}

#[tokio::test]
async fn ten_thousand_in_flight_are_fetched_once() {
    let redis = Redis::start();
    fill(&redis, 100_000, 10_000);
    let mut client = Client::new("", redis.port());
    assert_eq!(client.counts().await, (100_000, 10_000));
    redis.command(&["CONFIG", "RESETSTAT"]);
    assert_eq!(client.counts().await, (100_000, 10_000));
    redis.command(&["ZADD", "unacked_index", "1", "new"]);
    redis.command(&["HSET", "unacked", "new", r#"[{},"","other"]"#]);
    assert_eq!(client.counts().await, (100_000, 10_001));
    let stats = format!("{:?}", redis.command(&["INFO", "commandstats"]));
    assert!(stats.contains("cmdstat_hmget:calls=1,"), "{stats}");
}

#[tokio::test]
async fn whatever_the_wire_does_a_sample_is_true_or_fails_in_time() {
    let redis = Redis::start();
    fill(&redis, 7, 3);
    let proxy = Proxy::start(redis.port());
    let slow = Duration::from_millis(30);
    let cuts = (0..400).step_by(13).map(Fault::CutAfter);
    let silences = [0, 5, 30, 100, 200, 330].map(Fault::SilentAfter);
    let others = [Fault::Refuse, Fault::Slow(slow)];
    let mut failed = 0;
    for fault in cuts.chain(silences).chain(others) {
        let mut client = Client::new("", proxy.port());
        proxy.fault(fault);
        let started = Instant::now();
        match client.read().await {
            Ok(reading) => assert_eq!(counts(&reading), (7, 3), "{fault:?}"),
            Err(failure) => {
                failed += 1;
                assert_eq!(failure.exit.code(), 69, "{fault:?}: {failure}");
            }
        }
        // One limit for the connection, one for each of two answers, and a machine that builds.
        assert!(started.elapsed() < LIMIT * 3 + LIMIT, "{fault:?}");
        proxy.fault(Fault::None);
        assert_eq!(client.counts().await, (7, 3), "{fault:?}");
    }
    assert!(failed > 20, "the faults hit nothing: {failed}");
}

#[tokio::test]
async fn an_answer_that_came_late_is_not_taken_for_the_next_one() {
    let redis = Redis::start();
    fill(&redis, 7, 3);
    let mut client = Client::new("", redis.port());
    let mut connection = connect(&client.target, LIMIT).await.unwrap();
    redis.signal(Signal::STOP);
    let late = client.sampler.read(&mut connection, false).await;
    assert_eq!(late.unwrap_err().exit.code(), 69);
    redis.signal(Signal::CONT);
    redis.command(&["DEL", "default"]);
    let next = client.sampler.read(&mut connection, false).await.unwrap();
    assert_eq!(counts(&next), (0, 3), "the seven were there before");
}

#[tokio::test]
async fn a_password_that_changes_under_a_connection_is_named() {
    let redis = Redis::with(&Options::new().user("u", "one", "~* &* +@all"));
    fill(&redis, 7, 3);
    let mut client = Client::new("u:one@", redis.port());
    let mut connection = connect(&client.target, LIMIT).await.unwrap();
    let mut read = async || client.sampler.read(&mut connection, false).await;
    assert_eq!(counts(&read().await.unwrap()), (7, 3));
    redis.command(&["ACL", "SETUSER", "u", "resetpass", ">two"]);
    // Who is in stays in; who is thrown out does not come back.
    assert_eq!(counts(&read().await.unwrap()), (7, 3));
    redis.command(&["ACL", "SETUSER", "u", "-llen"]);
    let failure = read().await.unwrap_err();
    assert_eq!(failure.exit.code(), 77, "{failure}");
    assert!(failure.why.contains("+llen"), "{failure}");
    redis.command(&["CLIENT", "KILL", "USER", "u"]);
    let failure = client.read().await.unwrap_err();
    assert_eq!(failure.exit.code(), 77, "{failure}");
    assert!(failure.why.contains("user and password"), "{failure}");
}

#[tokio::test]
async fn a_restart_is_followed_with_data_and_without() {
    let redis = Redis::start();
    fill(&redis, 7, 3);
    let mut client = Client::new("", redis.port());
    let mut connection = connect(&client.target, LIMIT).await.unwrap();
    client.sampler.read(&mut connection, false).await.unwrap();
    redis.restart_with_data();
    let broken = client.sampler.read(&mut connection, false).await;
    assert_eq!(broken.unwrap_err().exit.code(), 69);
    assert_eq!(client.counts().await, (7, 3));
    redis.restart_without_data();
    // This zero was seen.
    assert_eq!(client.counts().await, (0, 0));
    redis.stop();
    assert_eq!(client.read().await.unwrap_err().exit.code(), 69);
}

#[test]
fn once_says_nothing_on_stdout_when_the_wire_fails_at_any_moment() {
    let redis = Redis::start();
    fill(&redis, 7, 3);
    std::thread::scope(|scope| {
        for fault in [0, 3, 60, 300].map(Fault::CutAfter) {
            let redis = &redis;
            scope.spawn(move || {
                let proxy = Proxy::start(redis.port());
                proxy.fault(fault);
                let started = Instant::now();
                let done = once(&format!("redis://127.0.0.1:{}/0", proxy.port()), &[], &[]);
                assert_eq!(
                    (done.code, done.stdout.as_str()),
                    (69, ""),
                    "{}",
                    done.stderr
                );
                assert!(started.elapsed() < Duration::from_secs(10), "{fault:?}");
            });
        }
        // While it listens, and before the last reading.
        scope.spawn(|| {
            let proxy = Proxy::start(redis.port());
            let url = format!("redis://127.0.0.1:{}/0", proxy.port());
            std::thread::scope(|inner| {
                let run = inner.spawn(|| once(&url, &[], &[]));
                testkit::until(LONG, "both connections", || proxy.open() == 2);
                proxy.cut();
                let done = run.join().unwrap();
                assert_eq!(
                    (done.code, done.stdout.as_str()),
                    (69, ""),
                    "{}",
                    done.stderr
                );
            });
        });
    });
}

#[tokio::test]
async fn workers_that_say_that_they_drain_are_counted_by_group_in_the_same_round_trip() {
    let redis = Redis::start();
    let turns = Turns::start(redis.port());
    let target = Target::parse(&format!("redis://127.0.0.1:{}/0", turns.port())).unwrap();
    let keys = Keys {
        prefix: "p:".to_owned(),
        ..Keys::default()
    };
    let layout = Layout::new(&keys, 0, ["default"]).with_groups(&keys, ["workers", "big"]);
    let mut sampler = Sampler::new(target.clone(), layout.clone());
    let mut connection = connect(&target, LONG).await.unwrap();
    let mut read = async || sampler.read(&mut connection, true).await.unwrap();
    assert_eq!(read().await.draining, [0, 0]);

    let plain = Target::parse(&redis.url()).unwrap();
    let (drains, told) = tokio::sync::watch::channel(true);
    let mut wire = Wire::new(plain, layout, "p:", "big", "celery@a".to_owned()).with_drains(told);
    wire.every = Duration::from_millis(50);
    let (sender, mut heard) = tokio::sync::mpsc::channel(1);
    let hears = tokio::spawn(wire.hear(sender));
    let next = tokio::spawn(async move { while heard.recv().await.is_some() {} });
    let key = ["ZCARD", "p:trimtab.draining.big"];
    let says = async |count: i64| {
        let started = Instant::now();
        while number(&redis, 0, key) != count {
            assert!(started.elapsed() < LONG, "not {count}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    says(1).await;
    // One that was killed in the middle of it falls out after a minute, and the key itself later.
    redis.command(&["ZADD", key[1], "1000000", "celery@gone"]);
    let before = turns.count();
    let reading = read().await;
    assert_eq!((reading.draining, turns.count() - before), (vec![0, 1], 1));
    assert!(
        reading.server.is_some(),
        "what follows is read as what it is"
    );
    assert!(number(&redis, 0, ["TTL", key[1]]) > 60);
    drains.send_replace(false);
    says(1).await;
    assert_eq!(read().await.draining, [0, 0]);
    hears.abort();
    next.abort();
    // A key of another's is no reason to count nothing else.
    redis.command(&["SET", key[1], "text"]);
    redis.command(&["RPUSH", "p:default", "x"]);
    let reading = read().await;
    assert_eq!((reading.draining, reading.ready), (vec![0, 0], vec![1]));
}
