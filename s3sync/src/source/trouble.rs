//! From the SDK's errors to what [`explain`](super::explain) takes.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::date_time::{DateTime, Format};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::explain::{Answer, Trouble};

/// A page that was refused, as the cause of the SDK's error: the SDK then asks for it again.
#[derive(Debug)]
pub(super) struct RefusedPage(pub(super) String);

impl std::fmt::Display for RefusedPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for RefusedPage {}

pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Trouble
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(RefusedPage(reason)) = cause::<RefusedPage>(error) {
        return Trouble::Page(reason.clone());
    }
    if let Some(credentials) = cause::<CredentialsError>(error) {
        return credentials_trouble(credentials);
    }
    match error {
        SdkError::ServiceError(service) => {
            let raw = service.raw();
            let mut answer = answer(raw);
            if answer.code.is_empty() {
                answer.code = service.err().code().unwrap_or_default().to_owned();
                answer.message = service.err().message().unwrap_or_default().to_owned();
            }
            Trouble::Answer(answer)
        }
        SdkError::ResponseError(response) if !response.raw().status().is_success() => {
            Trouble::Answer(answer(response.raw()))
        }
        SdkError::TimeoutError(_) => Trouble::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Trouble::TimedOut,
        // A connection closed without an answer is of kind other, too, but marked as transient.
        SdkError::DispatchFailure(failure)
            if failure.is_other() && failure.as_other().is_none() && !is_connection(error) =>
        {
            Trouble::Setup(deepest(error))
        }
        SdkError::ConstructionFailure(_) => Trouble::Setup(deepest(error)),
        _ => Trouble::Connection(deepest(error)),
    }
}

/// The server's clock, in milliseconds since the epoch.
pub(super) fn date(headers: &Headers) -> Option<i64> {
    DateTime::from_str(headers.get("date")?, Format::HttpDate)
        .ok()?
        .to_millis()
        .ok()
}

/// The last of the chain of causes: the SDK's own say only "dispatch failure".
pub(super) fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn credentials_trouble(error: &CredentialsError) -> Trouble {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            Trouble::NoCredentials("no provider has any".into())
        }
        CredentialsError::ProviderTimedOut(_) => {
            Trouble::CredentialsUnreachable("it timed out".into())
        }
        _ if is_connection(error) => Trouble::CredentialsUnreachable(deepest(error)),
        _ => Trouble::NoCredentials(deepest(error)),
    }
}

fn is_connection(error: &(dyn Error + 'static)) -> bool {
    use aws_smithy_runtime_api::client::result::ConnectorError;
    cause::<std::io::Error>(error).is_some()
        || cause::<ConnectorError>(error)
            .is_some_and(|connector| connector.is_io() || connector.is_timeout())
}

fn cause<'a, C: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a C> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<C>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn answer(response: &HttpResponse) -> Answer {
    let body = response
        .body()
        .bytes()
        .map(ErrorBody::read)
        .unwrap_or_default();
    let header = response
        .headers()
        .get("x-amz-bucket-region")
        .map(str::to_owned);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|now| i64::try_from(now.as_millis()).ok());
    Answer {
        status: response.status().as_u16(),
        code: body.code,
        message: body.message,
        region: header.or(body.region),
        ahead_ms: date(response.headers())
            .zip(now)
            .map(|(server, now)| server - now),
    }
}

/// What S3 writes into an `<Error>`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorBody {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) region: Option<String>,
}

impl ErrorBody {
    /// Takes what can be read; a body that is no XML gives nothing.
    pub(super) fn read(xml: &[u8]) -> Self {
        let mut body = Self::default();
        let mut reader = Reader::from_reader(xml);
        let mut element = Vec::new();
        let mut text = String::new();
        loop {
            match reader.read_event() {
                Ok(Event::Start(start)) => {
                    element = start.local_name().as_ref().to_vec();
                    text.clear();
                }
                Ok(Event::Text(part)) => text.push_str(&String::from_utf8_lossy(&part)),
                Ok(Event::GeneralRef(reference)) => text.push(match &*reference {
                    b"amp" => '&',
                    b"lt" => '<',
                    b"gt" => '>',
                    b"quot" => '"',
                    _ => '\'',
                }),
                Ok(Event::End(_)) => {
                    match element.as_slice() {
                        b"Code" => body.code = std::mem::take(&mut text),
                        b"Message" => body.message = std::mem::take(&mut text),
                        b"Region" => body.region = Some(std::mem::take(&mut text)),
                        _ => {}
                    }
                    element.clear();
                }
                Ok(Event::Eof) | Err(_) => return body,
                Ok(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_gives_code_message_and_region() {
        let xml = b"<?xml version=\"1.0\"?><Error><Code>AuthorizationHeaderMalformed</Code><Message>the region &apos;us-east-1&apos; is wrong</Message><Region>eu-west-1</Region><RequestId>1</RequestId></Error>";
        assert_eq!(
            ErrorBody::read(xml),
            ErrorBody {
                code: "AuthorizationHeaderMalformed".into(),
                message: "the region 'us-east-1' is wrong".into(),
                region: Some("eu-west-1".into()),
            }
        );
        for junk in [&b""[..], b"<html>", b"\xff\xfe", b"{}", b"<Error><Code>x"] {
            assert_eq!(ErrorBody::read(junk), ErrorBody::default());
        }
    }
}
