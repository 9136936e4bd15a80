//! Each fault as a client without any opinion of its own sees it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::http::{Answer, get};
use testkit::s3::{Fault, Operation, Refusal, Rule, Server};

const BODY: &str = "0123456789";

/// A server with `bucket/key` and `bucket/other`, and one fault at each GET of an object.
fn with(fault: impl Into<Fault>) -> Server {
    let s3 = Server::start_blocking();
    s3.put("bucket", "key", BODY);
    s3.put("bucket", "other", "abcdefghij");
    s3.faults().add(Rule::new(fault).on(Operation::Get));
    s3
}

fn fetch(s3: &Server) -> anyhow::Result<Answer> {
    get(&format!("{}/bucket/key", s3.endpoint()))
}

fn list(s3: &Server) -> Answer {
    get(&format!("{}/bucket?list-type=2", s3.endpoint())).unwrap()
}

#[test]
fn a_cut_ends_the_connection_in_the_middle_of_the_body() {
    let s3 = with(Fault::CutAfter(4));
    assert_eq!(
        fetch(&s3).unwrap_err().to_string(),
        "the body ended after 4 of 10 bytes"
    );
    s3.faults().clear();
    assert_eq!(fetch(&s3).unwrap().text(), BODY);
}

#[test]
fn a_reset_is_a_reset_before_and_in_the_body() {
    for (fault, message) in [
        (Fault::Reset, "no answer"),
        (Fault::ResetAfter(4), "after 4 of 10 bytes"),
    ] {
        let error = fetch(&with(fault)).unwrap_err();
        assert_eq!(error.to_string(), message);
        let cause = error
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        assert_eq!(
            cause,
            Some(std::io::ErrorKind::ConnectionReset),
            "{error:?}"
        );
    }
}

#[test]
fn a_flipped_byte_keeps_length_and_headers() {
    let right = fetch(&with(Refusal::internal_error())).unwrap();
    assert_eq!(right.status, 500);
    let s3 = with(Fault::FlipByte(3));
    let wrong = fetch(&s3).unwrap();
    s3.faults().clear();
    let right = fetch(&s3).unwrap();
    assert_eq!((wrong.status, wrong.text().as_str()), (200, "0122456789"));
    assert_eq!(wrong.header("etag"), right.header("etag"));
}

#[test]
fn a_wrong_length_is_well_framed() {
    for (difference, expected) in [(-3, "0123456"), (2, "0123456789\0\0"), (-99, "")] {
        let answer = fetch(&with(Fault::WrongLength(difference))).unwrap();
        assert_eq!(answer.text(), expected);
        assert_eq!(
            answer.header("content-length"),
            Some(expected.len().to_string().as_str())
        );
    }
}

#[test]
fn a_substitute_has_the_headers_of_the_right_object() {
    let s3 = with(Fault::Substitute {
        key: "other".to_owned(),
    });
    let answer = fetch(&s3).unwrap();
    assert_eq!(answer.text(), "abcdefghij");
    assert_eq!(
        answer.header("etag"),
        Some(format!("\"{}\"", s3.etag("bucket", "key").unwrap()).as_str())
    );
}

#[test]
fn a_slow_answer_takes_its_time_and_is_whole() {
    let s3 = with(Fault::Slow {
        before: Duration::from_millis(100),
        bytes_per_second: 50,
    });
    let start = Instant::now();
    assert_eq!(fetch(&s3).unwrap().text(), BODY);
    assert!(
        start.elapsed() >= Duration::from_millis(280),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_hang_answers_nothing_or_half() {
    for (fault, expected) in [(Fault::Hang, 0), (Fault::HangAfter(4), 4)] {
        let s3 = with(fault);
        let mut stream = TcpStream::connect(s3.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        stream
            .write_all(b"GET /bucket/key HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut received = Vec::new();
        let error = stream.read_to_end(&mut received).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        let body = received
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .map_or(0, |end| received.len() - end - 4);
        assert_eq!(body, expected);
    }
}

#[test]
fn refusals_have_the_status_code_and_page_of_s3() {
    for (refusal, status, code) in [
        (Refusal::access_denied(), 403, "AccessDenied"),
        (Refusal::expired_token(), 400, "ExpiredToken"),
        (Refusal::expired_token_403(), 403, "ExpiredToken"),
        (Refusal::time_too_skewed(), 403, "RequestTimeTooSkewed"),
        (
            Refusal::invalid_object_state("GLACIER"),
            403,
            "InvalidObjectState",
        ),
        (Refusal::internal_error(), 500, "InternalError"),
        (Refusal::slow_down(), 503, "SlowDown"),
        (
            Refusal::permanent_redirect("bucket", "eu-west-1"),
            301,
            "PermanentRedirect",
        ),
        (
            Refusal::wrong_region("us-east-1", "eu-west-1"),
            400,
            "AuthorizationHeaderMalformed",
        ),
        (Refusal::kms_throttling(), 400, "KMS.ThrottlingException"),
        (Refusal::no_such_bucket("bucket"), 404, "NoSuchBucket"),
    ] {
        let answer = fetch(&with(refusal)).unwrap();
        assert_eq!(answer.status, status, "{code}");
        assert!(
            answer.text().contains(&format!("<Code>{code}</Code>")),
            "{}",
            answer.text()
        );
    }
    let redirect = fetch(&with(Refusal::permanent_redirect("bucket", "eu-west-1"))).unwrap();
    assert_eq!(redirect.header("x-amz-bucket-region"), Some("eu-west-1"));
}

#[test]
fn listings_lie_in_each_way() {
    let s3 = Server::start_blocking();
    s3.put_all("bucket", (0..10).map(|index| (format!("key{index}"), "x")));
    let whole = list(&s3).text();
    let lie = |fault| {
        s3.faults().replace([Rule::new(fault).on(Operation::List)]);
        list(&s3)
    };
    let truncated = lie(Fault::TruncatedListing);
    assert_eq!(truncated.status, 200);
    assert_eq!(truncated.text(), whole[..whole.len() / 2]);
    let lost = lie(Fault::ListingWithoutToken).text();
    assert!(
        lost.contains("<IsTruncated>true</IsTruncated>") && !lost.contains("NextContinuationToken")
    );
    let dropped = lie(Fault::ListingDropsKeys(3)).text();
    assert_eq!(dropped.matches("<Contents>").count(), 7);
    assert!(dropped.contains("<KeyCount>10</KeyCount>"));
    let empty = lie(Fault::EmptyListing).text();
    assert!(
        empty.contains("<KeyCount>0</KeyCount>")
            && empty.contains("<IsTruncated>false</IsTruncated>")
    );
    assert!(empty.ends_with("</ListBucketResult>") && !empty.contains("<Contents>"));
    s3.faults().clear();
    assert_eq!(list(&s3).text(), whole, "a lie is not remembered");
}

#[test]
fn the_log_tells_what_was_asked_and_answered() {
    let s3 = with(Refusal::slow_down());
    s3.faults().replace([
        Rule::new(Refusal::slow_down()).on(Operation::Get).nth(2),
        Rule::new(Fault::Reset).glob("none*"),
    ]);
    for _ in 0..3 {
        fetch(&s3).unwrap();
    }
    list(&s3);
    get(&format!("{}/bucket/none", s3.endpoint())).unwrap_err();
    let seen: Vec<_> = s3
        .requests()
        .into_iter()
        .map(|request| (request.operation, request.key, request.status))
        .collect();
    let key = || "key".to_owned();
    assert_eq!(
        seen,
        [
            (Operation::Get, key(), 200),
            (Operation::Get, key(), 503),
            (Operation::Get, key(), 200),
            (Operation::List, String::new(), 200),
            (Operation::Get, "none".to_owned(), 0),
        ]
    );
    assert_eq!(
        (s3.count(Operation::Get), s3.count(Operation::Head)),
        (4, 0)
    );
    s3.reset_requests();
    assert!(s3.requests().is_empty() && s3.counts().is_empty());
}

#[test]
fn an_endpoint_that_is_down_refuses_connections_until_it_is_back() {
    let s3 = with(Refusal::slow_down());
    s3.faults().clear();
    let mut idle = TcpStream::connect(s3.address()).unwrap();
    s3.go_down();
    assert_eq!(
        idle.read(&mut [0; 1]).unwrap_or(0),
        0,
        "open connections end"
    );
    let error = fetch(&s3).unwrap_err();
    assert!(error.to_string().starts_with("no connection"), "{error}");
    s3.come_back();
    assert_eq!(fetch(&s3).unwrap().text(), BODY);
}

#[test]
fn a_delay_holds_for_its_operation_alone() {
    let s3 = with(Refusal::slow_down());
    s3.faults().clear();
    s3.delay(Operation::List, Duration::from_millis(150));
    let time = |act: &dyn Fn()| {
        let start = Instant::now();
        act();
        start.elapsed()
    };
    assert!(time(&|| drop(list(&s3))) >= Duration::from_millis(150));
    assert!(time(&|| drop(fetch(&s3))) < Duration::from_millis(150));
}

#[test]
fn an_unknown_access_key_is_refused_only_when_that_is_asked_for() {
    let s3 = with(Refusal::slow_down());
    s3.faults().clear();
    let ask = |key: &str| {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/s3/aws4_request, Signature=0"
        );
        let headers = [("authorization", authorization.as_str())];
        testkit::http::request(
            "GET",
            &format!("{}/bucket/key", s3.endpoint()),
            &headers,
            b"",
        )
        .unwrap()
    };
    assert_eq!(
        (ask("other").status, fetch(&s3).unwrap().status),
        (200, 200)
    );
    s3.only_access_key(Some("test"));
    assert_eq!(ask("test").status, 200);
    assert!(
        ask("other")
            .text()
            .contains("<Code>InvalidAccessKeyId</Code>")
    );
    assert!(
        fetch(&s3)
            .unwrap()
            .text()
            .contains("<Code>AccessDenied</Code>")
    );
}
