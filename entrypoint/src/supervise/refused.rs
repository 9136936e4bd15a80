//! Why a program was not started, and what to look at.

use nix::errno::Errno;
use std::io;

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Exit 127.
    #[error("{0} is not found: check the command, and PATH in the image")]
    NotFound(String),
    /// Exit 126; 127 where its interpreter is not found.
    #[error("{0} cannot be executed: {1}; {advice}", advice = advice(*.1))]
    NotExecutable(String, Errno),
    /// Out of processes, memory or descriptors, or an input that is too large.
    #[error("{0} cannot be started: {1}")]
    System(String, io::Error),
}

impl SpawnError {
    /// The shell's code for it.
    pub fn code(&self) -> u8 {
        match self {
            // As shells and env: what is not found may be the interpreter.
            Self::NotFound(_) | Self::NotExecutable(_, Errno::ENOENT | Errno::ENOTDIR) => 127,
            Self::NotExecutable(..) | Self::System(..) => 126,
        }
    }
}

fn advice(error: Errno) -> &'static str {
    match error {
        Errno::ENOENT | Errno::ENOTDIR => {
            "the interpreter or loader that it names is not in the image, or its lines end with CR LF"
        }
        Errno::ENOEXEC => "is it for this architecture, and does a script begin with #! ?",
        Errno::EACCES => "is it a file, and executable for this user?",
        Errno::E2BIG => "its arguments and variables are too large together",
        _ => "check the file and its file system",
    }
}
