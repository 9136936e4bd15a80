//! Metrics as their sinks get them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::exit,
    reason = "a test may panic, and a role speaks on stdout"
)]

mod common;

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent::metrics::{Metric, Metrics, MetricsSettings, Publication, Sink, Unit};
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use ciborium::Value;
use common::{Answer, DEADLINE, Played, Request, Server, json_lines, play, plays};
use serde_json::json;
use testkit::cloudwatch::Shim;
use testkit::moto::Moto;

const LAG: &str = "SyncLag";

fn settings(metrics: Sink) -> MetricsSettings {
    MetricsSettings {
        metrics,
        namespace: "Trimtab".to_owned(),
        environment: "prod".to_owned(),
        service: "s3sync".to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
    }
}

fn lag(value: f64) -> [Metric; 1] {
    [Metric {
        name: LAG,
        unit: Unit::Seconds,
        value,
    }]
}

/// An SDK that tries each call once and talks to `url`.
fn sdk(url: &str) -> SdkConfig {
    let credentials = Credentials::new("key", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-north-1"))
        .endpoint_url(url)
        .retry_config(RetryConfig::disabled())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
        .build()
}

#[test]
#[ignore = "a role"]
fn role_publishes() {
    if !plays("role_publishes") {
        return;
    }
    let metrics = Metrics::start(&settings(Sink::Emf), None).unwrap();
    metrics.publish(&lag(1.5));
    metrics.publish(&[Metric {
        name: LAG,
        unit: Unit::Seconds,
        value: f64::NAN,
    }]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(metrics.flush(DEADLINE));
}

#[test]
#[ignore = "a role"]
fn role_floods() {
    if !plays("role_floods") {
        return;
    }
    let metrics = Metrics::start(&settings(Sink::Emf), None).unwrap();
    for _ in 0..20_000 {
        metrics.publish(&lag(1.5));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let began = Instant::now();
    runtime.block_on(metrics.flush(Duration::from_millis(200)));
    eprintln!(
        "{}",
        json!({"dropped": agent::logs::Logs::dropped(), "flushed": began.elapsed().as_secs_f64()})
    );
}

#[test]
fn emf_is_lines_on_stdout_with_the_exact_dimensions() {
    let output = play("role_publishes").output().unwrap();
    let lines = json_lines(&output.stdout);
    assert_eq!(
        lines.len(),
        2,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let declared = &lines[0]["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(declared["Dimensions"], json!([["Environment", "Service"]]));
    assert_eq!(declared["Namespace"], json!("Trimtab"));
    assert_eq!(
        (&lines[0][LAG], &lines[0]["LogsDropped"]),
        (&json!(1.5), &json!(0.0))
    );
    // What is no number is left out, and the rest is published.
    let declared = &lines[1]["_aws"]["CloudWatchMetrics"][0]["Metrics"];
    assert_eq!(declared, &json!([{"Name": "LogsDropped", "Unit": "Count"}]));
    assert!(lines[1].get(LAG).is_none());
}

#[test]
fn a_stalled_stdout_holds_up_nothing_and_is_counted() {
    let mut child = Played::start(&mut play("role_floods"));
    // The pipe is kept open and not read.
    let _stdout = child.0.stdout.take().unwrap();
    let mut stderr = Vec::new();
    child
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_end(&mut stderr)
        .unwrap();
    assert!(child.end().success());
    let told = &json_lines(&stderr)[0];
    assert!(told["dropped"].as_u64().unwrap() > 10_000, "{told}");
    assert!(told["flushed"].as_f64().unwrap() < 2.0, "{told}");
}

#[test]
fn prometheus_without_a_runtime_and_a_cloudwatch_without_aws_are_refused() {
    let error = Metrics::start(&settings(Sink::Prometheus), None).unwrap_err();
    // Without the feature it is not served at all, with it not without a runtime.
    assert!(error.starts_with("--metrics prometheus"), "{error}");
    let error = Metrics::start(&settings(Sink::Cloudwatch), None).unwrap_err();
    assert!(
        error.starts_with("--metrics cloudwatch needs AWS"),
        "{error}"
    );
}

#[tokio::test]
async fn cloudwatch_gets_one_request_a_publication_with_the_exact_dimensions() {
    let server = Server::start(|_| Answer::cbor_done());
    let metrics = Metrics::start(&settings(Sink::Cloudwatch), Some(&sdk(&server.url()))).unwrap();
    let ready = [Metric {
        name: "QueueReady",
        unit: Unit::Count,
        value: 4.0,
    }];
    metrics.send(
        Publication::new()
            .about(metrics.service(None), &lag(2.5))
            .about(metrics.queue("default"), &ready),
    );
    metrics.flush(DEADLINE).await;
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        seen[0].line,
        "POST /service/GraniteServiceVersion20100801/operation/PutMetricData"
    );
    let service = vec![
        ("Environment".to_owned(), "prod".to_owned()),
        ("Service".to_owned(), "s3sync".to_owned()),
    ];
    let queue = vec![
        ("Environment".to_owned(), "prod".to_owned()),
        ("Queue".to_owned(), "default".to_owned()),
    ];
    let expected = [
        (LAG.to_owned(), 2.5, "Seconds".to_owned(), service.clone()),
        ("LogsDropped".to_owned(), 0.0, "Count".to_owned(), service),
        ("QueueReady".to_owned(), 4.0, "Count".to_owned(), queue),
    ];
    assert_eq!(data(&seen[0]), expected);
}

#[test]
fn another_cloudwatch_sees_the_exact_dimensions() {
    let moto = Moto::shared();
    let shim = Shim::start(moto.endpoint());
    let settings = MetricsSettings {
        namespace: "AgentMetrics".to_owned(),
        ..settings(Sink::Cloudwatch)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let metrics = Metrics::start(&settings, Some(&sdk(&shim.endpoint()))).unwrap();
        let ready = [Metric {
            name: "QueueReady",
            unit: Unit::Count,
            value: 4.0,
        }];
        metrics.send(
            Publication::new()
                .about(metrics.service(None), &lag(2.5))
                .about(metrics.queue("default"), &ready),
        );
        metrics.flush(DEADLINE).await;
    });
    let dimension = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let seen: Vec<_> = moto
        .metrics("AgentMetrics")
        .into_iter()
        .map(|seen| (seen.name, seen.sum, seen.dimensions))
        .collect();
    let service = vec![
        dimension("Environment", "prod"),
        dimension("Service", "s3sync"),
    ];
    let queue = vec![
        dimension("Environment", "prod"),
        dimension("Queue", "default"),
    ];
    let expected = [
        ("LogsDropped".to_owned(), 0.0, service.clone()),
        ("QueueReady".to_owned(), 4.0, queue),
        (LAG.to_owned(), 2.5, service),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_is_live_is_kept_by_the_second_and_tells_its_age() {
    let server = Server::start(|_| Answer::cbor_done());
    let metrics = Metrics::start(&settings(Sink::Cloudwatch), Some(&sdk(&server.url()))).unwrap();
    let live = Publication::new().live("SampleAge");
    metrics.send(live.about(metrics.service(Some("big")), &lag(2.5)));
    metrics.flush(DEADLINE).await;
    let request = &server.seen()[0];
    let names: Vec<String> = data(request).into_iter().map(|datum| datum.0).collect();
    assert_eq!(names, [LAG, "LogsDropped", "SampleAge"]);
    let body: Value = ciborium::from_reader(request.body.as_slice()).unwrap();
    for datum in field(&body, "MetricData").as_array().unwrap() {
        let resolution = field(datum, "StorageResolution").as_integer().unwrap();
        assert_eq!(i128::from(resolution), 1);
    }
    assert!(metrics.deliveries().borrow().accepted.is_some());
}

#[tokio::test]
async fn what_was_withdrawn_does_not_go_out() {
    let server = Server::start(|_| Answer::cbor_done());
    let metrics = Metrics::start(&settings(Sink::Cloudwatch), Some(&sdk(&server.url()))).unwrap();
    metrics.publish(&lag(1.0));
    metrics.withdraw();
    metrics.flush(DEADLINE).await;
    metrics.publish(&lag(2.0));
    metrics.flush(DEADLINE).await;
    let values: Vec<f64> = server.seen().iter().map(|put| data(put)[0].1).collect();
    assert_eq!(values, [2.0]);
}

#[tokio::test]
async fn while_puts_fail_only_the_newest_publication_is_kept() {
    let failing = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&failing);
    let server = Server::start(move |_| match fails.load(Ordering::SeqCst) {
        true => Answer::error(500),
        false => Answer::cbor_done(),
    });
    let metrics = Metrics::start(&settings(Sink::Cloudwatch), Some(&sdk(&server.url()))).unwrap();
    metrics.publish(&lag(1.0));
    let seen_first = async {
        while server.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, seen_first)
        .await
        .expect("a put");
    metrics.publish(&lag(2.0));
    metrics.publish(&lag(3.0));
    failing.store(false, Ordering::SeqCst);
    // At the end nobody waits for the backoff.
    let began = Instant::now();
    metrics.flush(DEADLINE).await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    let seen = server.seen();
    assert_eq!(
        seen.iter()
            .map(|request| data(request)[0].1)
            .collect::<Vec<_>>(),
        [1.0, 3.0]
    );
}

#[tokio::test]
async fn a_silent_cloudwatch_does_not_hold_up_the_end() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let metrics = Metrics::start(&settings(Sink::Cloudwatch), Some(&sdk(&url))).unwrap();
    metrics.publish(&lag(1.0));
    let began = Instant::now();
    metrics.flush(Duration::from_millis(200)).await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

type Datum = (String, f64, String, Vec<(String, String)>);

/// Name, value, unit and dimensions of each metric in a request.
fn data(request: &Request) -> Vec<Datum> {
    let body: Value = ciborium::from_reader(request.body.as_slice()).unwrap();
    let list = field(&body, "MetricData").as_array().unwrap().clone();
    let datum = |datum: &Value| {
        let dimensions = field(datum, "Dimensions").as_array().unwrap().iter();
        let dimensions =
            dimensions.map(|dimension| (text(dimension, "Name"), text(dimension, "Value")));
        (
            text(datum, "MetricName"),
            field(datum, "Value").as_float().unwrap(),
            text(datum, "Unit"),
            dimensions.collect(),
        )
    };
    list.iter().map(datum).collect()
}

fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    let map = value.as_map().unwrap();
    let found = map.iter().find(|(key, _)| key.as_text() == Some(name));
    &found.unwrap_or_else(|| panic!("no {name} in {value:?}")).1
}

fn text(value: &Value, name: &str) -> String {
    field(value, name).as_text().unwrap().to_owned()
}
