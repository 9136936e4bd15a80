//! Where region, credentials and trust come from, each case in a process of its own, because the SDK
//! reads the process's environment.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::exit,
    reason = "a test may panic, and a role speaks on stdout"
)]

mod common;

use std::fs;
use std::process::Command;
use std::sync::Arc;

use agent::aws;
use agent::settings::Environment;
use aws_credential_types::provider::ProvideCredentials as _;
use common::{Answer, Request, Server, json_lines, play, plays};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

/// Says which region and credentials it has, or why none; `CALLS` of them through a client.
#[test]
#[ignore = "a role"]
fn role_asks() {
    if !plays("role_asks") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!("{}", runtime.block_on(asked()));
}

async fn asked() -> Value {
    let config = match aws::config(&Environment::from_process()).await {
        Ok(config) => config,
        Err(refused) => return json!({"refused": refused}),
    };
    let region = config.region().map(ToString::to_string);
    let calls: u32 = std::env::var("CALLS").map_or(0, |calls| calls.parse().unwrap());
    if calls > 0 {
        let client = aws_sdk_cloudwatch::Client::new(&config);
        let mut failed = None;
        for _ in 0..calls {
            let put = client.put_metric_data().namespace("Test").send().await;
            failed = put
                .err()
                .map(|error| aws_sdk_cloudwatch::error::DisplayErrorContext(error).to_string());
        }
        return json!({"region": region, "failed": failed});
    }
    match config
        .credentials_provider()
        .unwrap()
        .provide_credentials()
        .await
    {
        Ok(credentials) => json!({"region": region, "key": credentials.access_key_id()}),
        Err(error) => json!({"region": region, "none": error.to_string()}),
    }
}

/// A process in eu-north-1 without a home and without proxies.
fn asks() -> Command {
    let mut command = play("role_asks");
    command
        .env("AWS_REGION", "eu-north-1")
        .env("HOME", "/nowhere");
    command
}

fn answer(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let lines = json_lines(&output.stdout);
    assert_eq!(
        lines.len(),
        1,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    lines[0].clone()
}

fn container_credentials(expires: &str) -> String {
    json!({"AccessKeyId": "CONTAINER", "SecretAccessKey": "secret", "Token": "token", "Expiration": expires}).to_string()
}

/// The instance metadata service, as far as the SDK asks.
fn metadata(request: &Request) -> Answer {
    let role = json!({
        "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "INSTANCE", "SecretAccessKey": "secret",
        "Token": "token", "Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2020-01-01T00:00:00Z",
    });
    match request.line.as_str() {
        "PUT /latest/api/token" => Answer::text("token"),
        "GET /latest/meta-data/placement/region" => Answer::text("ap-south-1"),
        line if line.ends_with("/security-credentials/")
            || line.ends_with("/security-credentials-extended/") =>
        {
            Answer::text("role")
        }
        line if line.contains("/security-credentials") => Answer::json(&role.to_string()),
        _ => Answer::error(404),
    }
}

#[test]
fn variables_come_first() {
    let server = Server::start(|_| Answer::json(&container_credentials("2099-01-01T00:00:00Z")));
    let got = answer(
        asks()
            .env("AWS_ACCESS_KEY_ID", "VARIABLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url()),
    );
    assert_eq!(got, json!({"region": "eu-north-1", "key": "VARIABLE"}));
    assert!(server.seen().is_empty());
}

#[test]
fn a_container_asks_the_ecs_agent_with_its_token() {
    let server = Server::start(|_| Answer::json(&container_credentials("2099-01-01T00:00:00Z")));
    let got = answer(
        asks()
            .env(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                format!("{}/v2/credentials/x", server.url()),
            )
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc"),
    );
    assert_eq!(got, json!({"region": "eu-north-1", "key": "CONTAINER"}));
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].line.as_str(), seen[0].header("authorization")),
        ("GET /v2/credentials/x", Some("Basic abc"))
    );
}

#[test]
fn credentials_are_kept_while_they_last_and_renewed_before_they_expire() {
    let soon = time::OffsetDateTime::now_utc() + time::Duration::seconds(25);
    let soon = soon
        .replace_nanosecond(0)
        .unwrap()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    for (expires, asked) in [("2099-01-01T00:00:00Z", 1), (soon.as_str(), 3)] {
        let body = container_credentials(expires);
        let containers = Server::start(move |_| Answer::json(&body));
        let cloudwatch = Server::start(|_| Answer::cbor_done());
        let got = answer(
            asks()
                .env("CALLS", "3")
                .env("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch.url())
                .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", containers.url()),
        );
        assert_eq!(got["failed"], Value::Null, "{got}");
        assert_eq!(
            (cloudwatch.seen().len(), containers.seen().len()),
            (3, asked),
            "{expires}"
        );
    }
}

#[test]
fn a_profile_gives_region_and_credentials() {
    let directory = tempfile::tempdir().unwrap();
    let (config, credentials) = (
        directory.path().join("config"),
        directory.path().join("credentials"),
    );
    fs::write(&config, "[profile team]\nregion = sa-east-1\n").unwrap();
    fs::write(
        &credentials,
        "[team]\naws_access_key_id = PROFILE\naws_secret_access_key = secret\n",
    )
    .unwrap();
    let mut command = asks();
    command.env_remove("AWS_REGION").env("AWS_PROFILE", "team");
    command
        .env("AWS_CONFIG_FILE", &config)
        .env("AWS_SHARED_CREDENTIALS_FILE", &credentials);
    assert_eq!(
        answer(&mut command),
        json!({"region": "sa-east-1", "key": "PROFILE"})
    );
    command.env("AWS_DEFAULT_REGION", "us-west-2");
    assert_eq!(answer(&mut command)["region"], json!("us-west-2"));
}

#[test]
fn outside_fargate_the_instance_metadata_service_is_asked_last() {
    let server = Server::start(metadata);
    let mut command = asks();
    command
        .env_remove("AWS_REGION")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url());
    assert_eq!(
        answer(&mut command),
        json!({"region": "ap-south-1", "key": "INSTANCE"})
    );
}

#[test]
fn on_fargate_the_instance_metadata_service_is_never_asked() {
    for (name, value) in [
        ("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:1/v4"),
        ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"),
    ] {
        let server = Server::start(metadata);
        let mut command = asks();
        command
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url())
            .env(name, value);
        let got = answer(&mut command);
        assert_eq!(
            (&got["region"], got["none"].is_string()),
            (&json!("eu-north-1"), true),
            "{got}"
        );
        let got = answer(command.env_remove("AWS_REGION"));
        assert_eq!(
            got,
            json!({"refused": "no AWS region is known: set AWS_REGION"})
        );
        assert_eq!(server.seen().len(), 0, "{name}");
    }
}

#[test]
fn a_private_authority_is_trusted_by_its_bundle_and_only_then() {
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().join("ca.pem");
    let (server, authority) = tls_server();
    fs::write(&bundle, authority).unwrap();
    let call = |variable: Option<&str>| {
        let mut command = asks();
        command
            .env("AWS_ACCESS_KEY_ID", "VARIABLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("CALLS", "1");
        command.env(
            "AWS_ENDPOINT_URL",
            format!("https://localhost:{}", server.port),
        );
        if let Some(variable) = variable {
            command.env(variable, &bundle);
        }
        answer(&mut command)["failed"].clone()
    };
    assert_eq!(call(Some("AWS_CA_BUNDLE")), Value::Null);
    assert_eq!(call(Some("SSL_CERT_FILE")), Value::Null);
    assert_eq!(server.seen().len(), 2);
    let failed = call(None);
    assert!(
        failed
            .as_str()
            .is_some_and(|text| text.contains("UnknownIssuer")),
        "{failed}"
    );
    assert_eq!(server.seen().len(), 2);
}

/// A CloudWatch behind TLS on localhost, and its authority's certificate in PEM.
fn tls_server() -> (Server, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let pem = authority.pem();

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    let config = Arc::new(config);
    let server = Server::start_with(
        |_| Answer::cbor_done(),
        move |stream| {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(rustls::StreamOwned::new(session, stream))
        },
    );
    (server, pem)
}
