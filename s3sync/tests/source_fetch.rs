//! Fetches against the in-memory S3: every kind of proof, in one GET and in parts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod source_support;

use std::time::Duration;

use agent::exit::Exit;
use s3sync::source::{Kind, Options, Proof};
use source_support::{Canned, OPTIONS, PART, fetch, noise, object, source, source_with, until};
use testkit::s3::{ChecksumChoice, ChecksumType, Operation, PutOptions, Server, Sse};

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
    let delay = Duration::from_millis(10);
    s3.delay(Operation::Get, delay);
    s3.reset_requests();
    let started = std::time::Instant::now();
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
    // Two at once cannot be done sooner.
    let gets = u32::try_from(s3.count(Operation::Get)).unwrap();
    assert!(
        started.elapsed() >= delay * gets / 2,
        "{gets} in {:?}",
        started.elapsed()
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
