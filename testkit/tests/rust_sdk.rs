//! The Rust SDK against the fast server: it verifies what it reads by the checksums it is given.

#![allow(clippy::unwrap_used, reason = "tests")]

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType, EncodingType};
use testkit::s3::{Fault, Operation, Refusal, Rule, Server};

fn client(s3: &Server) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(s3.endpoint())
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

#[tokio::test]
async fn uploads_with_trailing_checksums_are_read_back_verified() {
    let s3 = Server::start().await;
    s3.create_bucket("bucket");
    let client = client(&s3);
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha256,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, vec![7; 100_000]).unwrap();
        // A body from a file is streamed, so its checksum can only follow it.
        let body = ByteStream::from_path(&file).await.unwrap();
        client
            .put_object()
            .bucket("bucket")
            .key("key")
            .checksum_algorithm(algorithm.clone())
            .body(body)
            .send()
            .await
            .unwrap();
        let get = client
            .get_object()
            .bucket("bucket")
            .key("key")
            .checksum_mode(ChecksumMode::Enabled);
        let answer = get.send().await.unwrap();
        assert_eq!(answer.checksum_type(), Some(&ChecksumType::FullObject));
        assert_eq!(
            answer.body.collect().await.unwrap().to_vec(),
            vec![7; 100_000]
        );
        s3.faults()
            .add(Rule::new(Fault::FlipByte(50_000)).on(Operation::Get));
        let get = client
            .get_object()
            .bucket("bucket")
            .key("key")
            .checksum_mode(ChecksumMode::Enabled);
        let flipped = get.send().await.unwrap().body.collect().await;
        assert!(flipped.is_err(), "{algorithm:?}");
        s3.faults().clear();
    }
}

#[tokio::test]
async fn listings_refusals_and_conditions_are_understood() {
    let s3 = Server::start().await;
    s3.put_all(
        "bucket",
        (0..1500).map(|index| (format!("a b+{index}"), "x")),
    );
    let client = client(&s3);
    let mut pages = client
        .list_objects_v2()
        .bucket("bucket")
        .encoding_type(EncodingType::Url)
        .into_paginator()
        .send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(
            page.contents()
                .iter()
                .all(|object| object.key().unwrap().starts_with("a+b%2B"))
        );
        assert!(
            page.contents()
                .iter()
                .all(|object| object.e_tag().unwrap().len() == 34)
        );
        count += page.contents().len();
    }
    assert_eq!(count, 1500);
    let another = client
        .get_object()
        .bucket("bucket")
        .key("a b+1")
        .if_match("\"0123\"")
        .send()
        .await;
    assert_eq!(another.unwrap_err().code(), Some("PreconditionFailed"));
    for (refusal, code) in [
        (Refusal::slow_down(), "SlowDown"),
        (Refusal::expired_token(), "ExpiredToken"),
        (
            Refusal::permanent_redirect("bucket", "eu-west-1"),
            "PermanentRedirect",
        ),
    ] {
        s3.faults().replace([Rule::new(refusal)]);
        let error = client
            .list_objects_v2()
            .bucket("bucket")
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(code));
    }
}

/// S3's XML says how many keys there are before it names them, and the SDK does not mind that the
/// XML stops: only the number gives such a page away.
#[tokio::test]
async fn the_sdk_takes_half_a_listing_for_a_page_whose_key_count_is_wrong() {
    let s3 = Server::start().await;
    s3.put_all(
        "bucket",
        (0..1500).map(|index| (format!("key{index}"), "x")),
    );
    s3.faults().add(Rule::new(Fault::TruncatedListing));
    let page = client(&s3)
        .list_objects_v2()
        .bucket("bucket")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (page.key_count(), page.is_truncated()),
        (Some(1000), Some(true))
    );
    assert!(page.next_continuation_token().is_some());
    assert!(
        (1..1000).contains(&page.contents().len()),
        "{}",
        page.contents().len()
    );
}
