//! The shim: what the CloudWatch SDK sends reaches moto.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::SystemTime;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit, StatisticSet};
use testkit::cloudwatch::Shim;
use testkit::moto::Moto;

fn client(shim: &Shim) -> Client {
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(shim.endpoint())
        .build();
    Client::from_conf(config)
}

fn datum(name: &str) -> aws_sdk_cloudwatch::types::builders::MetricDatumBuilder {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    MetricDatum::builder()
        .metric_name(name)
        .dimensions(dimension("Environment", "test"))
        .dimensions(dimension("Service", "s3sync"))
        .timestamp(SystemTime::now().into())
}

#[tokio::test]
async fn metrics_of_the_sdk_arrive_at_moto() {
    let moto = Moto::shared();
    let shim = Shim::start(moto.endpoint());
    let statistics = StatisticSet::builder()
        .sample_count(3.0)
        .sum(6.0)
        .minimum(1.0)
        .maximum(3.0)
        .build();
    client(&shim)
        .put_metric_data()
        .namespace("Shim/Plain")
        .metric_data(
            datum("SyncLag")
                .value(1.5)
                .unit(StandardUnit::Seconds)
                .build(),
        )
        .metric_data(
            datum("SyncLag")
                .value(2.5)
                .unit(StandardUnit::Seconds)
                .build(),
        )
        .metric_data(datum("Sizes").statistic_values(statistics).build())
        .send()
        .await
        .unwrap();
    let metrics = moto.metrics("Shim/Plain");
    let lag = metrics
        .iter()
        .find(|metric| metric.name == "SyncLag")
        .unwrap();
    let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        lag.dimensions,
        [text("Environment", "test"), text("Service", "s3sync")]
    );
    assert_eq!(
        (lag.count, lag.sum, lag.minimum, lag.maximum),
        (2.0, 4.0, 1.5, 2.5)
    );
    assert!(
        metrics.iter().any(|metric| metric.name == "Sizes"),
        "{metrics:?}"
    );
}

#[tokio::test]
async fn a_zipped_body_arrives_too() {
    let moto = Moto::shared();
    let shim = Shim::start(moto.endpoint());
    // 200 metrics are beyond the 10 KiB from which the SDK zips.
    let data = (0..200).map(|index| datum(&format!("Metric{index:03}")).value(1.0).build());
    let put = client(&shim).put_metric_data().namespace("Shim/Zipped");
    put.set_metric_data(Some(data.collect()))
        .send()
        .await
        .unwrap();
    let names: Vec<String> = moto.json(
        "import boto3, json; print(json.dumps([m['MetricName'] for p in boto3.client('cloudwatch')\
         .get_paginator('list_metrics').paginate(Namespace='Shim/Zipped') for m in p['Metrics']]))",
        &[],
    );
    assert_eq!(names.len(), 200);
}

#[tokio::test]
async fn a_refusal_of_moto_reaches_the_sdk() {
    let moto = Moto::shared();
    let shim = Shim::start(moto.endpoint());
    let error = client(&shim)
        .put_metric_data()
        .namespace("Shim/Wrong")
        .metric_data(datum("Wrong").value(1.0).values(2.0).build())
        .send()
        .await
        .unwrap_err();
    assert!(error.as_service_error().is_some(), "{error:?}");
    assert!(moto.metrics("Shim/Wrong").is_empty());
}

#[test]
fn other_requests_pass_through() {
    let moto = Moto::shared();
    let shim = Shim::start(moto.endpoint());
    moto.create_bucket("passed-through");
    moto.put("passed-through", "a key", b"x");
    assert_eq!(moto.keys("passed-through", "a"), ["a key"]);
    let url = format!("{}/passed-through/a%20key", shim.endpoint());
    let credentials = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                       SignedHeaders=host, Signature=0";
    let answer = testkit::http::request("GET", &url, &[("authorization", credentials)], b"");
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "x"));
}
