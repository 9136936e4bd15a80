//! What the kernel says when it cannot.

use crate::text::Line;

/// An error's number, which is the same on both architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(i32);

impl Error {
    /// `EINTR`
    pub const INTERRUPTED: Error = Error(4);
    /// `EAGAIN`
    pub const AGAIN: Error = Error(11);
    /// `EINPROGRESS`
    pub const IN_PROGRESS: Error = Error(115);

    pub(super) fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// What a system call returned, as a result.
    pub(super) fn check(returned: isize) -> Result<usize, Error> {
        usize::try_from(returned).map_err(|_| Self(returned.unsigned_abs() as i32))
    }

    /// Appends it in words, or its number.
    pub fn show_in(self, line: &mut Line) -> &mut Line {
        let words = match self.0 {
            1 => "operation not permitted",
            2 => "no such file",
            5 => "input/output error",
            6 => "no such device",
            12 => "out of memory",
            13 => "permission denied",
            20 => "a part of the path is no directory",
            21 => "is a directory",
            23 | 24 => "too many open files",
            36 => "a name is too long",
            40 => "too many symbolic links",
            97 => "this kind of address is not supported",
            99 => "the address is not available",
            101 => "the network is unreachable",
            104 => "connection reset",
            110 => "connection timed out",
            111 => "connection refused",
            113 => "no route to the host",
            116 => "stale file handle",
            number => return line.say("error ").number(number.unsigned_abs().into()),
        };
        line.say(words)
    }
}
