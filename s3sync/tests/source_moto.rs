//! Listings and fetches against moto, another project's S3: what boto3 uploads comes back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod source_support;

use aws_config::timeout::TimeoutConfig;
use s3sync::source::{Kind, Proof, Source};
use source_support::{OPTIONS, config, fetch, object};
use std::time::Duration;
use testkit::moto::Moto;

/// Uploads in boto3's own ways; prints nothing.
const UPLOAD: &str = r#"
import boto3, sys
from botocore.config import Config
bucket, mebi = sys.argv[1], 1024 * 1024
s3 = boto3.client('s3')
old = boto3.client('s3', config=Config(request_checksum_calculation='when_required'))
body = bytes(range(256)) * 4096 * 6
s3.create_bucket(Bucket=bucket)
s3.put_object(Bucket=bucket, Key='d/plain', Body=b'hello')
s3.put_object(Bucket=bucket, Key='d/empty', Body=b'')
old.put_object(Bucket=bucket, Key='d/no-checksum', Body=body[:100])
s3.put_object(Bucket=bucket, Key='d/sha256', Body=body[:100], ChecksumAlgorithm='SHA256')
s3.put_object(Bucket=bucket, Key='d/kms', Body=body[:100], ServerSideEncryption='aws:kms')
def multipart(key, client, sizes):
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)['UploadId']
    parts, at = [], 0
    for number, size in enumerate(sizes, 1):
        part = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body[at:at + size])
        parts.append({'PartNumber': number, 'ETag': part['ETag']})
        at += size
    client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={'Parts': parts})
multipart('d/parts', old, [5 * mebi, mebi])
multipart('d/one-part', old, [mebi])
"#;

fn body() -> Vec<u8> {
    (0..=255).collect::<Vec<u8>>().repeat(4096 * 6)
}

/// With a program's patience, as nothing stalls here on purpose and a Python may be slow to answer.
fn source(endpoint: &str, location: &str) -> Source {
    let patience = TimeoutConfig::builder()
        .read_timeout(Duration::from_secs(10))
        .build();
    let config = config(endpoint)
        .into_builder()
        .timeout_config(patience)
        .build();
    Source::new(&config, location.parse().unwrap(), true, OPTIONS)
}

#[tokio::test]
async fn what_boto3_uploads_comes_back_with_proof() {
    let moto = Moto::shared();
    moto.python(UPLOAD, &["uploads"]);
    let source = source(moto.endpoint(), "s3://uploads/d");
    let body = body();
    let mebi = 1024 * 1024;
    for (key, expected, proofs) in [
        (
            "plain",
            &b"hello"[..],
            &[Proof::Checksum("CRC32"), Proof::Md5Etag][..],
        ),
        ("empty", b"", &[Proof::Checksum("CRC32"), Proof::Md5Etag]),
        (
            "no-checksum",
            &body[..100],
            &[Proof::Md5Etag, Proof::Checksum("CRC64NVME")],
        ),
        ("sha256", &body[..100], &[Proof::Checksum("SHA256")]),
        (
            "kms",
            &body[..100],
            &[Proof::Checksum("CRC32"), Proof::LengthOnly],
        ),
        // moto answers a HEAD of a part with the part's own ETag, which S3 does not.
        (
            "parts",
            &body[..6 * mebi],
            &[Proof::LengthOnly, Proof::MultipartEtag],
        ),
        ("one-part", &body[..mebi], &[Proof::MultipartEtag]),
    ] {
        let object = object(&source, key).await;
        let fetched = fetch(&source, &object)
            .await
            .unwrap_or_else(|error| panic!("{key}: {error}"));
        assert!(fetched.done.0 == expected, "{key}");
        assert!(
            proofs.contains(&fetched.proof),
            "{key}: {:?}",
            fetched.proof
        );
    }
}

#[tokio::test]
async fn a_listing_of_many_pages_and_odd_keys_is_whole() {
    let moto = Moto::shared();
    moto.create_bucket("listed");
    let mut keys: Vec<String> = (0..1100).map(|number| format!("{number:04}.py")).collect();
    keys.extend(
        [
            "a b+c%2B%.py",
            "é",
            "e\u{301}",
            "&amp;<>'\"",
            "日本/語.py",
            "A.py",
        ]
        .map(str::to_owned),
    );
    let script = "import boto3, json, sys\ns3 = boto3.client('s3')\nfor key in json.loads(sys.argv[2]):\n    s3.put_object(Bucket=sys.argv[1], Key='d ä/' + key, Body=b'x')";
    moto.python(script, &["listed", &serde_json::to_string(&keys).unwrap()]);
    moto.put("listed", "d ä-old/x", b"x");
    let listing = source(moto.endpoint(), "s3://listed/d ä")
        .list()
        .await
        .unwrap();
    keys.sort();
    assert_eq!(
        listing
            .objects
            .iter()
            .map(|object| object.key.to_string())
            .collect::<Vec<_>>(),
        keys
    );
    assert_eq!(listing.pages, 2);
}

#[tokio::test]
async fn changes_and_absences_are_named() {
    let moto = Moto::shared();
    let absent = source(moto.endpoint(), "s3://no-such-bucket/d")
        .list()
        .await
        .unwrap_err();
    assert!(matches!(absent.kind, Kind::NoBucket), "{absent:?}");
    moto.create_bucket("changing");
    moto.put("changing", "x", b"one");
    let source = source(moto.endpoint(), "s3://changing");
    let object = object(&source, "x").await;
    moto.put("changing", "x", b"two");
    assert!(matches!(
        fetch(&source, &object).await.unwrap_err().kind,
        Kind::Changed
    ));
    moto.delete("changing", "x");
    assert!(matches!(
        fetch(&source, &object).await.unwrap_err().kind,
        Kind::Gone
    ));
    source.approve("0123").await.unwrap();
    assert_eq!(source.list().await.unwrap().approvals[0].id, "0123");
}
