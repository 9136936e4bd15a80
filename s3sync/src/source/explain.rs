//! From what went wrong with a request to one line that names the object, the cause and the fix.
//! Pure: tested by table.

mod kms;

use super::{Kind, SourceError};

/// Requests are refused when the clock is off by more: S3 allows 15 minutes.
const CLOCK_LIMIT_MS: i64 = 15 * 60 * 1000;

/// What was asked of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    List,
    Get,
    Head,
    Put,
    Delete,
}

/// The request that failed.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    pub(super) operation: Operation,
    /// What it was about, `s3://bucket/key`, one line.
    pub(super) uri: &'a str,
    pub(super) bucket: &'a str,
    pub(super) prefix: &'a str,
    /// The region that it was signed for.
    pub(super) region: Option<&'a str>,
    /// Where it was sent, when that is not AWS's own endpoint.
    pub(super) endpoint: Option<&'a str>,
}

/// What went wrong with it, after the SDK's retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// S3 answered with an error.
    Answer(Answer),
    /// No provider of the chain had credentials, or one was refused.
    NoCredentials(String),
    /// A provider did not answer.
    CredentialsUnreachable(String),
    /// No answer in time.
    TimedOut,
    /// The connection could not be made or broke.
    Connection(String),
    /// The request could not be made: no region, an endpoint that is no URL.
    Setup(String),
    /// The page cannot be trusted.
    Page(String),
}

/// An error as S3 answered it. HEAD answers have no body: code, message and so on are empty then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    /// The bucket's region, by header or body.
    pub(super) region: Option<String>,
    /// The server's clock less this host's, in milliseconds.
    pub(super) ahead_ms: Option<i64>,
}

pub(super) fn explain(request: &Request<'_>, trouble: &Trouble) -> SourceError {
    let (kind, what) = match trouble {
        Trouble::Answer(answer) => answered(request, answer),
        Trouble::NoCredentials(cause) => (
            Kind::NoCredentials,
            format!(
                "no credentials ({cause}): looked at the environment (AWS_ACCESS_KEY_ID), web identity, the profile and ECS's container credentials; give the task a task role"
            ),
        ),
        Trouble::CredentialsUnreachable(cause) => (
            Kind::Unreachable,
            format!(
                "the credentials' provider does not answer ({cause}): check that the task reaches it"
            ),
        ),
        Trouble::TimedOut => (
            Kind::Unreachable,
            format!(
                "no answer from {} in time: {}",
                request.host(),
                request.reach()
            ),
        ),
        Trouble::Connection(cause) if cause.contains("certificate") => (
            Kind::Unreachable,
            format!(
                "the certificate of {} is not trusted ({cause}): set AWS_CA_BUNDLE to the authority that signed it",
                request.host()
            ),
        ),
        Trouble::Connection(cause) => (
            Kind::Unreachable,
            format!(
                "no connection to {} ({cause}): {}",
                request.host(),
                request.reach()
            ),
        ),
        Trouble::Setup(cause) if cause.to_ascii_lowercase().contains("region") => (
            Kind::WrongRegion,
            "no region: set AWS_REGION to the bucket's".into(),
        ),
        Trouble::Setup(cause) => (
            Kind::Other,
            format!(
                "the request cannot be made ({cause}): check AWS_REGION and AWS_ENDPOINT_URL_S3"
            ),
        ),
        Trouble::Page(reason) => (
            Kind::Malformed,
            format!(
                "a page of the listing is refused, {reason}: nothing was changed; if it stays so, check what answers at {}",
                request.host()
            ),
        ),
    };
    SourceError::new(kind, format!("{}: {}", request.uri, one_line(&what)))
}

fn answered(request: &Request<'_>, answer: &Answer) -> (Kind, String) {
    let (code, message) = (answer.code.as_str(), answer.message.as_str());
    let said = answer.said();
    if let Some(kms) = kms::trouble(request, answer) {
        return kms;
    }
    match code {
        "NoSuchBucket" | "NoSuchAccessPoint" => (
            Kind::NoBucket,
            format!(
                "there is no bucket {}: check the URI and the account",
                request.bucket
            ),
        ),
        "NoSuchKey" | "NoSuchVersion" => (
            Kind::Gone,
            "the object is gone: the next listing settles it".into(),
        ),
        "PreconditionFailed" => changed(),
        "InvalidObjectState" => (
            Kind::Archived,
            "the object is archived: restore it, or move it to a storage class that can be read"
                .into(),
        ),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => (
            Kind::CredentialsExpired,
            format!(
                "the credentials expired ({said}): they are read again; if it stays so, renew them or use the task role"
            ),
        ),
        "InvalidAccessKeyId"
        | "InvalidToken"
        | "SignatureDoesNotMatch"
        | "NotSignedUp"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "MissingSecurityHeader" => match answer.clock_off() {
            Some(off) => off,
            None => (
                Kind::NoCredentials,
                format!(
                    "the credentials are not valid here ({said}): check which ones the task uses"
                ),
            ),
        },
        "RequestTimeTooSkewed" | "RequestInTheFuture" => answer.clock_off().unwrap_or((
            Kind::ClockOff,
            format!("this host's clock is off ({said}): set it by NTP"),
        )),
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "BandwidthLimitExceeded" => throttled(&said),
        "PermanentRedirect" | "TemporaryRedirect" | "IllegalLocationConstraintException" => {
            wrong_region(request, answer)
        }
        "AuthorizationHeaderMalformed" if answer.region.is_some() => wrong_region(request, answer),
        "RequestTimeout" | "InternalError" | "ServiceUnavailable" => unavailable(request, &said),
        _ => match answer.status {
            301 | 307 | 308 => wrong_region(request, answer),
            400 if request.elsewhere(answer) => wrong_region(request, answer),
            // A HEAD gives no more than that: by far the most likely cause.
            400 if request.operation == Operation::Head && code.is_empty() => (
                Kind::CredentialsExpired,
                "S3 answers 400, most likely because the credentials expired: they are read again"
                    .into(),
            ),
            401 => (
                Kind::NoCredentials,
                format!(
                    "the credentials are not valid here ({said}): check which ones the task uses"
                ),
            ),
            403 => answer
                .clock_off()
                .unwrap_or_else(|| denied(request, message, &said)),
            404 => (
                Kind::Gone,
                format!("the object is gone ({said}): the next listing settles it"),
            ),
            412 => changed(),
            429 => throttled(&said),
            503 if request.operation == Operation::Head => throttled(&said),
            500..=599 => unavailable(request, &said),
            _ => (Kind::Other, format!("S3 refused the request ({said})")),
        },
    }
}

fn denied(request: &Request<'_>, message: &str, said: &str) -> (Kind, String) {
    let (bucket, prefix) = (request.bucket, request.prefix);
    let grant = match request.operation {
        Operation::List if prefix.is_empty() => format!("s3:ListBucket on arn:aws:s3:::{bucket}"),
        Operation::List => {
            format!("s3:ListBucket on arn:aws:s3:::{bucket} for the prefix {prefix}")
        }
        Operation::Put => {
            let below = match request.uri.rsplit_once("/.s3sync/") {
                Some((_, key)) if key.starts_with("approve/") => "approve/*",
                Some((_, key)) if key.starts_with("reports/") => "reports/*",
                _ => "*",
            };
            format!("s3:PutObject on arn:aws:s3:::{bucket}/{prefix}.s3sync/{below}")
        }
        Operation::Delete => {
            format!("s3:DeleteObject on arn:aws:s3:::{bucket}/{prefix}.s3sync/releases/*")
        }
        Operation::Get | Operation::Head => {
            format!("s3:GetObject on arn:aws:s3:::{bucket}/{prefix}*")
        }
    };
    let explicit = if message.contains("explicit deny") {
        ", and take away the explicit deny"
    } else {
        ""
    };
    let encrypted = if request.operation == Operation::Head {
        ", and kms:Decrypt where a KMS key encrypts it"
    } else {
        ""
    };
    (
        Kind::Denied,
        format!("access is denied: grant {grant}{encrypted}{explicit} ({said})"),
    )
}

fn wrong_region(request: &Request<'_>, answer: &Answer) -> (Kind, String) {
    let ours = request.region.unwrap_or("another region");
    let what = match &answer.region {
        Some(region) => format!(
            "the bucket is in {region} and was asked for in {ours}: set AWS_REGION={region}"
        ),
        None => format!(
            "the bucket is not in {ours}: set AWS_REGION to the bucket's ({})",
            answer.said()
        ),
    };
    (Kind::WrongRegion, what)
}

fn changed() -> (Kind, String) {
    (
        Kind::Changed,
        "another version was put since the listing: the next one settles it".into(),
    )
}

fn throttled(said: &str) -> (Kind, String) {
    (
        Kind::Throttled,
        format!(
            "S3 throttles ({said}): it is tried again later; a lower --concurrency or a longer --interval helps"
        ),
    )
}

fn unavailable(request: &Request<'_>, said: &str) -> (Kind, String) {
    (
        Kind::Unreachable,
        format!(
            "{} is not well ({said}): it is tried again later",
            request.host()
        ),
    )
}

impl Answer {
    /// What S3 said, for the brackets.
    fn said(&self) -> String {
        match (self.code.as_str(), self.message.as_str()) {
            ("", _) => format!("HTTP {}", self.status),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {}", message.trim_end_matches('.')),
        }
    }

    fn clock_off(&self) -> Option<(Kind, String)> {
        let ahead = self.ahead_ms.filter(|ahead| ahead.abs() > CLOCK_LIMIT_MS)?;
        let way = if ahead > 0 { "behind" } else { "ahead of" };
        let seconds = ahead.abs() / 1000;
        Some((
            Kind::ClockOff,
            format!("this host's clock is {seconds} s {way} S3's: set it by NTP"),
        ))
    }
}

impl Request<'_> {
    fn host(&self) -> String {
        match (self.endpoint, self.region) {
            (Some(endpoint), _) => without_credentials(endpoint),
            (None, Some(region)) => format!("S3 in {region}"),
            (None, None) => "S3".into(),
        }
    }

    fn reach(&self) -> &'static str {
        match self.endpoint {
            Some(_) => {
                "check AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) and that it can be reached from here"
            }
            None => {
                "check the route to S3 (a gateway endpoint in the VPC, DNS, security groups) and AWS_REGION"
            }
        }
    }

    fn elsewhere(&self, answer: &Answer) -> bool {
        answer
            .region
            .as_deref()
            .is_some_and(|region| self.region.is_some_and(|ours| ours != region))
    }
}

/// An endpoint may be given as https://user:password@host; a message never shows that.
fn without_credentials(endpoint: &str) -> String {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    if scheme.is_empty() {
        host.to_owned()
    } else {
        format!("{scheme}://{host}")
    }
}

fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control())
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests;
