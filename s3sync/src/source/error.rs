//! What can go wrong, in one line that names the object, the cause and the fix.

use std::{fmt, io};

use agent::exit::Exit;

/// What kind of failure it is: what a caller branches on.
#[derive(Debug)]
pub enum Kind {
    /// The bucket does not exist.
    NoBucket,
    /// The identity lacks an S3 permission.
    Denied,
    /// The identity lacks kms:Decrypt, or the key cannot be used.
    KmsDenied,
    /// No credentials were found, or they are not known to AWS.
    NoCredentials,
    /// The credentials expired on the way.
    CredentialsExpired,
    /// S3 said SlowDown, after retries.
    Throttled,
    /// KMS throttled S3, after retries.
    KmsThrottled,
    /// The bucket is in another region than the client.
    WrongRegion,
    /// No answer, a broken connection, a time-out, or a 5xx, after retries.
    Unreachable,
    /// This host's clock is too far from S3's.
    ClockOff,
    /// A listing that cannot be trusted.
    Malformed,
    /// The object is in an archive tier and not restored.
    Archived,
    /// Another version is there by now (412).
    Changed,
    /// The key is gone (404).
    Gone,
    /// What came is not what S3 holds, also after fetching again.
    Corrupt,
    /// The sink refused it.
    Destination(io::Error),
    /// Anything else.
    Other,
}

/// A failure of the source.
#[derive(Debug)]
pub struct SourceError {
    /// What a caller branches on.
    pub kind: Kind,
    /// One line: which object, why, what to do next.
    pub message: String,
}

impl SourceError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The code that a command ends with for it.
    pub fn exit(&self) -> Exit {
        match self.kind {
            Kind::NoBucket
            | Kind::WrongRegion
            | Kind::Malformed
            | Kind::Corrupt
            | Kind::Archived => Exit::Source,
            Kind::Denied | Kind::KmsDenied | Kind::NoCredentials | Kind::ClockOff => {
                Exit::Permission
            }
            Kind::Destination(_) => Exit::Destination,
            // Changed and Gone are seen when the source changes faster than it can be read.
            Kind::CredentialsExpired
            | Kind::Throttled
            | Kind::KmsThrottled
            | Kind::Unreachable
            | Kind::Changed
            | Kind::Gone => Exit::Unavailable,
            Kind::Other => Exit::Source,
        }
    }

    /// Whether another try within moments may help where the SDK makes none: a wrong answer, or a
    /// throttling that it does not know.
    pub(super) fn again(&self) -> bool {
        matches!(self.kind, Kind::Corrupt | Kind::KmsThrottled)
    }

    /// Whether waiting can help, with nothing changed by a person.
    pub fn transient(&self) -> bool {
        matches!(
            self.kind,
            Kind::CredentialsExpired
                | Kind::Throttled
                | Kind::KmsThrottled
                | Kind::Unreachable
                | Kind::Changed
                | Kind::Gone
        )
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SourceError {}
