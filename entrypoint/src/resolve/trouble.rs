//! What SSM, KMS and Secrets Manager answer when they refuse, and what that means for a run. Pure.
//!
//! | answer | means |
//! |---|---|
//! | no such parameter or version | this name is missing, 65 |
//! | access denied | permission for this name, 77 |
//! | anything of KMS but throttling | permission for this name's key, 77, said so |
//! | throttled, 5xx, no answer | again, until the deadline, then 69 |
//! | expired credentials | again with new ones, a few times, then 69 |
//! | credentials that are not valid | 77 at once |
//! | a certificate that is not trusted | 77 at once |

use agent::exit::Exit;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use std::error::Error;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It concerns the names that were asked for; others may be had.
    Name(NameTrouble),
    /// It may pass.
    Again(Passing, String),
    /// The run cannot go on, whatever is asked for.
    End(Exit, String),
}

/// What may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    Throttled,
    Expired,
    Unreachable,
}

/// Why one name cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NameTrouble {
    /// There is none, or not in this version.
    Missing,
    /// The value is there and cannot be used: says why, without it.
    Unusable(String),
    /// The task role may not read it: what AWS says.
    Denied(String),
    /// The task role may not decrypt it, or the key cannot be used: what AWS says.
    Key(String),
}

impl NameTrouble {
    /// The exit code that it stands for.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Missing | Self::Unusable(_) => Exit::Source,
            Self::Denied(_) | Self::Key(_) => Exit::Permission,
        }
    }
}

/// Reads an error of the SDK's.
pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Trouble
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(credentials) = cause::<CredentialsError>(error) {
        return of_credentials(credentials);
    }
    match error {
        SdkError::ServiceError(service) => {
            let (error, status) = (service.err(), service.raw().status().as_u16());
            answered(
                status,
                error.code().unwrap_or_default(),
                error.message().unwrap_or_default(),
            )
        }
        SdkError::ResponseError(response) => answered(
            response.raw().status().as_u16(),
            "an answer that is not SSM's",
            "",
        ),
        SdkError::TimeoutError(_) => unreachable("no answer in time"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            unreachable("no answer in time")
        }
        SdkError::ConstructionFailure(_) => setup(&deepest(error)),
        SdkError::DispatchFailure(failure)
            if failure.is_other() && failure.as_other().is_none() && !is_connection(error) =>
        {
            setup(&deepest(error))
        }
        _ => connection(&deepest(error)),
    }
}

/// Reads an error answer.
pub(super) fn answered(status: u16, code: &str, message: &str) -> Trouble {
    let said = match (code, one_line(message).as_str()) {
        ("", _) => format!("HTTP {status}"),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code}: {}", message.trim_end_matches('.')),
    };
    let is_throttling = status == 429
        || code.contains("Throttl")
        || code.contains("TooManyRequests")
        || code == "RequestLimitExceeded"
        || message.contains("Rate exceeded")
        || message.contains("exceeded the rate");
    if is_throttling {
        return Trouble::Again(Passing::Throttled, format!("SSM throttles ({said})"));
    }
    if status >= 500 {
        return unreachable(&said);
    }
    let of_kms = code.contains("KMS")
        || code == "InvalidKeyId"
        || ["kms:", "KMS", "ciphertext"]
            .iter()
            .any(|word| message.contains(word));
    if of_kms {
        return Trouble::Name(NameTrouble::Key(said));
    }
    match code {
        "ParameterNotFound" | "ParameterVersionNotFound" | "ResourceNotFoundException" => {
            Trouble::Name(NameTrouble::Missing)
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
            Trouble::Again(
                Passing::Expired,
                format!("the credentials expired ({said})"),
            )
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired" => Trouble::End(
            Exit::Permission,
            format!(
                "the credentials are not valid here ({said}): check which ones the task uses, and this host's clock"
            ),
        ),
        _ if status == 403 || code.starts_with("AccessDenied") || code == "NotAuthorized" => {
            Trouble::Name(NameTrouble::Denied(said))
        }
        _ if status == 408 => unreachable(&said),
        _ => Trouble::Name(NameTrouble::Unusable(format!("SSM refuses it ({said})"))),
    }
}

fn of_credentials(error: &CredentialsError) -> Trouble {
    match error {
        CredentialsError::ProviderTimedOut(_) => unreachable("the credentials' provider is silent"),
        _ if is_connection(error) => unreachable(&format!(
            "the credentials' provider does not answer: {}",
            one_line(&deepest(error))
        )),
        CredentialsError::CredentialsNotLoaded(_) => no_credentials("no provider has any"),
        _ => no_credentials(&one_line(&deepest(error))),
    }
}

fn no_credentials(cause: &str) -> Trouble {
    Trouble::End(
        Exit::Permission,
        format!(
            "no AWS credentials ({cause}): give the task a task role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ),
    )
}

fn setup(cause: &str) -> Trouble {
    Trouble::End(
        Exit::Usage,
        format!(
            "SSM cannot be asked ({}): check AWS_REGION and AWS_ENDPOINT_URL_SSM",
            one_line(cause)
        ),
    )
}

fn connection(cause: &str) -> Trouble {
    if cause.contains("certificate") {
        return Trouble::End(
            Exit::Permission,
            format!(
                "SSM's certificate is not trusted ({}): set AWS_CA_BUNDLE to the authority that signed it",
                one_line(cause)
            ),
        );
    }
    unreachable(&one_line(cause))
}

fn unreachable(cause: &str) -> Trouble {
    Trouble::Again(
        Passing::Unreachable,
        format!("SSM does not answer ({cause})"),
    )
}

fn is_connection(error: &(dyn Error + 'static)) -> bool {
    cause::<std::io::Error>(error).is_some()
        || cause::<ConnectorError>(error)
            .is_some_and(|connector| connector.is_io() || connector.is_timeout())
}

/// The last of the chain of causes: the SDK's own say only "dispatch failure".
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
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

fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c == ' ');
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(trouble: &Trouble) -> String {
        match trouble {
            Trouble::Name(NameTrouble::Missing) => "missing".into(),
            Trouble::Name(NameTrouble::Unusable(_)) => "unusable".into(),
            Trouble::Name(NameTrouble::Denied(_)) => "denied".into(),
            Trouble::Name(NameTrouble::Key(_)) => "key".into(),
            Trouble::Again(passing, _) => format!("{passing:?}").to_lowercase(),
            Trouble::End(exit, _) => exit.code().to_string(),
        }
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let kms = "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: kms:Decrypt on the \
                   resource associated with this ciphertext because no identity-based policy allows it";
        for (status, code, message, expected) in [
            (400, "ParameterNotFound", "", "missing"),
            (400, "ParameterVersionNotFound", "", "missing"),
            (
                400,
                "AccessDeniedException",
                "User: x is not authorized to perform: ssm:GetParameters",
                "denied",
            ),
            (403, "", "", "denied"),
            (400, "AccessDeniedException", kms, "key"),
            (
                400,
                "AccessDeniedException",
                "The ciphertext refers to a customer master key that does not exist",
                "key",
            ),
            (400, "InvalidKeyId", "", "key"),
            (400, "KMSInvalidStateException", "", "key"),
            (400, "ThrottlingException", "Rate exceeded", "throttled"),
            (
                400,
                "ThrottlingException",
                "Rate exceeded for kms:Decrypt",
                "throttled",
            ),
            (400, "KMS.ThrottlingException", "", "throttled"),
            (429, "", "", "throttled"),
            (400, "RequestLimitExceeded", "", "throttled"),
            (500, "InternalServerError", "", "unreachable"),
            (503, "", "", "unreachable"),
            (
                400,
                "ExpiredTokenException",
                "The security token included in the request is expired",
                "expired",
            ),
            (400, "UnrecognizedClientException", "", "77"),
            (400, "InvalidSignatureException", "Signature expired", "77"),
            (400, "ValidationException", "", "unusable"),
            (404, "", "", "unusable"),
        ] {
            let trouble = answered(status, code, message);
            assert_eq!(kind(&trouble), expected, "{status} {code} {message}");
        }
    }

    #[test]
    fn credentials_that_are_not_there_end_and_a_provider_that_is_silent_may_come() {
        assert_eq!(
            kind(&of_credentials(&CredentialsError::not_loaded("none"))),
            "77"
        );
        let silent = CredentialsError::provider_timed_out(std::time::Duration::from_secs(1));
        assert_eq!(kind(&of_credentials(&silent)), "unreachable");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(
            kind(&of_credentials(&CredentialsError::provider_error(refused))),
            "unreachable"
        );
    }

    #[test]
    fn a_certificate_ends_and_a_refused_connection_may_come() {
        assert_eq!(
            kind(&connection("invalid peer certificate: UnknownIssuer")),
            "77"
        );
        assert_eq!(
            kind(&connection("Connection refused (os error 111)")),
            "unreachable"
        );
    }
}
