use agent::exit::Exit;

use super::*;

const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-1111-2222-3333-444455556666";

fn request(operation: Operation) -> Request<'static> {
    Request {
        operation,
        uri: "s3://bucket/dags/a.py",
        bucket: "bucket",
        prefix: "dags/",
        region: Some("us-east-1"),
        endpoint: None,
    }
}

fn answer(status: u16, code: &str, message: &str) -> Trouble {
    Trouble::Answer(Answer {
        status,
        code: code.into(),
        message: message.into(),
        ..Answer::default()
    })
}

fn elsewhere(status: u16, code: &str) -> Trouble {
    Trouble::Answer(Answer {
        status,
        code: code.into(),
        region: Some("eu-west-1".into()),
        ..Answer::default()
    })
}

fn clock(status: u16, code: &str, seconds: i64) -> Trouble {
    Trouble::Answer(Answer {
        status,
        code: code.into(),
        ahead_ms: Some(seconds * 1000),
        ..Answer::default()
    })
}

/// Kind by name, exit code, and what the line must say of cause and fix.
#[test]
fn every_failure_names_its_cause_and_its_fix_in_one_line() {
    use Operation::{Delete, Get, Head, List, Put};
    let not_authorized = "User: arn:aws:sts::1:assumed-role/task/x is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-1111-2222-3333-444455556666 because no identity-based policy allows the kms:Decrypt action";
    let connection = |cause: &str| Trouble::Connection(cause.into());
    for (operation, trouble, kind, exit, words) in [
        (
            List,
            answer(404, "NoSuchBucket", "The specified bucket does not exist"),
            "NoBucket",
            Exit::Source,
            &["no bucket bucket", "check the URI"][..],
        ),
        (
            List,
            answer(403, "AccessDenied", "Access Denied"),
            "Denied",
            Exit::Permission,
            &["s3:ListBucket on arn:aws:s3:::bucket for the prefix dags/"],
        ),
        (
            Get,
            answer(
                403,
                "AccessDenied",
                "x with an explicit deny in a bucket policy",
            ),
            "Denied",
            Exit::Permission,
            &[
                "s3:GetObject on arn:aws:s3:::bucket/dags/*",
                "explicit deny",
            ],
        ),
        (
            Put,
            answer(403, "AccessDenied", "Access Denied"),
            "Denied",
            Exit::Permission,
            &["s3:PutObject on arn:aws:s3:::bucket/dags/.s3sync/*"],
        ),
        (
            Delete,
            answer(403, "AccessDenied", "Access Denied"),
            "Denied",
            Exit::Permission,
            &["s3:DeleteObject on arn:aws:s3:::bucket/dags/.s3sync/releases/*"],
        ),
        (
            Head,
            answer(403, "", ""),
            "Denied",
            Exit::Permission,
            &["s3:GetObject", "kms:Decrypt", "HTTP 403"],
        ),
        (
            Get,
            answer(403, "AccessDenied", not_authorized),
            "KmsDenied",
            Exit::Permission,
            &["grant it on", KEY],
        ),
        (
            Get,
            answer(
                403,
                "AccessDenied",
                "The ciphertext refers to a customer master key that does not exist",
            ),
            "KmsDenied",
            Exit::Permission,
            &["kms:Decrypt"],
        ),
        (
            Get,
            answer(400, "KMS.DisabledException", &format!("{KEY} is disabled.")),
            "KmsDenied",
            Exit::Permission,
            &["enable or restore", KEY],
        ),
        (
            Get,
            answer(400, "KMS.ThrottlingException", "You have exceeded the rate"),
            "KmsThrottled",
            Exit::Unavailable,
            &["Bucket Keys", "quota"],
        ),
        (
            Get,
            answer(
                503,
                "SlowDown",
                "AWS KMS: exceed the rate at which you may call KMS",
            ),
            "KmsThrottled",
            Exit::Unavailable,
            &["KMS throttles"],
        ),
        (
            List,
            Trouble::NoCredentials("no provider has any".into()),
            "NoCredentials",
            Exit::Permission,
            &["AWS_ACCESS_KEY_ID", "task role"],
        ),
        (
            List,
            answer(
                403,
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            ),
            "NoCredentials",
            Exit::Permission,
            &["not valid here"],
        ),
        (
            List,
            answer(403, "SignatureDoesNotMatch", "x"),
            "NoCredentials",
            Exit::Permission,
            &["not valid here"],
        ),
        (
            List,
            Trouble::CredentialsUnreachable("connection refused".into()),
            "Unreachable",
            Exit::Unavailable,
            &["provider does not answer"],
        ),
        (
            List,
            answer(400, "ExpiredToken", "The provided token has expired."),
            "CredentialsExpired",
            Exit::Unavailable,
            &["expired", "read again"],
        ),
        (
            Head,
            answer(400, "", ""),
            "CredentialsExpired",
            Exit::Unavailable,
            &["most likely because the credentials expired"],
        ),
        (
            List,
            answer(503, "SlowDown", "Please reduce your request rate."),
            "Throttled",
            Exit::Unavailable,
            &["throttles", "--interval"],
        ),
        (
            Head,
            answer(503, "", ""),
            "Throttled",
            Exit::Unavailable,
            &["throttles"],
        ),
        (
            Get,
            answer(429, "", ""),
            "Throttled",
            Exit::Unavailable,
            &["throttles"],
        ),
        (
            List,
            elsewhere(301, "PermanentRedirect"),
            "WrongRegion",
            Exit::Source,
            &["is in eu-west-1", "set AWS_REGION=eu-west-1", "us-east-1"],
        ),
        (
            List,
            elsewhere(400, "AuthorizationHeaderMalformed"),
            "WrongRegion",
            Exit::Source,
            &["set AWS_REGION=eu-west-1"],
        ),
        (
            List,
            answer(400, "IllegalLocationConstraintException", "x"),
            "WrongRegion",
            Exit::Source,
            &["set AWS_REGION to the bucket's"],
        ),
        (
            Head,
            elsewhere(400, ""),
            "WrongRegion",
            Exit::Source,
            &["set AWS_REGION=eu-west-1"],
        ),
        (
            Head,
            elsewhere(301, ""),
            "WrongRegion",
            Exit::Source,
            &["set AWS_REGION=eu-west-1"],
        ),
        (
            List,
            Trouble::Setup("Invalid Configuration: Missing Region".into()),
            "WrongRegion",
            Exit::Source,
            &["set AWS_REGION"],
        ),
        (
            List,
            Trouble::Setup("invalid uri".into()),
            "Other",
            Exit::Source,
            &["AWS_ENDPOINT_URL_S3"],
        ),
        (
            List,
            Trouble::TimedOut,
            "Unreachable",
            Exit::Unavailable,
            &["S3 in us-east-1", "gateway endpoint"],
        ),
        (
            List,
            connection("Connection refused"),
            "Unreachable",
            Exit::Unavailable,
            &["Connection refused", "gateway endpoint"],
        ),
        (
            List,
            connection("invalid peer certificate: UnknownIssuer"),
            "Unreachable",
            Exit::Unavailable,
            &["AWS_CA_BUNDLE"],
        ),
        (
            Get,
            answer(500, "InternalError", "We encountered an internal error."),
            "Unreachable",
            Exit::Unavailable,
            &["tried again later"],
        ),
        (
            Get,
            answer(502, "", ""),
            "Unreachable",
            Exit::Unavailable,
            &["HTTP 502"],
        ),
        (
            List,
            clock(403, "RequestTimeTooSkewed", 7200),
            "ClockOff",
            Exit::Permission,
            &["7200 s behind", "NTP"],
        ),
        (
            Head,
            clock(403, "", -7200),
            "ClockOff",
            Exit::Permission,
            &["7200 s ahead of", "NTP"],
        ),
        (
            Get,
            clock(403, "SignatureDoesNotMatch", 1000),
            "ClockOff",
            Exit::Permission,
            &["1000 s behind"],
        ),
        (
            Get,
            clock(403, "AccessDenied", 100),
            "Denied",
            Exit::Permission,
            &["s3:GetObject"],
        ),
        (
            Get,
            answer(403, "InvalidObjectState", "x"),
            "Archived",
            Exit::Source,
            &["restore it"],
        ),
        (
            Get,
            answer(412, "PreconditionFailed", "x"),
            "Changed",
            Exit::Unavailable,
            &["next one settles it"],
        ),
        (
            Head,
            answer(412, "", ""),
            "Changed",
            Exit::Unavailable,
            &["another version"],
        ),
        (
            Get,
            answer(404, "NoSuchKey", "x"),
            "Gone",
            Exit::Unavailable,
            &["gone"],
        ),
        (
            Head,
            answer(404, "", ""),
            "Gone",
            Exit::Unavailable,
            &["gone"],
        ),
        (
            List,
            Trouble::Page("it ends early".into()),
            "Malformed",
            Exit::Source,
            &["it ends early", "nothing was changed"],
        ),
        (
            List,
            answer(418, "Teapot", "short and\nstout"),
            "Other",
            Exit::Source,
            &["short and stout"],
        ),
    ] {
        let error = explain(&request(operation), &trouble);
        assert_eq!(
            format!("{:?}", error.kind),
            kind,
            "{operation:?} {trouble:?}: {error}"
        );
        assert_eq!(error.exit(), exit, "{error}");
        let line = error.to_string();
        assert!(line.starts_with("s3://bucket/dags/a.py: "), "{line}");
        for word in words {
            assert!(line.contains(word), "`{line}` lacks `{word}`");
        }
        assert!(!line.contains('\n') && !line.ends_with('.'), "{line}");
    }
}

#[test]
fn a_denied_write_names_no_more_than_it_needs() {
    for (key, grant) in [
        ("approve/0123456789abcdef", ".s3sync/approve/*"),
        ("reports/prod.json", ".s3sync/reports/*"),
        ("current", ".s3sync/*"),
    ] {
        let uri = format!("s3://bucket/dags/.s3sync/{key}");
        let request = Request {
            uri: &uri,
            ..request(Operation::Put)
        };
        let error = explain(&request, &answer(403, "AccessDenied", "Access Denied"));
        let grant = format!("s3:PutObject on arn:aws:s3:::bucket/dags/{grant} ");
        assert!(error.to_string().contains(&grant), "{error}");
    }
}

#[test]
fn a_custom_endpoint_is_named_without_its_credentials() {
    let request = Request {
        endpoint: Some("https://user:hunter2@store.example:9000/path?x=y"),
        ..request(Operation::List)
    };
    let line = explain(&request, &Trouble::TimedOut).to_string();
    assert!(
        line.contains("https://store.example:9000 ") && line.contains("AWS_ENDPOINT_URL_S3"),
        "{line}"
    );
    assert!(!line.contains("hunter2"), "{line}");
}
