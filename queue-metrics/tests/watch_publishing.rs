//! What `watch` publishes, where, and when.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[macro_use]
mod together;
mod watch;

use queue_metrics::metrics::*;
use std::time::{Duration, Instant};
use testkit::cloudwatch::Shim;
use testkit::moto::Moto;
use testkit::redis::{Redis, Value};
use watch::{LONG, Watch, free_port, group, put, take};

at_once! {
    every_metric_reaches_cloudwatch_with_the_exact_dimensions,
    a_task_raises_the_target_at_once_and_the_target_is_left_for_protect,
    groups_have_targets_and_dimensions_of_their_own,
    prometheus_serves_what_is_true_and_nothing_while_redis_is_away,
    an_address_that_is_taken_is_a_usage_error,
    without_cloudwatch_it_goes_on_degraded_and_recovers_by_itself,
    a_cloudwatch_that_hangs_holds_up_neither_samples_nor_the_end,
}

fn every_metric_reaches_cloudwatch_with_the_exact_dimensions() {
    let redis = Redis::start();
    let moto = Moto::shared();
    let shim = Shim::start(moto.endpoint());
    for tag in ["1", "2", "3"] {
        put(&redis, "default", tag);
    }
    put(&redis, "default\u{6}\u{16}9", "4");
    put(&redis, "low", "5");
    take(&redis, "default", "6");
    let args = ["--queues", "default,low,empty", "--namespace", "Everything"];
    let watch = Watch::start(
        &redis.url(),
        &[&args[..], &["--worker-concurrency", "2"]].concat(),
        &shim.environment(),
    );
    let seen = testkit::until_some(LONG, "metrics", || {
        let seen = moto.metrics("Everything");
        (seen.len() >= 11).then_some(seen)
    });
    let service = [("Environment", "test"), ("Service", "workers")];
    let value = |name: &str, dimensions: [(&str, &str); 2]| {
        let dimensions = dimensions.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let found = seen
            .iter()
            .find(|metric| metric.name == name && metric.dimensions == dimensions);
        found.map(|metric| metric.maximum)
    };
    for (name, expected) in [
        (WORKERS_TARGET, 3.0),
        (TASKS_READY, 5.0),
        (TASKS_BUSY, 1.0),
        (TASKS_ORPHANED, 0.0),
        (WORKERS_ALIVE, 0.0),
        ("LogsDropped", 0.0),
    ] {
        assert_eq!(value(name, service), Some(expected), "{name}: {seen:?}");
    }
    for name in [SAMPLE_AGE, OLDEST_TASK_AGE] {
        let age = value(name, service).expect(name);
        assert!((0.0..30.0).contains(&age), "{name}: {age}");
    }
    for (queue, expected) in [("default", 4.0), ("low", 1.0), ("empty", 0.0)] {
        let dimensions = [("Environment", "test"), ("Queue", queue)];
        assert_eq!(value(QUEUE_READY, dimensions), Some(expected), "{queue}");
    }
    assert_eq!(seen.len(), 11, "{seen:?}");
    let status = watch.until("a put to be accepted", |status| status["degraded"] == false);
    assert_eq!(status["healthy"], true);
    assert!(status["detail"]["accepted"].is_string(), "{status}");
    assert_eq!(watch.stop(), 0);
}

fn a_task_raises_the_target_at_once_and_the_target_is_left_for_protect() {
    let redis = Redis::start();
    let watch = Watch::start(&redis.url(), &["--metrics", "emf"], &[]);
    watch.until_watching();
    testkit::until(LONG, "a zero that was seen", || {
        watch
            .emf(WORKERS_TARGET)
            .iter()
            .any(|line| line[WORKERS_TARGET] == 0.0)
    });
    put(&redis, "default", "1");
    testkit::until(LONG, "a target of 1", || {
        watch
            .emf(WORKERS_TARGET)
            .iter()
            .any(|line| line[WORKERS_TARGET] == 1.0 && line["Service"] == "workers")
    });
    // With the first sample that saw it.
    for line in watch.emf(TASKS_READY) {
        assert_eq!(line[WORKERS_TARGET], line[TASKS_READY], "{line}");
    }
    let key = "trimtab.target.workers";
    testkit::until(LONG, "the target to be left", || {
        redis.command(&["GET", key]) == Value::BulkString(br#"{"workers_target":1}"#.to_vec())
    });
    match redis.command(&["TTL", key]) {
        Value::Int(seconds) => assert!((40..=60).contains(&seconds), "{seconds}"),
        other => panic!("{other:?}"),
    }
    // The hold keeps the target when the task is gone.
    redis.command(&["DEL", "default"]);
    let status = watch.until("the task to be gone", |status| {
        group(status)["waiting"] == 0
    });
    assert_eq!(group(&status)["need"], 0);
    assert_eq!(group(&status)["workers_target"], 1);
    assert_eq!(watch.stop(), 0);
}

fn groups_have_targets_and_dimensions_of_their_own() {
    let redis = Redis::start();
    put(&redis, "x", "1");
    let args = ["--metrics", "emf", "--queues", "a,b", "--group", "big=x"];
    let watch = Watch::start(&redis.url(), &args, &[]);
    let status = watch.until_watching();
    let groups = &status["detail"]["groups"];
    assert_eq!(groups["workers"]["workers_target"], 0, "{status}");
    assert_eq!(groups["big"]["workers_target"], 1, "{status}");
    let of = |service: &str| {
        let lines = watch.emf(WORKERS_TARGET).into_iter();
        let mut own = lines.filter(|line| line["Service"] == service);
        own.next().map(|line| line[WORKERS_TARGET].clone())
    };
    testkit::until(LONG, "both groups", || {
        of("big") == Some(1.0.into()) && of("workers") == Some(0.0.into())
    });
    let left = |group: &str| redis.command(&["EXISTS", &format!("trimtab.target.{group}")]);
    testkit::until(LONG, "both targets to be left", || {
        left("big") == Value::Int(1) && left("workers") == Value::Int(1)
    });
}

fn prometheus_serves_what_is_true_and_nothing_while_redis_is_away() {
    let redis = Redis::start();
    put(&redis, "default", "1");
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let args = ["--metrics", "prometheus", "--listen", &listen];
    let watch = Watch::start(&redis.url(), &args, &[]);
    let scrape = || match testkit::http::get(&format!("http://{listen}/metrics")) {
        Ok(answer) => answer.text(),
        Err(_) => String::new(),
    };
    let target = "trimtab_workers_target{environment=\"test\",service=\"workers\"} 1\n";
    testkit::until(LONG, "the target", || scrape().contains(target));
    let text = scrape();
    for line in [
        "trimtab_queue_ready{environment=\"test\",queue=\"default\"} 1\n",
        "trimtab_tasks_ready{environment=\"test\",service=\"workers\"} 1\n",
        "trimtab_logs_dropped_total{environment=\"test\",service=\"workers\"} 0\n",
        "trimtab_sample_age_seconds{",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let health = testkit::http::get(&format!("http://{listen}/healthz")).unwrap();
    assert_eq!(health.status, 200);
    assert!(
        health.text().contains("\"degraded\":false"),
        "{}",
        health.text()
    );
    redis.stop();
    testkit::until(LONG, "nothing but its own losses", || {
        let text = scrape();
        !text.contains("workers_target") && text.contains("trimtab_logs_dropped_total")
    });
    let health = testkit::http::get(&format!("http://{listen}/healthz")).unwrap();
    assert_eq!(health.status, 200, "degraded is not unhealthy");
    assert!(
        health.text().contains("\"degraded\":true"),
        "{}",
        health.text()
    );
    let other = testkit::http::request("POST", &format!("http://{listen}/metrics"), &[], b"");
    assert_eq!(other.unwrap().status, 405);
    assert_eq!(watch.stop(), 0);
}

fn an_address_that_is_taken_is_a_usage_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let args = ["--metrics", "prometheus", "--listen", &listen];
    let mut watch = Watch::start("redis://127.0.0.1:1/0", &args, &[]);
    assert_eq!(watch.process.exit_code(LONG), 64);
    assert!(watch.process.stderr().contains(&listen));
}

fn without_cloudwatch_it_goes_on_degraded_and_recovers_by_itself() {
    let redis = Redis::start();
    put(&redis, "default", "1");
    let port = free_port();
    let environment = [
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let watch = Watch::start(&redis.url(), &["--namespace", "Later"], &environment);
    let status = watch.until("a put to fail", |status| {
        let reason = status["reason"].as_str().unwrap_or_default();
        reason.contains("CloudWatch has accepted nothing yet: no answer")
    });
    assert_eq!(status["healthy"], true);
    // It samples all the while.
    put(&redis, "default", "2");
    watch.until("the second task", |status| group(status)["waiting"] == 2);
    let before = watch.process.usage();
    let moto = Moto::shared();
    let shim = Shim::start(moto.endpoint());
    let proxy = proxy_at(port, &shim.endpoint());
    watch.until("a put to be accepted", |status| status["degraded"] == false);
    let seen = moto.metrics("Later");
    let ready = seen.iter().find(|metric| metric.name == TASKS_READY);
    // The newest goes out, and none of those before it.
    assert_eq!(ready.map(|metric| metric.minimum), Some(2.0), "{seen:?}");
    assert_eq!(watch.events("metrics_unpublished").len(), 1);
    assert!(watch.process.usage().threads <= before.threads);
    assert_eq!(watch.stop(), 0);
    drop(proxy);
}

/// Passes each connection on, from now on.
fn proxy_at(port: u16, endpoint: &str) -> std::thread::JoinHandle<()> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let target = endpoint.strip_prefix("http://").unwrap().to_owned();
    std::thread::spawn(move || {
        while let Ok((mut here, _)) = listener.accept() {
            let Ok(mut there) = std::net::TcpStream::connect(&target) else {
                return;
            };
            let (mut back, mut forth) = (here.try_clone().unwrap(), there.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut there, &mut back));
            std::thread::spawn(move || std::io::copy(&mut here, &mut forth));
        }
    })
}

fn a_cloudwatch_that_hangs_holds_up_neither_samples_nor_the_end() {
    let redis = Redis::start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let environment = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let watch = Watch::start(&redis.url(), &[], &environment);
    watch.until_watching();
    put(&redis, "default", "1");
    watch.until("the task", |status| group(status)["waiting"] == 1);
    let asked = Instant::now();
    assert_eq!(watch.stop(), 0);
    // It is given 3 s, and 20 s would be the end of all patience.
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
}
