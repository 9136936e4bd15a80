//! Listings against the in-memory S3: whole and right, or refused.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod source_support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent::exit::Exit;
use s3sync::source::{Kind, Listing, SourceError};
use source_support::{noise, source};
use testkit::s3::{Fault, Operation, PutOptions, Refusal, Rule, Server};

fn keys(listing: &Listing) -> Vec<&str> {
    listing.objects.iter().map(|object| &*object.key).collect()
}

#[tokio::test]
async fn every_page_is_read_and_nothing_but_pages_is_asked_for() {
    let s3 = Server::start().await;
    let expected: Vec<String> = (0..2500)
        .map(|number| format!("team/{number:05}.py"))
        .collect();
    s3.put_all(
        "bucket",
        expected
            .iter()
            .map(|key| (format!("dags/{key}"), key.clone())),
    );
    s3.put("bucket", "dags-old/other.py", "x");
    let listing = source(&s3.endpoint(), "s3://bucket/dags")
        .list()
        .await
        .unwrap();
    assert_eq!(keys(&listing), expected);
    assert_eq!(listing.pages, 3);
    assert_eq!(
        s3.counts().into_iter().collect::<Vec<_>>(),
        [(Operation::List, 3)]
    );
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    assert!(
        (listing.server_time.unwrap() - now).abs() < 5_000,
        "{:?}",
        listing.server_time
    );
}

#[tokio::test]
async fn an_object_is_listed_as_it_was_put() {
    let s3 = Server::start().await;
    let modified = UNIX_EPOCH + Duration::from_secs(1_770_091_506);
    let put = PutOptions {
        last_modified: Some(modified),
        ..PutOptions::default()
    };
    let etag = s3.put_with("bucket", "a.py", "hello", put);
    let archived = PutOptions {
        storage_class: Some("GLACIER".into()),
        ..PutOptions::default()
    };
    s3.put_with("bucket", "b.bin", noise(100, 1), archived.clone());
    s3.put_with(
        "bucket",
        "c.bin",
        noise(100, 1),
        PutOptions {
            restored: true,
            ..archived
        },
    );
    let listing = source(&s3.endpoint(), "s3://bucket").list().await.unwrap();
    let first = &listing.objects[0];
    assert_eq!(
        (&*first.etag, first.size, first.modified),
        (etag.as_str(), 5, 1_770_091_506_000)
    );
    let archived: Vec<_> = listing
        .objects
        .iter()
        .map(|object| object.archived)
        .collect();
    assert_eq!(archived, [false, true, false]);
}

#[tokio::test]
async fn odd_keys_come_back_as_they_were_put() {
    let s3 = Server::start().await;
    let mut odd: Vec<String> = [
        "a b+c%2B%.py",
        "é",
        "e\u{301}",
        "\u{1}\n\r\t\u{7f}",
        "nul\0nul",
        "&amp;<>'\"",
        "../up",
        "a//b",
        "/lead",
        "trail/",
        "日本/語.py",
        "\u{fffe}\u{ffff}",
        "A.py",
        "a.py",
        "?x=y#z",
    ]
    .map(str::to_owned)
    .to_vec();
    odd.push("x".repeat(1019));
    s3.put_all("bucket", odd.iter().map(|key| (format!("d+ ä/{key}"), "x")));
    s3.put("bucket", "d+ ä/", "");
    let listing = source(&s3.endpoint(), "s3://bucket/d+ ä")
        .list()
        .await
        .unwrap();
    odd.sort();
    assert_eq!(keys(&listing), odd);
}

#[tokio::test]
async fn an_approval_is_put_seen_and_never_an_object() {
    let s3 = Server::start().await;
    s3.put("bucket", "dags/a.py", "x");
    let source = source(&s3.endpoint(), "s3://bucket/dags");
    source.approve("0123abcd").await.unwrap();
    assert_eq!(
        s3.get("bucket", "dags/.s3sync/approve/0123abcd").as_deref(),
        Some(&b""[..])
    );
    let listing = source.list().await.unwrap();
    assert_eq!(keys(&listing), ["a.py"]);
    assert_eq!(listing.approvals.len(), 1);
    assert_eq!(listing.approvals[0].id, "0123abcd");
}

/// What each fault at each LIST ends as, and the same once, which a retry must get over.

#[tokio::test]
async fn a_fault_is_got_over_or_named_and_never_a_shorter_listing() {
    let s3 = Server::start().await;
    s3.put_all(
        "bucket",
        (0..1500).map(|number| (format!("dags/{number:04}"), "x")),
    );
    let source = source(&s3.endpoint(), "s3://bucket/dags");
    let whole = source.list().await.unwrap();
    assert_eq!(whole.objects.len(), 1500);
    // The last column: a retry helps where nothing has to change first.
    let cases: Vec<(Fault, &str, Exit, bool)> = vec![
        (Fault::Reset, "Unreachable", Exit::Unavailable, true),
        (
            Fault::ResetAfter(1000),
            "Unreachable",
            Exit::Unavailable,
            true,
        ),
        (Fault::CutAfter(0), "Unreachable", Exit::Unavailable, true),
        (
            Fault::CutAfter(5000),
            "Unreachable",
            Exit::Unavailable,
            true,
        ),
        (Fault::Hang, "Unreachable", Exit::Unavailable, true),
        (
            Fault::HangAfter(1000),
            "Unreachable",
            Exit::Unavailable,
            true,
        ),
        (Fault::TruncatedListing, "Malformed", Exit::Source, true),
        (Fault::ListingWithoutToken, "Malformed", Exit::Source, true),
        (Fault::ListingDropsKeys(1), "Malformed", Exit::Source, true),
        (Fault::WrongLength(-1), "Malformed", Exit::Source, true),
        (Fault::WrongLength(7), "Malformed", Exit::Source, true),
        (
            Refusal::slow_down().into(),
            "Throttled",
            Exit::Unavailable,
            true,
        ),
        (
            Refusal::internal_error().into(),
            "Unreachable",
            Exit::Unavailable,
            true,
        ),
        (
            Refusal::service_unavailable().into(),
            "Unreachable",
            Exit::Unavailable,
            true,
        ),
        (
            Refusal::new(502, "", "").into(),
            "Unreachable",
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
            Refusal::expired_token().into(),
            "CredentialsExpired",
            Exit::Unavailable,
            false,
        ),
        (
            Refusal::expired_token_403().into(),
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
            Refusal::signature_does_not_match().into(),
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
            Refusal::wrong_region("us-east-1", "eu-west-1").into(),
            "WrongRegion",
            Exit::Source,
            false,
        ),
        (
            Refusal::no_such_bucket("bucket").into(),
            "NoBucket",
            Exit::Source,
            false,
        ),
    ];
    for (fault, kind, exit, retried) in cases {
        // At the first page, at the second, and at all of them.
        for rule in [
            Rule::new(fault.clone()),
            Rule::new(fault.clone()).when(testkit::s3::When::From(2)),
        ] {
            s3.faults().replace([rule.on(Operation::List)]);
            let error: SourceError = source.list().await.expect_err(&format!("{fault:?}"));
            assert_eq!(format!("{:?}", error.kind), kind, "{fault:?}: {error}");
            assert_eq!(error.exit(), exit, "{fault:?}: {error}");
            assert!(
                error.to_string().starts_with("s3://bucket/dags/: "),
                "{error}"
            );
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        s3.faults()
            .replace([Rule::new(fault.clone()).on(Operation::List).times(1)]);
        match source.list().await {
            Ok(listing) => assert!(retried && listing.objects == whole.objects, "{fault:?}"),
            Err(error) => assert!(!retried, "{fault:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_went_down_is_unreachable_and_works_again() {
    let s3 = Server::start().await;
    s3.put("bucket", "dags/a.py", "x");
    let source = source(&s3.endpoint(), "s3://bucket/dags");
    assert!(source.list().await.is_ok());
    s3.go_down();
    let error = source.list().await.unwrap_err();
    assert!(
        matches!(error.kind, Kind::Unreachable) && error.transient(),
        "{error:?}"
    );
    s3.come_back();
    assert!(source.list().await.is_ok());
}
