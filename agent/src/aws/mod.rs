//! Clients for AWS: region, credentials, TLS roots, timeouts and retries, the same in every agent.
//!
//! The SDK's providers read their variables from the process itself, so that an [`Environment`] other
//! than the process's decides only what this module reads: the region, the roots and the launch type.

mod roots;

use std::time::Duration;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};

use crate::settings::Environment;

/// How often a call is tried, the first time included.
const ATTEMPTS: u32 = 4;

/// How long before they expire credentials are renewed, or up to half of it later. The SDK's own 10 s
/// would let a call that is retried arrive with credentials that ran out on the way.
const RENEWAL: Duration = Duration::from_secs(60);

/// The limits of one call. A call that is retried has them anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// Until the first byte of the answer.
    pub read: Duration,
    /// For one attempt as a whole, without the body of the answer.
    pub attempt: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            read: Duration::from_secs(20),
            attempt: Duration::from_secs(60),
        }
    }
}

/// What clients are made from, with the timeouts' defaults.
///
/// # Errors
/// As [`config_with`].
pub async fn config(environment: &Environment) -> Result<SdkConfig, String> {
    config_with(environment, Timeouts::default()).await
}

/// What clients are made from. Credentials are asked for with the first call, by the standard chain:
/// environment, profile, web identity, ECS, and the instance metadata service except on Fargate. They
/// are renewed before they expire.
///
/// # Errors
/// One line (exit 64): no region is set, or the file of certificates cannot be used.
pub async fn config_with(
    environment: &Environment,
    timeouts: Timeouts,
) -> Result<SdkConfig, String> {
    let client = roots::client(environment)?;
    let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(timeouts.connect)
        .read_timeout(timeouts.read)
        .operation_attempt_timeout(timeouts.attempt)
        .build();
    let providers = ProviderConfig::without_region()
        .with_http_client(client.clone())
        .with_retry_config(retries.clone())
        .with_timeout_config(timeouts.clone());

    let region = region(environment, &providers).await?;
    let credentials = credentials(environment, &providers.with_region(Some(region.clone())));
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(client)
        .retry_config(retries)
        .timeout_config(timeouts)
        .region(region)
        .credentials_provider(credentials)
        .identity_cache(IdentityCache::lazy().buffer_time(RENEWAL).build());
    Ok(loader.load().await)
}

/// Whether the endpoint of `service`, such as `S3`, is one that AWS does not run: a store that is not
/// reached by the bucket's name as host, so that the caller uses path style. Endpoints in a profile
/// are not looked at.
pub fn endpoint_is_custom(environment: &Environment, service: &str) -> bool {
    if environment.is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
        return false;
    }
    let own = environment.value(&format!("AWS_ENDPOINT_URL_{service}"));
    let endpoint = own.or_else(|| environment.value("AWS_ENDPOINT_URL"));
    endpoint.is_some_and(|url| !is_run_by_aws(url))
}

fn is_run_by_aws(url: &str) -> bool {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    let host = address
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let domains = ["amazonaws.com", "amazonaws.com.cn", "api.aws"];
    domains.iter().any(|domain| {
        host.strip_suffix(domain)
            .is_some_and(|name| name.is_empty() || name.ends_with('.'))
    })
}

/// Fargate has no instance metadata service: asking costs seconds and finds nothing, or, in a network
/// that routes the address, what is another machine's.
fn on_fargate(environment: &Environment) -> bool {
    let launched = environment
        .value("AWS_EXECUTION_ENV")
        .is_some_and(|name| name.contains("FARGATE"));
    launched || environment.raw("ECS_CONTAINER_METADATA_URI_V4").is_some()
}

async fn region(environment: &Environment, providers: &ProviderConfig) -> Result<Region, String> {
    let named = environment
        .value("AWS_REGION")
        .or_else(|| environment.value("AWS_DEFAULT_REGION"));
    if let Some(name) = named {
        return Ok(Region::new(name.to_owned()));
    }
    if let Some(region) = ProfileFileRegionProvider::builder()
        .configure(providers)
        .build()
        .region()
        .await
    {
        return Ok(region);
    }
    let found = match on_fargate(environment) {
        true => None,
        false => {
            ImdsRegionProvider::builder()
                .configure(providers)
                .build()
                .region()
                .await
        }
    };
    found.ok_or_else(|| "no AWS region is known: set AWS_REGION".to_owned())
}

fn credentials(environment: &Environment, providers: &ProviderConfig) -> CredentialsProviderChain {
    let profile = ProfileFileCredentialsProvider::builder()
        .configure(providers)
        .build();
    let web_identity = WebIdentityTokenCredentialsProvider::builder()
        .configure(providers)
        .build();
    let container = EcsCredentialsProvider::builder()
        .configure(providers)
        .build();
    let chain = CredentialsProviderChain::first_try(
        "Environment",
        EnvironmentVariableCredentialsProvider::new(),
    )
    .or_else("Profile", profile)
    .or_else("WebIdentityToken", web_identity)
    .or_else("EcsContainer", container);
    if on_fargate(environment) {
        return chain;
    }
    let instance = ImdsCredentialsProvider::builder()
        .configure(providers)
        .build();
    chain.or_else("Ec2InstanceMetadata", instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_custom_unless_aws_runs_it() {
        for (url, custom) in [
            ("http://127.0.0.1:5000", true),
            ("http://[::1]:5000/", true),
            ("https://minio.example.com", true),
            ("https://notamazonaws.com", true),
            ("https://amazonaws.com.example.org/amazonaws.com", true),
            ("https://s3.eu-central-1.amazonaws.com", false),
            ("https://user@S3.EU-CENTRAL-1.AMAZONAWS.COM:443/x", false),
            ("https://vpce-1.s3.eu-central-1.vpce.amazonaws.com", false),
            ("https://s3.cn-north-1.amazonaws.com.cn", false),
            ("https://s3.dualstack.eu-central-1.api.aws", false),
        ] {
            let environment = Environment::from_pairs([("AWS_ENDPOINT_URL", url)]);
            assert_eq!(endpoint_is_custom(&environment, "S3"), custom, "{url}");
        }
    }

    #[test]
    fn a_services_own_endpoint_wins() {
        let custom = ("AWS_ENDPOINT_URL", "http://127.0.0.1:5000");
        let aws = (
            "AWS_ENDPOINT_URL_S3",
            "https://s3.eu-central-1.amazonaws.com",
        );
        assert!(!endpoint_is_custom(
            &Environment::from_pairs([custom, aws]),
            "S3"
        ));
        assert!(endpoint_is_custom(
            &Environment::from_pairs([custom, aws]),
            "SSM"
        ));
        assert!(endpoint_is_custom(
            &Environment::from_pairs([custom, ("AWS_ENDPOINT_URL_S3", "")]),
            "S3"
        ));
        assert!(!endpoint_is_custom(&Environment::default(), "S3"));
        let ignored = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE");
        assert!(!endpoint_is_custom(
            &Environment::from_pairs([custom, ignored]),
            "S3"
        ));
    }

    #[test]
    fn fargate_is_known_by_either_variable() {
        for (name, value, expected) in [
            ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE", true),
            ("AWS_EXECUTION_ENV", "AWS_ECS_EC2", false),
            (
                "ECS_CONTAINER_METADATA_URI_V4",
                "http://169.254.170.2/v4/x",
                true,
            ),
            ("ECS_CONTAINER_METADATA_URI_V4", "", false),
        ] {
            assert_eq!(
                on_fargate(&Environment::from_pairs([(name, value)])),
                expected,
                "{name}={value}"
            );
        }
    }
}
