//! What `watch` does while the broker is in trouble: never a zero that was not seen.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[macro_use]
mod together;
mod watch;

use queue_metrics::metrics::{TASKS_READY, WORKERS_TARGET};
use std::time::{Duration, Instant};
use testkit::proxy::{Fault, Proxy};
use testkit::redis::{Options, Redis};
use watch::{LONG, Silencer, Watch, beat, group, put, take};

at_once! {
    a_redis_that_stops_is_named_and_nothing_is_published_until_it_is_back,
    a_start_without_redis_is_healthy_and_degraded_and_goes_on_when_it_comes,
    a_password_that_is_changed_in_the_middle_is_an_error_that_names_the_setting,
    too_many_clients_are_named,
    half_a_reply_is_no_reply,
    a_line_that_falls_silent_is_given_up,
    a_line_that_is_too_slow_is_given_up,
    a_refused_connection_is_tried_again,
    a_replica_is_not_believed_and_the_primary_is_looked_for,
    a_user_who_may_not_write_costs_the_target_for_protect_and_nothing_else,
    settings_that_lose_messages_are_warned_of,
    what_airflow_allows_is_told_at_the_start_and_while_a_task_waits,
    a_key_of_another_program_is_named_and_nothing_is_published,
    a_flush_takes_the_counts_down_and_not_the_held_target,
    a_listening_line_that_falls_silent_is_opened_anew_before_a_worker_is_called_gone,
}

const EMF: [&str; 2] = ["--metrics", "emf"];

/// With a task that waits, so that every zero is a false one.
fn waiting(redis: &Redis) {
    put(redis, "default", "1");
}

fn never_a_zero(watch: &Watch) {
    let lines = watch.emf(WORKERS_TARGET);
    assert!(!lines.is_empty());
    for line in lines {
        assert_ne!(line[WORKERS_TARGET], 0.0, "{line}");
        assert_ne!(line[TASKS_READY], 0.0, "{line}");
    }
}

fn reason(status: &serde_json::Value) -> &str {
    status["reason"].as_str().unwrap_or_default()
}

fn a_redis_that_stops_is_named_and_nothing_is_published_until_it_is_back() {
    let redis = Redis::start();
    waiting(&redis);
    let mut watch = Watch::start(&redis.url(), &EMF, &[]);
    watch.until_watching();
    redis.stop();
    let status = watch.until("it to be blind", |status| status["phase"] == "blind");
    assert_eq!(status["healthy"], true);
    assert_eq!(status["degraded"], true);
    assert_eq!(status["detail"]["broker"], "away");
    assert!(status["detail"]["groups"].is_null(), "{status}");
    assert!(reason(&status).starts_with("broker 127.0.0.1:"), "{status}");
    let published = watch.emf(WORKERS_TARGET).len();
    // Some tries later.
    watch.until("some tries", |status| {
        ["(for 2 s)", "(for 3 s)", "(for 4 s)"]
            .iter()
            .any(|text| reason(status).contains(text))
    });
    assert_eq!(watch.emf(WORKERS_TARGET).len(), published);
    redis.start_again();
    waiting(&redis);
    watch.until_watching();
    let away = watch.events("broker_away");
    assert!((1..=3).contains(&away.len()), "{away:?}");
    assert_eq!(watch.events("broker_back").len(), 1);
    watch.until_event("broker_restarted");
    never_a_zero(&watch);
    assert!(watch.process.is_running());
    assert_eq!(watch.stop(), 0);
}

fn a_start_without_redis_is_healthy_and_degraded_and_goes_on_when_it_comes() {
    let redis = Redis::start();
    waiting(&redis);
    redis.stop();
    let watch = Watch::start(&redis.url(), &EMF, &[]);
    let status = watch.until("it to say so", |status| status["phase"] == "blind");
    assert_eq!(
        (&status["healthy"], &status["degraded"]),
        (&true.into(), &true.into())
    );
    assert!(watch.process.stdout().is_empty());
    redis.start_again();
    waiting(&redis);
    watch.until_watching();
    testkit::until(LONG, "a target", || !watch.emf(WORKERS_TARGET).is_empty());
    never_a_zero(&watch);
    assert_eq!(watch.stop(), 0);
}

fn a_password_that_is_changed_in_the_middle_is_an_error_that_names_the_setting() {
    let redis = Redis::with(&Options::new().password("first"));
    waiting(&redis);
    let url = redis.url().replace("redis://", "redis://:first@");
    let watch = Watch::start(&url, &EMF, &[]);
    watch.until_watching();
    redis.command(&["CONFIG", "SET", "requirepass", "second"]);
    redis.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let event = watch.until_event("broker_refuses");
    assert_eq!(event["level"], "ERROR");
    let why = event["reason"].as_str().unwrap();
    assert!(why.contains("QUEUE_METRICS_BROKER_URL"), "{why}");
    assert!(!watch.process.stderr().contains("first"));
    let status = watch.until("it to be blind", |status| status["phase"] == "blind");
    assert!(!status.to_string().contains("first"), "{status}");
    redis.command(&["CONFIG", "SET", "requirepass", "first"]);
    watch.until_watching();
    never_a_zero(&watch);
}

fn too_many_clients_are_named() {
    let redis = Redis::start();
    waiting(&redis);
    let proxy = Proxy::start(redis.port());
    let url = format!("redis://127.0.0.1:{}/0", proxy.port());
    let watch = Watch::start(&url, &EMF, &[]);
    watch.until_watching();
    // It needs two connections: one to ask, one to listen.
    redis.command(&["CONFIG", "SET", "maxclients", "1"]);
    proxy.cut();
    testkit::until(LONG, "the limit to be named", || {
        let away = watch.events("broker_away");
        away.iter().any(|event| {
            event["reason"]
                .as_str()
                .unwrap()
                .contains("raise its maxclients")
        })
    });
    never_a_zero(&watch);
}

fn a_line_with(fault: Fault) {
    let redis = Redis::start();
    waiting(&redis);
    let proxy = Proxy::start(redis.port());
    let url = format!("redis://127.0.0.1:{}/0", proxy.port());
    let watch = Watch::start(&url, &EMF, &[]);
    watch.until_watching();
    proxy.fault(fault);
    proxy.cut();
    watch.until("it to be blind", |status| status["phase"] == "blind");
    let published = watch.emf(WORKERS_TARGET).len();
    watch.until("some tries", |status| {
        ["(for 2 s)", "(for 3 s)", "(for 4 s)"]
            .iter()
            .any(|text| reason(status).contains(text))
    });
    assert_eq!(watch.emf(WORKERS_TARGET).len(), published);
    proxy.fault(Fault::None);
    proxy.cut();
    watch.until_watching();
    never_a_zero(&watch);
    assert_eq!(watch.stop(), 0);
}

fn half_a_reply_is_no_reply() {
    a_line_with(Fault::CutAfter(700));
}

fn a_line_that_falls_silent_is_given_up() {
    a_line_with(Fault::SilentAfter(700));
}

fn a_line_that_is_too_slow_is_given_up() {
    a_line_with(Fault::Slow(Duration::from_millis(20)));
}

fn a_refused_connection_is_tried_again() {
    a_line_with(Fault::Refuse);
}

fn a_replica_is_not_believed_and_the_primary_is_looked_for() {
    let redis = Redis::start();
    waiting(&redis);
    let watch = Watch::start(&redis.url(), &EMF, &[]);
    watch.until_watching();
    // A failover as its clients see it: the server that they know takes no more writes.
    let nowhere = watch::free_port().to_string();
    redis.command(&["REPLICAOF", "127.0.0.1", &nowhere]);
    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let status = watch.until("the replica to be named", |status| {
        reason(status).contains("READONLY")
    });
    assert!(
        reason(&status).contains("connect to the primary"),
        "{status}"
    );
    assert_eq!(status["phase"], "blind");
    redis.command(&["REPLICAOF", "NO", "ONE"]);
    watch.until_watching();
    never_a_zero(&watch);
}

fn a_user_who_may_not_write_costs_the_target_for_protect_and_nothing_else() {
    let rules = "~* &* -@all +@read +@connection +info +subscribe";
    let redis = Redis::with(&Options::new().user("reader", "secret", rules));
    waiting(&redis);
    let url = redis.url().replace("redis://", "redis://reader:secret@");
    let watch = Watch::start(&url, &EMF, &[]);
    let status = watch.until("the write to be refused", |status| {
        reason(status).contains("NOPERM")
    });
    assert_eq!(status["phase"], "watching");
    testkit::until(LONG, "a target", || !watch.emf(WORKERS_TARGET).is_empty());
    assert_eq!(watch.events("target_not_left").len(), 1);
    never_a_zero(&watch);
}

fn settings_that_lose_messages_are_warned_of() {
    let options = Options::new()
        .line("maxmemory 100mb")
        .line("maxmemory-policy allkeys-lru");
    let redis = Redis::with(&options);
    let watch = Watch::start(&redis.url(), &EMF, &[]);
    let event = watch.until_event("broker_risk");
    assert!(
        event["warning"].as_str().unwrap().contains("noeviction"),
        "{event}"
    );
}

fn what_airflow_allows_is_told_at_the_start_and_while_a_task_waits() {
    let redis = Redis::start();
    waiting(&redis);
    // Nothing is said of a task before the workers were listened to, for 5 s.
    let variables = [
        ("AIRFLOW__CORE__PARALLELISM", "32"),
        ("AIRFLOW__CELERY__TASK_ACKS_LATE", "False"),
        ("AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT", "13.0"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let watch = Watch::start(&redis.url(), &EMF, &variables);
    watch.until_watching();
    let told = watch.events("airflow_settings");
    let warning = |text: &str| {
        let of = |event: &serde_json::Value| event["warning"].as_str().unwrap().contains(text);
        told.iter().filter(|event| of(event)).count()
    };
    assert_eq!(warning("fills 2 of 10"), 1, "{told:?}");
    assert_eq!(warning("task_acks_late=False"), 1, "{told:?}");
    let late = watch.until_event("task_late");
    assert_eq!(
        (&late["setting"], &late["limit_seconds"]),
        (&"task_queued_timeout".into(), &13.into())
    );
    let lost = watch.until_event("task_lost");
    assert_eq!(lost["level"], "ERROR");
    redis.command(&["DEL", "default"]);
    watch.until_event("tasks_in_time");
    assert_eq!(watch.events("task_lost").len(), 1);
}

fn a_key_of_another_program_is_named_and_nothing_is_published() {
    let redis = Redis::start();
    redis.command(&["SET", "default", "text"]);
    let watch = Watch::start(&redis.url(), &EMF, &[]);
    let event = watch.until_event("broker_refuses");
    let why = event["reason"].as_str().unwrap();
    assert!(why.contains("\"default\" is no list"), "{why}");
    watch.until("it to be blind", |status| status["phase"] == "blind");
    assert!(watch.process.stdout().is_empty());
}

fn a_flush_takes_the_counts_down_and_not_the_held_target() {
    let redis = Redis::start();
    waiting(&redis);
    take(&redis, "default", "9");
    let watch = Watch::start(&redis.url(), &EMF, &[]);
    beat(&redis, "celery@a", 1);
    watch.until_watching();
    redis.command(&["FLUSHALL"]);
    let status = watch.until("the flush to be seen", |status| {
        group(status)["waiting"] == 0
    });
    assert_eq!(group(&status)["busy"], 0);
    assert_eq!(group(&status)["workers_target"], 1, "{status}");
    assert_eq!(watch.stop(), 0);
}

fn a_listening_line_that_falls_silent_is_opened_anew_before_a_worker_is_called_gone() {
    let redis = Redis::start();
    take(&redis, "default", "9");
    let silencer = Silencer::start(redis.port());
    let watch = Watch::start(&silencer.url(), &EMF, &[]);
    let beats = || beat(&redis, "celery@a", 1);
    let alive = |status: &serde_json::Value| group(status)["workers_alive"] == 1;
    watch.until("the worker to be heard", |status| {
        beats();
        alive(status)
    });
    silencer.silence();
    let silent = Instant::now();
    let event = testkit::until_some(LONG, "the line to be given up", || {
        beats();
        watch.events("broker_away").into_iter().next()
    });
    assert!(
        event["reason"].as_str().unwrap().contains("no answer"),
        "{event}"
    );
    // Tried only when heartbeats are due, and in time for the first one to be missed.
    assert!(silent.elapsed() > Duration::from_secs(4), "{silent:?}");
    watch.until_event("broker_back");
    watch.until("the worker to be heard again", |status| {
        beats();
        alive(status)
    });
    assert!(watch.events("worker_silent").is_empty());
    assert!(watch.events("orphans").is_empty());
    assert_eq!(watch.stop(), 0);
}
