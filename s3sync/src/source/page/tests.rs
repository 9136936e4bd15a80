use proptest::prelude::*;

use super::*;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";

fn encoded(key: &[u8]) -> String {
    key.iter()
        .map(|&c| match c {
            b' ' => "+".to_owned(),
            b'/' | b'.' | b'-' | b'_' | b'*' => char::from(c).to_string(),
            c if c.is_ascii_alphanumeric() => char::from(c).to_string(),
            c => format!("%{c:02X}"),
        })
        .collect()
}

fn contents(key: &[u8], size: u64, modified: &str) -> String {
    format!(
        "<Contents><Key>{}</Key><LastModified>{modified}</LastModified><ETag>&quot;9a0364b9e99bb480dd25e1f0284c8555&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>{size}</Size><Owner><ID>x</ID></Owner><StorageClass>STANDARD</StorageClass></Contents>",
        encoded(key)
    )
}

fn simple(key: &str) -> String {
    contents(key.as_bytes(), 3, "2026-02-03T04:05:06.789Z")
}

fn page(prefix: &str, entries: &[String]) -> String {
    format!(
        "{HEAD}<Name>bucket</Name><Prefix>{}</Prefix><KeyCount>{}</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
        encoded(prefix.as_bytes()),
        entries.len(),
        entries.concat()
    )
}

fn parsed(xml: &str) -> Result<Page, String> {
    parse(xml.as_bytes(), "bucket", "dags/")
}

#[test]
fn a_page_as_s3_writes_it_is_read() {
    let page = parsed(&page("dags/", &[simple("dags/a b+c.py")])).unwrap();
    assert_eq!(
        page.objects,
        [Object {
            key: "a b+c.py".into(),
            etag: "9a0364b9e99bb480dd25e1f0284c8555".into(),
            size: 3,
            modified: 1_770_091_506_789,
            archived: false,
        }]
    );
    assert_eq!(page.next, None);
}

#[test]
fn a_truncated_page_gives_its_token() {
    let xml = page("dags/", &[simple("dags/a")]).replace(
        "<IsTruncated>false</IsTruncated>",
        "<IsTruncated>true</IsTruncated><NextContinuationToken>1a&amp;b/+=</NextContinuationToken>",
    );
    assert_eq!(parsed(&xml).unwrap().next.as_deref(), Some("1a&b/+="));
}

#[test]
fn encoding_type_may_stand_last_and_without_it_keys_are_taken_as_they_are() {
    let xml = page("dags/", &[simple("dags/a b")]);
    let element = "<EncodingType>url</EncodingType>";
    let last = xml.replace(element, "").replace(
        "</ListBucketResult>",
        &format!("{element}</ListBucketResult>"),
    );
    assert_eq!(&*parsed(&last).unwrap().objects[0].key, "a b");
    let plain = xml.replace(element, "").replace("%2F", "/");
    assert_eq!(&*parsed(&plain).unwrap().objects[0].key, "a+b");
}

#[test]
fn a_page_that_cannot_be_trusted_is_refused() {
    let whole = page("dags/", &[simple("dags/a"), simple("dags/b")]);
    assert!(parsed(&whole).is_ok());
    let replaced = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        whole.replacen(from, to, 1)
    };
    for (xml, reason) in [
        (String::new(), "it is empty"),
        ("<html><body>Welcome</body></html>".into(), "no listing"),
        ("<Error><Code>SlowDown</Code></Error>".into(), "no listing"),
        ("{\"a\":1}".into(), "no XML"),
        (
            replaced("<KeyCount>2<", "<KeyCount>3<"),
            "3 keys and holds 2",
        ),
        (replaced("<KeyCount>2<", "<KeyCount>x<"), "KeyCount"),
        (
            replaced("<IsTruncated>false</IsTruncated>", ""),
            "lacks IsTruncated",
        ),
        (
            replaced("<IsTruncated>false</IsTruncated>", "<IsTruncated/>"),
            "lacks IsTruncated",
        ),
        (
            replaced("<IsTruncated>false<", "<IsTruncated>no<"),
            "neither true nor false",
        ),
        (
            replaced("<IsTruncated>false<", "<IsTruncated>true<"),
            "no NextContinuationToken",
        ),
        (
            replaced(
                "<IsTruncated>false<",
                "<NextContinuationToken></NextContinuationToken><IsTruncated>true<",
            ),
            "no NextContinuationToken",
        ),
        (replaced("<Name>bucket<", "<Name>other<"), "another bucket"),
        (replaced("<Prefix>dags/<", "<Prefix>dag<"), "another prefix"),
        (replaced("<Prefix>dags/<", "<Prefix>%4<"), "%-encoding"),
        (replaced(">url<", ">base64<"), "EncodingType"),
        (
            replaced("<Key>dags/a<", "<Key>dags-old/a<"),
            "outside the prefix",
        ),
        (replaced("<Key>dags/a</Key>", ""), "lacks its Key"),
        (replaced("<Size>3</Size>", ""), "lacks Size"),
        (replaced("<Size>3<", "<Size>-3<"), "lacks Size"),
        (
            replaced(
                "<ETag>&quot;9a0364b9e99bb480dd25e1f0284c8555&quot;<",
                "<ETag>&quot;&quot;<",
            ),
            "lacks ETag",
        ),
        (
            replaced(
                "<LastModified>2026-02-03T04:05:06.789Z<",
                "<LastModified>yesterday<",
            ),
            "lacks LastModified",
        ),
        (
            replaced("<Size>3<", "<Size><b>3</b><"),
            "element stands where a value",
        ),
        (replaced("<Size>3<", "<Size>&three;<"), "unknown entity"),
        (replaced("</Contents>", "</Content>"), "well-formed"),
        (
            replaced(
                "</ListBucketResult>",
                "<CommonPrefixes><Prefix>dags/x/</Prefix></CommonPrefixes></ListBucketResult>",
            ),
            "delimiter",
        ),
        (format!("{whole}{whole}"), "follows the end"),
    ] {
        let refused = parsed(&xml).unwrap_err();
        assert!(
            refused.contains(reason),
            "`{refused}` is not about `{reason}`: {xml}"
        );
        assert!(!refused.contains('\n'));
    }
}

#[test]
fn a_page_cut_at_any_byte_is_never_a_page() {
    let whole = page("dags/", &[simple("dags/a"), simple("dags/é\n")]);
    for end in 0..whole.len() {
        assert!(
            parse(&whole.as_bytes()[..end], "bucket", "dags/").is_err(),
            "cut at {end}"
        );
    }
}

#[test]
fn own_keys_are_approvals_or_nothing() {
    let page = parsed(&page(
        "dags/",
        &[
            simple("dags/"),
            simple("dags/.s3sync/approve/0123abcd"),
            simple("dags/.s3sync/approve/"),
            simple("dags/.s3sync/approve/a/b"),
            simple("dags/.s3sync/other"),
            simple("dags/.s3syncer"),
            simple("dags/sub/.s3sync/x"),
        ],
    ))
    .unwrap();
    assert_eq!(
        page.approvals,
        [Approval {
            id: "0123abcd".into(),
            modified: 1_770_091_506_789
        }]
    );
    let keys: Vec<_> = page.objects.iter().map(|object| &*object.key).collect();
    assert_eq!(keys, [".s3syncer", "sub/.s3sync/x"]);
}

#[test]
fn archived_is_what_a_get_would_be_refused() {
    let done = "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>2026-03-01T00:00:00.000Z</RestoreExpiryDate></RestoreStatus>";
    let going = "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>";
    for (class, status, archived) in [
        ("STANDARD", "", false),
        ("GLACIER_IR", "", false),
        ("INTELLIGENT_TIERING", "", false),
        ("GLACIER", "", true),
        ("DEEP_ARCHIVE", "", true),
        ("GLACIER", going, true),
        ("DEEP_ARCHIVE", done, false),
    ] {
        let entry = simple("dags/a").replace(
            "<StorageClass>STANDARD</StorageClass>",
            &format!("<StorageClass>{class}</StorageClass>{status}"),
        );
        assert_eq!(
            parsed(&page("dags/", &[entry])).unwrap().objects[0].archived,
            archived,
            "{class} {status}"
        );
    }
}

#[test]
fn a_key_that_is_no_utf_8_is_named_and_the_rest_is_read() {
    let broken = simple("dags/b").replace("<Key>dags/b<", "<Key>dags/%zz<");
    let page = parsed(&page(
        "dags/",
        &[
            contents(b"dags/\xff\xfe", 1, "2026-02-03T04:05:06Z"),
            broken,
            simple("dags/ok"),
        ],
    ));
    let page = page.unwrap();
    assert_eq!(page.objects.len(), 1);
    let reasons: Vec<_> = page
        .undecodable
        .iter()
        .map(|(_, reason)| reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        ["the key is not UTF-8", "its %-encoding is broken"]
    );
}

#[test]
fn an_alias_of_an_access_point_may_answer_with_the_name_of_its_bucket() {
    let xml = page("dags/", &[]);
    assert!(parse(xml.as_bytes(), "point-a1b2c3-s3alias", "dags/").is_ok());
}

/// Keys as S3 takes them: any UTF-8 up to 1,024 bytes with the prefix, both normal forms included.
fn keys() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "\0",
        "\u{1}",
        "\n",
        "\r",
        "\t",
        "\u{7f}",
        "+",
        "%",
        "%25",
        "%2B",
        " ",
        "&",
        "<",
        ">",
        "\"",
        "'",
        "é",
        "e\u{301}",
        "..",
        "/",
        "//",
        "\u{fffe}",
        "\u{10ffff}",
        "日本",
    ]);
    prop_oneof![
        prop::collection::vec(
            prop_oneof![
                special.prop_map(str::to_owned),
                "[a-zA-Z0-9._-]{1,8}",
                any::<char>().prop_map(String::from)
            ],
            1..40
        )
        .prop_map(|parts| parts.concat()),
        "[a-z/]{1019}",
    ]
    .prop_filter("S3's limit", |key| {
        key.len() <= 1019 && !key.starts_with(OWN)
    })
}

proptest! {
    #[test]
    fn any_key_comes_back_as_it_was_put(
        entries in prop::collection::vec((keys(), any::<u64>(), 0i64..253_402_300_799_999), 0..20)
    ) {
        let xml: Vec<_> = entries.iter().map(|(key, size, modified)| {
            let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(*modified) * 1_000_000).unwrap();
            contents(format!("dags/{key}").as_bytes(), *size, &time.format(&Rfc3339).unwrap())
        }).collect();
        let page = parsed(&page("dags/", &xml)).unwrap();
        prop_assert_eq!(page.objects.len(), entries.len());
        for (object, (key, size, modified)) in page.objects.iter().zip(&entries) {
            prop_assert_eq!(&*object.key, key);
            prop_assert_eq!(object.size, *size);
            prop_assert_eq!(object.modified, *modified);
        }
    }

    #[test]
    fn a_cut_or_a_byte_changed_never_panics_and_a_cut_is_never_ok(
        entries in prop::collection::vec(keys(), 1..6), cut in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let xml: Vec<_> = entries.iter().map(|key| simple(&format!("dags/{key}"))).collect();
        let mut whole = page("dags/", &xml).into_bytes();
        let at = cut.index(whole.len());
        prop_assert!(parse(&whole[..at], "bucket", "dags/").is_err());
        whole[at] = byte;
        let _ = parse(&whole, "bucket", "dags/");
    }
}
