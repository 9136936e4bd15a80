//! Objects and listings as they go over the wire.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use testkit::http::{Answer, encode_path, get, request};
use testkit::s3::{ChecksumChoice, ChecksumType, Operation, PutOptions, Server, Sse};

fn checked(s3: &Server, path: &str) -> Answer {
    let headers = [("x-amz-checksum-mode", "ENABLED")];
    request(
        "GET",
        &format!("{}/bucket/{path}", s3.endpoint()),
        &headers,
        b"",
    )
    .unwrap()
}

fn list(s3: &Server, query: &str) -> String {
    get(&format!("{}/bucket?list-type=2&{query}", s3.endpoint()))
        .unwrap()
        .text()
}

fn between<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&open)
        .skip(1)
        .map(|rest| rest.split(&close).next().unwrap())
        .collect()
}

#[test]
fn an_upload_without_a_checksum_is_given_a_crc64() {
    let s3 = Server::start_blocking();
    s3.create_bucket("bucket");
    let url = format!("{}/bucket/key", s3.endpoint());
    assert_eq!(request("PUT", &url, &[], b"123456789").unwrap().status, 200);
    let answer = checked(&s3, "key");
    // The check value of CRC-64/NVME, 0xae8b14860a799888.
    assert_eq!(
        answer.header("x-amz-checksum-crc64nvme"),
        Some("rosUhgp5mIg=")
    );
    assert_eq!(answer.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert_eq!(
        get(&url).unwrap().header("x-amz-checksum-type"),
        None,
        "only for those who ask"
    );
    let listed = list(&s3, "");
    assert_eq!(between(&listed, "ChecksumAlgorithm"), ["CRC64NVME"]);
    assert_eq!(between(&listed, "ChecksumType"), ["FULL_OBJECT"]);
}

#[test]
fn a_kms_object_says_so_and_its_etag_is_no_md5() {
    let s3 = Server::start_blocking();
    let plain = s3.put("bucket", "plain", "x");
    let kms = s3.put_with(
        "bucket",
        "kms",
        "x",
        PutOptions {
            sse: Sse::Kms,
            ..PutOptions::default()
        },
    );
    assert_ne!(plain, kms);
    assert_eq!(
        checked(&s3, "kms").header("x-amz-server-side-encryption"),
        Some("aws:kms")
    );
    assert_eq!(
        checked(&s3, "plain").header("x-amz-server-side-encryption"),
        Some("AES256")
    );
}

#[test]
fn parts_are_read_one_by_one_with_their_checksums() {
    let s3 = Server::start_blocking();
    let put = |key: &str, checksum_type| {
        let parts = Some(vec![4, 4]);
        let checksum = ChecksumChoice::Crc32;
        s3.put_with(
            "bucket",
            key,
            "0123456789",
            PutOptions {
                parts,
                checksum,
                checksum_type,
                ..PutOptions::default()
            },
        )
    };
    assert!(put("composite", None).ends_with("-3"));
    put("full", Some(ChecksumType::FullObject));
    let whole = checked(&s3, "composite");
    assert!(
        whole
            .header("x-amz-checksum-crc32")
            .unwrap()
            .ends_with("-3")
    );
    assert_eq!(whole.header("x-amz-checksum-type"), Some("COMPOSITE"));
    assert_eq!(whole.header("x-amz-mp-parts-count"), None);
    let second = checked(&s3, "composite?partNumber=2");
    assert_eq!((second.status, second.text().as_str()), (206, "4567"));
    assert_eq!(second.header("content-range"), Some("bytes 4-7/10"));
    assert_eq!(second.header("x-amz-mp-parts-count"), Some("3"));
    // By zlib.crc32 of Python.
    assert_eq!(second.header("x-amz-checksum-crc32"), Some("TQyj6w=="));
    assert_eq!(checked(&s3, "composite?partNumber=4").status, 416);
    // By zlib.crc32 of Python.
    assert_eq!(
        checked(&s3, "full").header("x-amz-checksum-crc32"),
        Some("poTHxg==")
    );
    assert_eq!(
        checked(&s3, "full?partNumber=2").header("x-amz-checksum-crc32"),
        None
    );
    let range = [("x-amz-checksum-mode", "ENABLED"), ("range", "bytes=1-2")];
    let range = request(
        "GET",
        &format!("{}/bucket/full", s3.endpoint()),
        &range,
        b"",
    )
    .unwrap();
    assert_eq!(
        (range.text().as_str(), range.header("x-amz-checksum-crc32")),
        ("12", None)
    );
}

#[test]
fn archived_objects_are_listed_and_refused() {
    let s3 = Server::start_blocking();
    let put = |key: &str, restored| {
        let storage_class = Some("GLACIER".to_owned());
        s3.put_with(
            "bucket",
            key,
            "x",
            PutOptions {
                storage_class,
                restored,
                ..PutOptions::default()
            },
        );
    };
    put("cold", false);
    put("warm", true);
    assert_eq!(
        between(&list(&s3, ""), "StorageClass"),
        ["GLACIER", "GLACIER"]
    );
    assert!(
        checked(&s3, "cold")
            .text()
            .contains("<Code>InvalidObjectState</Code>")
    );
    assert_eq!(checked(&s3, "warm").text(), "x");
    let asked = [("x-amz-optional-object-attributes", "RestoreStatus")];
    let listed = request(
        "GET",
        &format!("{}/bucket?list-type=2", s3.endpoint()),
        &asked,
        b"",
    )
    .unwrap()
    .text();
    assert_eq!(between(&listed, "RestoreStatus").len(), 1);
}

#[test]
fn listings_show_the_times_and_etags_they_were_given() {
    let s3 = Server::start_blocking();
    let options = PutOptions {
        last_modified: Some(UNIX_EPOCH + Duration::from_millis(1_769_860_800_900)),
        etag: Some("odd".to_owned()),
        checksum: ChecksumChoice::None,
        ..PutOptions::default()
    };
    s3.put_with("bucket", "key", "x", options);
    let listed = list(&s3, "");
    assert_eq!(
        between(&listed, "LastModified"),
        ["2026-01-31T12:00:00.000Z"]
    );
    assert_eq!(between(&listed, "ETag"), ["&quot;odd&quot;"]);
    assert!(between(&listed, "ChecksumAlgorithm").is_empty());
    assert_eq!(
        checked(&s3, "key").header("last-modified"),
        Some("Sat, 31 Jan 2026 12:00:00 GMT")
    );
}

#[test]
fn pages_of_a_thousand_hold_every_key_once_in_the_order_of_their_bytes() {
    let s3 = Server::start_blocking();
    s3.put_all(
        "bucket",
        (0..2500).map(|index| (format!("dags/{:04}", index * 7919 % 2500), "x")),
    );
    s3.put("bucket", "dags-old/x", "x");
    let mut keys = Vec::new();
    let mut token = String::new();
    let mut sizes = Vec::new();
    loop {
        let page = list(&s3, &format!("prefix=dags/{token}"));
        sizes.push(between(&page, "KeyCount")[0].to_owned());
        keys.extend(between(&page, "Key").into_iter().map(str::to_owned));
        match between(&page, "NextContinuationToken").first() {
            Some(next) => token = format!("&continuation-token={next}"),
            None => break,
        }
    }
    assert_eq!(sizes, ["1000", "1000", "500"]);
    let sorted: Vec<String> = keys
        .iter()
        .cloned()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!((keys.len(), &keys), (2500, &sorted));
    assert_eq!(s3.count(Operation::List), 3);
}

#[test]
fn a_listing_is_cached_only_until_something_changes() {
    let s3 = Server::start_blocking();
    s3.put("bucket", "a", "x");
    assert_eq!(between(&list(&s3, ""), "Key"), ["a"]);
    s3.put("bucket", "b", "x");
    assert_eq!(between(&list(&s3, ""), "Key"), ["a", "b"]);
    s3.delete("bucket", "a");
    assert_eq!(between(&list(&s3, ""), "Key"), ["b"]);
    request("DELETE", &format!("{}/bucket/b", s3.endpoint()), &[], b"").unwrap();
    assert!(between(&list(&s3, ""), "Key").is_empty());
}

#[test]
fn odd_keys_are_encoded_when_asked_and_referenced_when_not() {
    let s3 = Server::start_blocking();
    let key = "a b+c/é&<\u{1}\n";
    let url = format!("{}/bucket/{}", s3.endpoint(), encode_path(key));
    s3.create_bucket("bucket");
    request("PUT", &url, &[], b"x").unwrap();
    assert_eq!(s3.objects("bucket").into_keys().collect::<Vec<_>>(), [key]);
    assert_eq!(get(&url).unwrap().text(), "x");
    assert_eq!(
        between(&list(&s3, "encoding-type=url"), "Key"),
        ["a+b%2Bc/%C3%A9%26%3C%01%0A"]
    );
    assert_eq!(
        between(&list(&s3, ""), "Key"),
        ["a b+c/é&amp;&lt;&#x1;&#xa;"]
    );
}

#[test]
fn history_keeps_every_version_and_deletes_leave_it() {
    let s3 = Server::start_blocking();
    s3.put("bucket", "key", "one");
    let url = format!("{}/bucket/key", s3.endpoint());
    request("PUT", &url, &[], b"two").unwrap();
    s3.delete("bucket", "key");
    s3.put("bucket", "key", "three");
    assert_eq!(s3.history("bucket", "key"), ["one", "two", "three"]);
    assert!(s3.history("bucket", "other").is_empty());
}

#[test]
fn a_hundred_thousand_objects_are_there_at_once() {
    let s3 = Server::start_blocking();
    let start = std::time::Instant::now();
    s3.put_all(
        "bucket",
        (0..100_000).map(|index| (format!("{index:06}"), "x")),
    );
    // A bound on a mistake such as one that is quadratic, not a measurement.
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    assert!(list(&s3, "start-after=099998").contains("<Key>099999</Key>"));
}
