//! The S3 client: the SDK for signing, credentials, endpoints and retries, with its checking of
//! checksums off, as fetches check their own.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, ResponseChecksumValidation, StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use super::Options;

/// One attempt, to the end of the answer's head, of a LIST to the end of the page.
const ATTEMPT: Duration = Duration::from_secs(30);

pub(super) fn client(config: &SdkConfig, path_style: bool, options: Options) -> Client {
    let mut builder = Builder::from(config)
        .force_path_style(path_style)
        // The SDK hashes what is hashed here anyway, skips composite checksums, and warns of each.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // It measures every chunk; bodies have a timeout of their own here.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let timeouts = config.timeout_config();
    if timeouts.is_none_or(|timeouts| timeouts.operation_attempt_timeout().is_none()) {
        let timeouts = timeouts.map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        builder = builder.timeout_config(timeouts.operation_attempt_timeout(ATTEMPT).build());
    }
    if !options.checksum_when_required {
        builder = builder.interceptor(AskForChecksums);
    }
    Client::from_conf(builder.build())
}

/// Asks for the stored checksum with a GET. As the operation's own setting it would switch the SDK's
/// checking on again. A range has no use for it.
#[derive(Debug)]
struct AskForChecksums;

#[dyn_dispatch_hint]
impl Intercept for AskForChecksums {
    fn name(&self) -> &'static str {
        "AskForChecksums"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let whole = !context.request().headers().contains_key("range");
        if whole
            && config
                .load::<Metadata>()
                .is_some_and(|operation| operation.name() == "GetObject")
        {
            context
                .request_mut()
                .headers_mut()
                .insert("x-amz-checksum-mode", "ENABLED");
        }
        Ok(())
    }
}
