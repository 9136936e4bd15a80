//! What ends a pass, and the code that a command ends with for it.

use crate::dest::DestError;
use crate::source::SourceError;
use agent::exit::Exit;
use std::fmt;

/// Why a pass ended before its end.
#[derive(Debug)]
pub enum Failure {
    /// S3, or the way there.
    Source(SourceError),
    /// DEST, or the state directory.
    Dest(DestError),
    /// The manifest in DEST is of this other source.
    OtherSource {
        /// DEST.
        dest: String,
        /// Whose it is.
        theirs: String,
        /// Whose it was to be.
        ours: String,
    },
    /// Another writer took over.
    Dethroned,
}

impl Failure {
    /// The design's exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Source(error) => error.exit(),
            Failure::Dest(_) | Failure::OtherSource { .. } => Exit::Destination,
            Failure::Dethroned => Exit::Unavailable,
        }
    }

    /// One word for the log.
    pub fn side(&self) -> &'static str {
        match self {
            Failure::Source(_) => "source",
            Failure::Dest(_) | Failure::OtherSource { .. } => "destination",
            Failure::Dethroned => "lock",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Source(error) => error.fmt(formatter),
            Failure::Dest(error) => error.fmt(formatter),
            Failure::OtherSource { dest, theirs, ours } => write!(
                formatter,
                "{dest} is kept equal to {theirs}, not to {ours}: correct the source, choose another directory, or take it over with --adopt"
            ),
            Failure::Dethroned => formatter.write_str(
                "another s3sync took over this directory; this one publishes nothing more",
            ),
        }
    }
}

impl std::error::Error for Failure {}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Failure::Source(error)
    }
}

impl From<DestError> for Failure {
    fn from(error: DestError) -> Self {
        Failure::Dest(error)
    }
}
