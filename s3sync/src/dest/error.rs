//! What the file system refused, in words, and what kind of refusal it is.

use rustix::io::Errno;
use std::fmt;
use std::io;

/// What went wrong below DEST, for the person on call.
#[derive(Debug)]
pub struct DestError {
    doing: &'static str,
    path: String,
    /// The system's error.
    pub error: io::Error,
}

impl DestError {
    /// `doing` to `path` failed with `error`.
    pub fn new(doing: &'static str, path: impl Into<String>, error: impl Into<io::Error>) -> Self {
        DestError {
            doing,
            path: path.into(),
            error: error.into(),
        }
    }

    /// Whether the file system has no room: waiting or a person may help, another file will not.
    pub fn is_full(&self) -> bool {
        matches!(
            self.error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

impl fmt::Display for DestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DestError { doing, path, error } = self;
        write!(formatter, "cannot {doing} {path}: {}", cause(error))
    }
}

impl std::error::Error for DestError {}

/// A system error, and what to do about it.
pub fn cause(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some room or raise the quota"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount it writable for this container (readOnly: false)"
        }
        io::ErrorKind::PermissionDenied => {
            "let this user write there (EFS access point, owner, mode)"
        }
        io::ErrorKind::StaleNetworkFileHandle => "the file system was replaced: start again",
        _ => return error.to_string(),
    };
    format!("{error}; {advice}")
}

/// Whether an error says that a path is not there, a part of it being absent, a file, or a link.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    ) || is_link(error)
}

/// Whether something stands in the way of a path: a file or link above it, a directory at it.
pub fn is_obstruction(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::DirectoryNotEmpty
    ) || is_link(error)
}

fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}
