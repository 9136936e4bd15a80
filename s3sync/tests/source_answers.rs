//! Listings from answers that a good server does not give, and without what a request needs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod source_support;

use s3sync::source::{Kind, Listing};
use source_support::{Canned, source};
use testkit::s3::{Operation, Refusal, Rule, Server};

fn keys(listing: &Listing) -> Vec<&str> {
    listing.objects.iter().map(|object| &*object.key).collect()
}

#[tokio::test]
async fn the_region_of_the_bucket_is_named() {
    let s3 = Server::start().await;
    s3.faults().add(Rule::new(Refusal::permanent_redirect(
        "bucket",
        "eu-west-1",
    )));
    let error = source(&s3.endpoint(), "s3://bucket/dags")
        .list()
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("set AWS_REGION=eu-west-1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_that_comes_twice_is_refused_instead_of_turning_for_ever() {
    let page = |key: &str, token: &str| {
        Canned::answer(
            "200 OK",
            "",
            &format!(
                "<ListBucketResult><Name>bucket</Name><IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken><Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>x</ETag><Size>1</Size></Contents></ListBucketResult>"
            ),
        )
    };
    let server = Canned::start(vec![
        page("a", "1"),
        page("b", "2"),
        page("c", "1"),
        page("d", "3"),
    ])
    .await;
    let error = source(&server.endpoint, "s3://bucket")
        .list()
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind, Kind::Malformed) && error.message.contains("came before"),
        "{error}"
    );
    assert_eq!(server.heads.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_key_on_two_pages_is_refused_and_pages_without_order_are_sorted() {
    let page = |key: &str, token: Option<&str>| {
        let next = token.map_or("<IsTruncated>false</IsTruncated>".to_owned(), |token| {
            format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
        });
        Canned::answer(
            "200 OK",
            "",
            &format!(
                "<ListBucketResult>{next}<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>x</ETag><Size>1</Size></Contents></ListBucketResult>"
            ),
        )
    };
    let server = Canned::start(vec![
        page("b", Some("1")),
        page("c", Some("2")),
        page("a", None),
    ])
    .await;
    let listing = source(&server.endpoint, "s3://bucket")
        .list()
        .await
        .unwrap();
    assert_eq!(keys(&listing), ["a", "b", "c"]);
    let server = Canned::start(vec![
        page("a", Some("1")),
        page("b", Some("2")),
        page("a", None),
    ])
    .await;
    let error = source(&server.endpoint, "s3://bucket")
        .list()
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind, Kind::Malformed) && error.message.contains("a key twice, `a`"),
        "{error}"
    );
}

#[tokio::test]
async fn an_error_in_an_answer_of_200_is_no_empty_listing() {
    let body = "<Error><Code>InternalError</Code><Message>x</Message></Error>";
    let server = Canned::start(vec![Canned::answer("200 OK", "", body)]).await;
    let error = source(&server.endpoint, "s3://bucket")
        .list()
        .await
        .unwrap_err();
    assert!(matches!(error.kind, Kind::Malformed), "{error:?}");
}

#[tokio::test]
async fn the_request_asks_for_what_the_page_is_read_by() {
    let server = Canned::start(vec![Canned::answer("404 Not Found", "", "")]).await;
    let _ = source(&server.endpoint, "s3://bucket/dags").list().await;
    let heads = server.heads.lock().unwrap();
    let head = heads[0].to_ascii_lowercase();
    assert!(head.starts_with("get /bucket/?"), "{head}");
    for part in [
        "list-type=2",
        "encoding-type=url",
        "prefix=dags%2f",
        "x-amz-optional-object-attributes: restorestatus",
    ] {
        assert!(head.contains(part), "{part}: {head}");
    }
    assert!(
        !head.contains("delimiter") && !head.contains("max-keys"),
        "{head}"
    );
}

#[tokio::test]
async fn without_credentials_the_message_says_where_they_were_looked_for() {
    use aws_credential_types::provider::{
        self, ProvideCredentials, error::CredentialsError, future,
    };
    #[derive(Debug)]
    struct Nothing;
    impl ProvideCredentials for Nothing {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(provider::Result::Err(CredentialsError::not_loaded(
                "none",
            )))
        }
    }
    let s3 = Server::start().await;
    let config = source_support::builder(&s3.endpoint())
        .credentials_provider(provider::SharedCredentialsProvider::new(Nothing))
        .build();
    let source = s3sync::source::Source::new(
        &config,
        "s3://bucket/dags".parse().unwrap(),
        true,
        source_support::OPTIONS,
    );
    let error = source.list().await.unwrap_err();
    assert!(matches!(error.kind, Kind::NoCredentials), "{error:?}");
    assert!(
        error.message.contains("AWS_ACCESS_KEY_ID") && error.message.contains("task role"),
        "{error}"
    );
    assert_eq!(s3.count(Operation::List), 0);
}

#[tokio::test]
async fn without_a_region_the_message_says_so() {
    let s3 = Server::start().await;
    let mut config = source_support::config(&s3.endpoint()).to_builder();
    config.set_region(None).set_endpoint_url(None);
    let source = s3sync::source::Source::new(
        &config.build(),
        "s3://bucket/dags".parse().unwrap(),
        true,
        source_support::OPTIONS,
    );
    let error = source.list().await.unwrap_err();
    assert!(error.message.contains("set AWS_REGION"), "{error:?}");
}
