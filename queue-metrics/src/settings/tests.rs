use super::*;
use agent::metrics::Sink;
use agent::settings::{Refusal, parse};
use std::ffi::OsString;

fn read(line: &str, variables: &[(&str, &str)]) -> Result<Command, Refusal> {
    let args = line.split_whitespace().map(OsString::from);
    let environment = Environment::from_pairs(variables.iter().copied());
    parse::<Settings>(PREFIX, args, &environment).map(|parsed| parsed.settings.command)
}

fn watch(line: &str, variables: &[(&str, &str)]) -> Watch {
    match read(&format!("queue-metrics watch {line}"), variables) {
        Ok(Command::Watch(watch)) => *watch,
        other => panic!("{other:?}"),
    }
}

fn airflow(variables: &[(&str, &str)]) -> Result<Airflow, String> {
    Airflow::read(&Environment::from_pairs(variables.iter().copied()))
}

#[test]
fn defaults_are_the_published_ones() {
    let watch = watch("", &[]);
    let policy = watch
        .target
        .policy(&airflow(&[]).expect("valid"))
        .expect("valid");
    assert_eq!((policy.concurrency, policy.min, policy.max), (16, 0, 10));
    assert_eq!(policy.hold, Duration::from_secs(300));
    assert!(policy.acks_late);
    assert_eq!(watch.interval, Duration::from_secs(5));
    assert_eq!(watch.metrics.metrics, Sink::Cloudwatch);
    let groups = watch.queues.groups("queue-metrics").expect("valid");
    assert_eq!(groups.queues().collect::<Vec<_>>(), ["default"]);
    match read("queue-metrics once", &[]) {
        Ok(Command::Once(once)) => {
            assert_eq!(once.metrics.metrics, Sink::None);
            assert_eq!(once.observe, Duration::from_secs(5));
        }
        other => panic!("{other:?}"),
    }
    match read("queue-metrics protect", &[]) {
        Ok(Command::Protect(protect)) => assert_eq!(protect.deny_limit, Duration::from_secs(600)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn airflows_variables_count_where_no_option_says_otherwise() {
    let airflow = airflow(&[
        ("AIRFLOW__CELERY__WORKER_CONCURRENCY", "4"),
        ("AIRFLOW__CELERY__TASK_ACKS_LATE", "False"),
        ("AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT", "1200.0"),
        (
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PRIORITY_STEPS",
            "[0, 5]",
        ),
        ("AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__SEP", ":"),
        (
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX",
            "af-",
        ),
    ])
    .expect("valid");
    assert_eq!(
        (
            airflow.concurrency,
            airflow.acks_late,
            airflow.queued_timeout
        ),
        (4, false, 1_200)
    );
    let plain = watch("", &[]);
    assert_eq!(plain.target.policy(&airflow).expect("valid").concurrency, 4);
    let lists: Vec<String> = plain.broker.keys(&airflow).lists("q").collect();
    assert_eq!(lists, ["af-q", "af-q:5"]);
    let own = watch(
        "--worker-concurrency 8 --priority-steps 0,1 --key-prefix x.",
        &[],
    );
    assert_eq!(own.target.policy(&airflow).expect("valid").concurrency, 8);
    let lists: Vec<String> = own.broker.keys(&airflow).lists("q").collect();
    assert_eq!(lists, ["x.q", "x.q:1"]);
}

#[test]
fn airflows_mistakes_are_named() {
    for (name, value) in [
        ("AIRFLOW__CELERY__WORKER_CONCURRENCY", "many"),
        ("AIRFLOW__CELERY__WORKER_CONCURRENCY", "0"),
        ("AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT", "-1"),
        (
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PRIORITY_STEPS",
            "0,3",
        ),
    ] {
        let why = airflow(&[(name, value)]).expect_err("refused");
        assert!(why.contains(name), "{why}");
    }
}

#[test]
fn the_brokers_url_is_never_shown() {
    let url = "redis://:s3cret@host/0";
    let settings = watch(
        "",
        &[
            ("QUEUE_METRICS_BROKER_URL", url),
            ("QUEUE_METRICS_DATABASE_URL", url),
        ],
    );
    let environment = Environment::from_pairs([("AIRFLOW__CELERY__BROKER_URL", "redis://other/1")]);
    assert_eq!(
        settings.broker.url(&environment).expect("set").expose(),
        url
    );
    assert!(!format!("{settings:?}").contains("s3cret"));
    let airflows = watch("", &[]).broker.url(&environment).expect("set");
    assert_eq!(airflows.expose(), "redis://other/1");
    let none = Environment::from_pairs(Vec::<(String, String)>::new());
    assert!(watch("", &[]).broker.url(&none).is_err());
}

#[test]
fn the_database_is_asked_only_when_it_is_said() {
    let airflows =
        Environment::from_pairs([("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://a/b")]);
    let none = Environment::from_pairs(Vec::<(String, String)>::new());
    assert_eq!(watch("", &[]).witness.url(&airflows), Ok(None));
    let asked = watch("--database", &[]).witness;
    assert_eq!(
        asked
            .url(&airflows)
            .expect("set")
            .map(|url| url.expose().to_owned())
            .as_deref(),
        Some("postgresql://a/b")
    );
    assert!(asked.url(&none).is_err());
    let own = watch("", &[("QUEUE_METRICS_DATABASE_URL", "postgresql://c/d")]).witness;
    assert!(own.url(&none).expect("set").is_some());
}

#[test]
fn groups_come_from_flags_and_from_the_variable() {
    let flags = watch("--queues a,b --group big=x,y --group small=z", &[]).queues;
    let variable = watch(
        "",
        &[
            ("QUEUE_METRICS_QUEUES", "a,b"),
            ("QUEUE_METRICS_GROUP", "big=x,y;small=z"),
        ],
    )
    .queues;
    let expected = flags.groups("workers").expect("valid");
    assert_eq!(expected.iter().count(), 3);
    assert_eq!(variable.groups("workers").expect("valid"), expected);
}

#[test]
fn what_cannot_be_is_refused() {
    for line in [
        "watch --interval 0s",
        "watch --interval 1m",
        "watch --worker-concurrency 0",
        "watch --max-workers 0",
        "watch --group big",
        "watch --priority-steps 0,300",
        "watch --database-url postgresql://a/b",
        "protect --worker nobody",
        "protect --wanted-revision /a/b",
        "simulate",
        "simulate steady --max-workers 0",
    ] {
        let result = read(&format!("queue-metrics {line}"), &[]);
        assert!(
            matches!(result, Err(Refusal::Usage(_))),
            "{line}: {result:?}"
        );
    }
    let policy = watch("--min-workers 11", &[])
        .target
        .policy(&airflow(&[]).expect("valid"));
    assert!(policy.is_err());
}

#[test]
fn every_command_has_help() {
    for command in ["watch", "once", "simulate", "protect"] {
        match read(&format!("queue-metrics {command} --help"), &[]) {
            Err(Refusal::Help(text)) => assert!(text.contains("QUEUE_METRICS_"), "{command}"),
            other => panic!("{command}: {other:?}"),
        }
    }
}
