//! Fetches against the in-memory S3: every kind of proof, in one GET and in parts.

mod source_support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agent::exit::Exit;
use s3sync::source::{Kind, Options, Proof};
use source_support::{
    Canned, OPTIONS, PART, STALL, Tally, fetch, noise, object, opener, source, source_with, until,
};
use testkit::s3::{
    ChecksumChoice, ChecksumType, Fault, Operation, PutOptions, Refusal, Rule, Server, Sse,
};

/// One GET; a whole number of parts; more than one part and some.
const SIZES: [usize; 5] = [
    0,
    5,
    PART as usize,
    2 * PART as usize,
    5 * PART as usize + 77,
];

#[tokio::test]
async fn every_object_comes_whole_with_the_strongest_proof_there_is() {
    use ChecksumChoice::{Crc32, Crc32c, Crc64Nvme, Default, None, Sha1, Sha256};
    let plain = |checksum, sse| PutOptions {
        checksum,
        sse,
        ..PutOptions::default()
    };
    let multipart = |checksum, kind| PutOptions {
        checksum,
        checksum_type: kind,
        ..PutOptions::default()
    };
    let cases = [
        (
            plain(Default, Sse::None),
            false,
            Proof::Checksum("CRC64NVME"),
        ),
        (
            plain(Crc64Nvme, Sse::Kms),
            false,
            Proof::Checksum("CRC64NVME"),
        ),
        (plain(Crc32, Sse::None), false, Proof::Checksum("CRC32")),
        (plain(Crc32c, Sse::None), false, Proof::Checksum("CRC32C")),
        (plain(Sha1, Sse::None), false, Proof::Checksum("SHA1")),
        (plain(Sha256, Sse::None), false, Proof::Checksum("SHA256")),
        (plain(None, Sse::None), false, Proof::Md5Etag),
        (plain(None, Sse::Kms), false, Proof::LengthOnly),
        (
            PutOptions {
                etag: Some("opaque".into()),
                ..plain(None, Sse::None)
            },
            false,
            Proof::LengthOnly,
        ),
        (
            multipart(Crc64Nvme, Some(ChecksumType::FullObject)),
            true,
            Proof::Checksum("CRC64NVME"),
        ),
        (
            multipart(Crc32, Some(ChecksumType::FullObject)),
            true,
            Proof::Checksum("CRC32"),
        ),
        (
            multipart(Crc32, Some(ChecksumType::Composite)),
            true,
            Proof::Checksum("CRC32"),
        ),
        (
            multipart(Crc32c, Some(ChecksumType::Composite)),
            true,
            Proof::Checksum("CRC32C"),
        ),
        (
            multipart(Sha1, Some(ChecksumType::Composite)),
            true,
            Proof::Checksum("SHA1"),
        ),
        (
            multipart(Sha256, Some(ChecksumType::Composite)),
            true,
            Proof::Checksum("SHA256"),
        ),
        (multipart(None, Option::None), true, Proof::MultipartEtag),
        (
            PutOptions {
                sse: Sse::Kms,
                ..multipart(None, Option::None)
            },
            true,
            Proof::LengthOnly,
        ),
        (
            PutOptions {
                sse: Sse::Kms,
                ..multipart(Sha256, Some(ChecksumType::Composite))
            },
            true,
            Proof::Checksum("SHA256"),
        ),
    ];
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/d");
    for (options, multipart, proof) in cases {
        for size in SIZES {
            let bytes = noise(size, size as u64);
            // One part, even parts, parts of any length, and parts that only look even.
            let uploads: Vec<Option<Vec<usize>>> = match (multipart, size) {
                (false, _) => vec![None]
                    .into_iter()
                    .map(|_: ChecksumChoice| Option::None)
                    .collect(),
                (true, 0..100) => vec![Some(vec![size])],
                (true, _) => {
                    let fifth = size / 5;
                    vec![
                        Some(vec![size]),
                        Some(vec![fifth + 1; 4]),
                        Some(vec![fifth, 1, 2 * fifth]),
                        Some(vec![2 * fifth, fifth]),
                    ]
                }
            };
            for parts in uploads {
                let put = PutOptions {
                    parts: parts.clone(),
                    ..options.clone()
                };
                s3.put_with("bucket", "d/x.bin", bytes.clone(), put);
                let object = object(&source, "x.bin").await;
                let fetched = fetch(&source, &object)
                    .await
                    .unwrap_or_else(|error| panic!("{proof:?} {size} {parts:?}: {error}"));
                assert_eq!(fetched.proof, proof, "{size} {parts:?}");
                assert!(fetched.done == bytes, "{proof:?} {size} {parts:?}");
                let stored = source.stored_checksum(&object).await.unwrap();
                assert_eq!(
                    stored.is_some(),
                    proof != Proof::LengthOnly,
                    "{proof:?} {size} {parts:?}"
                );
                if let Some(stored) = stored {
                    let mut verifier = stored.verifier();
                    verifier.update(&bytes);
                    assert_eq!(verifier.finish(), Ok(proof), "{size} {parts:?}");
                    assert!(size == 0 || stored.verifier().finish().is_err());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_small_object_costs_one_get_and_a_large_one_a_head_and_its_parts() {
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/");
    for (size, expected) in [
        (PART as usize, vec![(Operation::Get, 1)]),
        (
            3 * PART as usize + 1,
            vec![(Operation::Get, 4), (Operation::Head, 1)],
        ),
    ] {
        s3.put("bucket", "x", noise(size, 1));
        let object = object(&source, "x").await;
        s3.reset_requests();
        fetch(&source, &object).await.unwrap();
        let mut counts: Vec<_> = s3.counts().into_iter().collect();
        counts.sort_by_key(|(operation, _)| *operation != Operation::Get);
        assert_eq!(counts, expected);
    }
}

#[tokio::test]
async fn no_checksum_is_asked_for_when_the_store_does_not_bear_it() {
    let options = Options {
        checksum_when_required: true,
        ..OPTIONS
    };
    let s3 = Server::start().await;
    let source = source_with(&s3.endpoint(), "s3://bucket/", options);
    for size in SIZES {
        s3.put("bucket", "x", noise(size, 1));
        let fetched = fetch(&source, &object(&source, "x").await).await.unwrap();
        assert_eq!(fetched.proof, Proof::Md5Etag);
    }
    let server = Canned::start(vec![Canned::answer("404 Not Found", "", "")]).await;
    let asked = s3sync::source::Object {
        key: "x".into(),
        etag: "e".into(),
        size: 1,
        modified: 0,
        archived: false,
    };
    for (when_required, expected) in [(true, 0), (false, 2)] {
        let source = source_with(
            &server.endpoint,
            "s3://bucket/",
            Options {
                checksum_when_required: when_required,
                ..OPTIONS
            },
        );
        server.heads.lock().unwrap().clear();
        let _ = fetch(&source, &asked).await;
        let _ = source.stored_checksum(&asked).await;
        let heads = server.heads.lock().unwrap();
        assert_eq!(heads.len(), 2);
        assert!(
            heads
                .iter()
                .all(|head| head.to_ascii_lowercase().contains("if-match: \"e\"")),
            "{heads:?}"
        );
        let asking = heads
            .iter()
            .filter(|head| {
                head.to_ascii_lowercase()
                    .contains("x-amz-checksum-mode: enabled")
            })
            .count();
        assert_eq!(asking, expected, "{heads:?}");
    }
}

#[tokio::test]
async fn a_version_put_since_the_listing_is_never_mixed_in() {
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/");
    for size in SIZES {
        s3.put("bucket", "x", noise(size, 1));
        let object = object(&source, "x").await;
        s3.put("bucket", "x", noise(size + 1, 2));
        let error = fetch(&source, &object).await.unwrap_err();
        assert!(matches!(error.kind, Kind::Changed), "{error:?}");
        assert!(matches!(
            source.stored_checksum(&object).await.unwrap_err().kind,
            Kind::Changed
        ));
        s3.delete("bucket", "x");
        let error = fetch(&source, &object).await.unwrap_err();
        assert!(matches!(error.kind, Kind::Gone), "{error:?}");
    }
}

#[tokio::test]
async fn a_version_put_between_two_parts_is_seen() {
    let s3 = Server::start().await;
    let options = Options {
        concurrency: 1,
        ..OPTIONS
    };
    let source = source_with(&s3.endpoint(), "s3://bucket/", options);
    s3.put("bucket", "x", noise(8 * PART as usize, 1));
    let object = object(&source, "x").await;
    s3.reset_requests();
    s3.delay(Operation::Get, Duration::from_millis(50));
    let fetched = tokio::spawn(async move { fetch(&source, &object).await });
    until("some parts came", || s3.count(Operation::Get) >= 2).await;
    s3.put("bucket", "x", noise(8 * PART as usize, 2));
    let error = fetched.await.unwrap().unwrap_err();
    assert!(matches!(error.kind, Kind::Changed), "{error:?}");
}

#[tokio::test]
async fn an_archived_object_is_named_without_a_request() {
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/");
    let archived = PutOptions {
        storage_class: Some("DEEP_ARCHIVE".into()),
        ..PutOptions::default()
    };
    s3.put_with("bucket", "x", "x", archived);
    let mut object = object(&source, "x").await;
    s3.reset_requests();
    let error = fetch(&source, &object).await.unwrap_err();
    assert!(
        matches!(error.kind, Kind::Archived) && error.exit() == Exit::Source,
        "{error:?}"
    );
    assert!(s3.counts().is_empty());
    // An archive tier that a listing does not show.
    object.archived = false;
    let error = fetch(&source, &object).await.unwrap_err();
    assert!(matches!(error.kind, Kind::Archived), "{error:?}");
}

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

#[tokio::test]
async fn a_fetch_that_is_dropped_leaves_no_sink_and_no_permit_behind() {
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/");
    for size in [100, 3 * PART as usize] {
        s3.put("bucket", "x", noise(size, 1));
        let object = object(&source, "x").await;
        let tally = Arc::new(Tally::default());
        s3.reset_requests();
        s3.faults()
            .replace([Rule::new(Fault::HangAfter(50)).on(Operation::Get)]);
        let open = opener(&tally, None);
        let (there, asked) = (source.clone(), object.clone());
        let fetching =
            tokio::spawn(
                async move { there.fetch(&asked, open).await.map(|fetched| fetched.proof) },
            );
        until("it hangs", || {
            s3.count(Operation::Get) >= 1
                && (size == 100 || tally.written.load(Ordering::SeqCst) == 50)
        })
        .await;
        fetching.abort();
        assert!(fetching.await.unwrap_err().is_cancelled());
        until("the sink is dropped", || tally.open() == 0).await;
        assert_eq!(tally.finished(), 0);
        s3.faults().clear();
        // More at once than there are permits: none was lost.
        for _ in 0..3 {
            fetch(&source, &object).await.unwrap();
        }
    }
}

#[tokio::test]
async fn large_objects_at_once_share_the_permits_and_none_starves() {
    let s3 = Server::start().await;
    let options = Options {
        concurrency: 2,
        ..OPTIONS
    };
    let source = source_with(&s3.endpoint(), "s3://bucket/", options);
    let expected: Vec<Vec<u8>> = (0..8)
        .map(|seed| noise(4 * PART as usize + seed, seed as u64))
        .collect();
    for (number, bytes) in expected.iter().enumerate() {
        s3.put("bucket", &format!("{number}"), bytes.clone());
    }
    let listing = source.list().await.unwrap();
    let mut fetches = tokio::task::JoinSet::new();
    for (number, object) in listing.objects.into_iter().enumerate() {
        let source = source.clone();
        fetches.spawn(async move { (number, fetch(&source, &object).await) });
    }
    let all = tokio::time::timeout(Duration::from_secs(20), fetches.join_all())
        .await
        .expect("they all end");
    for (number, fetched) in all {
        assert!(fetched.unwrap().done == expected[number], "{number}");
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

#[tokio::test]
async fn a_store_that_knows_no_parts_leaves_the_length_as_proof() {
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/");
    // An ETag that claims three parts of an object that has none.
    let etag = "900150983cd24fb0d6963f7d28e17f72-3".to_owned();
    for size in [10, 3 * PART as usize] {
        let put = PutOptions {
            etag: Some(etag.clone()),
            checksum: ChecksumChoice::None,
            ..PutOptions::default()
        };
        s3.put_with("bucket", "x", noise(size, 1), put);
        let fetched = fetch(&source, &object(&source, "x").await).await.unwrap();
        assert_eq!(fetched.proof, Proof::LengthOnly);
    }
}
