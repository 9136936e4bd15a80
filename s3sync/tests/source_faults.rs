//! Fetches against the in-memory S3 while something goes wrong: got over, or named, and never a wrong
//! byte.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod source_support;

use std::sync::Arc;
use std::time::Duration;

use agent::exit::Exit;
use s3sync::source::{Kind, Options};
use source_support::{
    Canned, OPTIONS, PART, STALL, Tally, fetch, noise, object, opener, source, source_with, until,
};
use testkit::s3::{Fault, Operation, Refusal, Rule, Server};

#[tokio::test]
async fn a_destination_that_fails_ends_the_fetch_and_its_requests() {
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/");
    for size in [100, 50 * PART as usize] {
        s3.put("bucket", "x", noise(size, 1));
        let object = object(&source, "x").await;
        s3.reset_requests();
        let tally = Arc::new(Tally::default());
        let error = source
            .fetch(&object, opener(&tally, Some(50)))
            .await
            .unwrap_err();
        assert!(
            matches!(&error.kind, Kind::Destination(cause) if cause.kind() == std::io::ErrorKind::StorageFull),
            "{error:?}"
        );
        assert_eq!(error.exit(), Exit::Destination);
        assert!(error.message.starts_with("s3://bucket/x: "), "{error}");
        assert_eq!(tally.finished(), 0);
        until("the sink is dropped", || tally.open() == 0).await;
        assert!(s3.count(Operation::Get) < 20, "{:?}", s3.counts());
        let error = source.fetch(&object, || {
            Err::<source_support::Memory, _>(std::io::ErrorKind::ReadOnlyFilesystem.into())
        });
        assert!(matches!(
            error.await.unwrap_err().kind,
            Kind::Destination(_)
        ));
    }
}

/// What a fault at each request of a fetch ends as; once, it is got over.
#[tokio::test]
async fn a_fault_is_got_over_or_named_and_never_a_wrong_byte() {
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/");
    let unreachable = || "Unreachable";
    let faults: Vec<(Fault, &str, Exit, bool)> = vec![
        (Fault::Reset, unreachable(), Exit::Unavailable, true),
        (Fault::ResetAfter(3), unreachable(), Exit::Unavailable, true),
        (Fault::CutAfter(0), unreachable(), Exit::Unavailable, true),
        (Fault::CutAfter(4), unreachable(), Exit::Unavailable, true),
        (Fault::Hang, unreachable(), Exit::Unavailable, true),
        (Fault::HangAfter(4), unreachable(), Exit::Unavailable, true),
        (Fault::FlipByte(3), "Corrupt", Exit::Source, true),
        (Fault::WrongLength(-1), "Corrupt", Exit::Source, true),
        (Fault::WrongLength(1), "Corrupt", Exit::Source, true),
        (
            Fault::Substitute {
                key: "other".into(),
            },
            "Corrupt",
            Exit::Source,
            true,
        ),
        (
            Refusal::slow_down().into(),
            "Throttled",
            Exit::Unavailable,
            true,
        ),
        (
            Refusal::internal_error().into(),
            unreachable(),
            Exit::Unavailable,
            true,
        ),
        (
            Refusal::access_denied().into(),
            "Denied",
            Exit::Permission,
            false,
        ),
        (
            Refusal::kms_access_denied().into(),
            "KmsDenied",
            Exit::Permission,
            false,
        ),
        (
            Refusal::kms_throttling().into(),
            "KmsThrottled",
            Exit::Unavailable,
            true,
        ),
        (
            Refusal::expired_token().into(),
            "CredentialsExpired",
            Exit::Unavailable,
            false,
        ),
        (
            Refusal::invalid_access_key().into(),
            "NoCredentials",
            Exit::Permission,
            false,
        ),
        (
            Refusal::time_too_skewed().into(),
            "ClockOff",
            Exit::Permission,
            false,
        ),
        (
            Refusal::permanent_redirect("bucket", "eu-west-1").into(),
            "WrongRegion",
            Exit::Source,
            false,
        ),
        (
            Refusal::invalid_object_state("GLACIER").into(),
            "Archived",
            Exit::Source,
            false,
        ),
        (
            Refusal::no_such_bucket("bucket").into(),
            "NoBucket",
            Exit::Source,
            false,
        ),
        (
            Refusal::no_such_key("x").into(),
            "Gone",
            Exit::Unavailable,
            false,
        ),
        (
            Refusal::precondition_failed("If-Match").into(),
            "Changed",
            Exit::Unavailable,
            false,
        ),
    ];
    for size in [1000, 3 * PART as usize + 10] {
        let bytes = noise(size, 3);
        s3.put("bucket", "x", bytes.clone());
        s3.put("bucket", "other", noise(size, 4));
        let object = object(&source, "x").await;
        for (fault, kind, exit, retried) in &faults {
            s3.faults()
                .replace([Rule::new(fault.clone()).on(Operation::Get)]);
            let error = fetch(&source, &object)
                .await
                .expect_err(&format!("{fault:?} at {size}"));
            assert_eq!(
                format!("{:?}", error.kind),
                *kind,
                "{fault:?} at {size}: {error}"
            );
            assert_eq!(error.exit(), *exit, "{fault:?}: {error}");
            assert!(
                error.message.starts_with("s3://bucket/x: ") && !error.message.contains('\n'),
                "{error}"
            );
            for nth in [1, 3] {
                if nth > 1 && size == 1000 {
                    continue;
                }
                let id = s3
                    .faults()
                    .replace([Rule::new(fault.clone()).on(Operation::Get).nth(nth)])[0];
                match fetch(&source, &object).await {
                    Ok(fetched) => {
                        assert!(*retried && fetched.done == bytes, "{fault:?} at {size}")
                    }
                    Err(error) => assert!(!*retried, "{fault:?} at {size}: {error}"),
                }
                assert_eq!(s3.faults().acted(id), 1, "{fault:?} at {size} never acted");
            }
        }
    }
}

/// Answers to HEAD have no body: what can be told is told by status and headers.
#[tokio::test]
async fn a_fault_of_a_head_is_got_over_or_named() {
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/");
    let bytes = noise(3 * PART as usize, 3);
    s3.put("bucket", "x", bytes.clone());
    let object = object(&source, "x").await;
    let faults: Vec<(Fault, &str, bool)> = vec![
        (Fault::Reset, "Unreachable", true),
        (Fault::Hang, "Unreachable", true),
        (Refusal::slow_down().into(), "Throttled", true),
        (Refusal::internal_error().into(), "Unreachable", true),
        (Refusal::access_denied().into(), "Denied", false),
        (Refusal::kms_access_denied().into(), "Denied", false),
        (Refusal::expired_token().into(), "CredentialsExpired", false),
        (
            Refusal::permanent_redirect("bucket", "eu-west-1").into(),
            "WrongRegion",
            false,
        ),
        (Refusal::no_such_key("x").into(), "Gone", false),
        (
            Refusal::precondition_failed("If-Match").into(),
            "Changed",
            false,
        ),
    ];
    for (fault, kind, retried) in faults {
        s3.faults()
            .replace([Rule::new(fault.clone()).on(Operation::Head)]);
        let error = fetch(&source, &object)
            .await
            .expect_err(&format!("{fault:?}"));
        assert_eq!(format!("{:?}", error.kind), kind, "{fault:?}: {error}");
        s3.faults()
            .replace([Rule::new(fault.clone()).on(Operation::Head).times(1)]);
        match fetch(&source, &object).await {
            Ok(fetched) => assert!(retried && fetched.done == bytes, "{fault:?}"),
            Err(error) => assert!(!retried, "{fault:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_body_that_goes_on_slowly_is_waited_for() {
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/");
    s3.put("bucket", "x", noise(PART as usize, 3));
    let object = object(&source, "x").await;
    let slow = Fault::Slow {
        before: Duration::ZERO,
        bytes_per_second: PART / 2,
    };
    s3.faults().replace([Rule::new(slow).on(Operation::Get)]);
    let started = std::time::Instant::now();
    fetch(&source, &object).await.unwrap();
    assert!(started.elapsed() > STALL, "the rule did not act");
}

#[tokio::test]
async fn a_part_whose_connection_breaks_goes_on_where_it_stopped() {
    let s3 = Server::start().await;
    let options = Options {
        part_size: 256 * 1024,
        ..OPTIONS
    };
    let source = source_with(&s3.endpoint(), "s3://bucket/", options);
    let bytes = noise(1024 * 1024, 3);
    s3.put("bucket", "x", bytes.clone());
    let object = object(&source, "x").await;
    // Every answer is cut after 100 KiB: with no memory of what came, no part would ever end.
    s3.faults()
        .replace([Rule::new(Fault::CutAfter(100 * 1024)).on(Operation::Get)]);
    let fetched = fetch(&source, &object).await.unwrap();
    assert!(fetched.done == bytes);
}

#[tokio::test]
async fn a_store_that_ignores_if_match_or_ranges_is_caught() {
    let old = s3sync::source::Object {
        key: "x".into(),
        etag: "old".into(),
        size: 3,
        modified: 0,
        archived: false,
    };
    let other = Canned::answer("200 OK", "ETag: \"new\"\r\n", "abc");
    let server = Canned::start(vec![other]).await;
    let error = fetch(&source(&server.endpoint, "s3://bucket/"), &old)
        .await
        .unwrap_err();
    assert!(matches!(error.kind, Kind::Changed), "{error:?}");
    let head =
        "HTTP/1.1 200 OK\r\nContent-Length: 40000\r\nConnection: close\r\nETag: \"old\"\r\n\r\n"
            .to_owned();
    let whole = Canned::answer("200 OK", "ETag: \"old\"\r\n", &"x".repeat(40000));
    let server = Canned::start(vec![head, whole]).await;
    let large = s3sync::source::Object { size: 40000, ..old };
    let error = fetch(&source(&server.endpoint, "s3://bucket/"), &large)
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind, Kind::Corrupt) && error.message.contains("no range"),
        "{error:?}"
    );
}
