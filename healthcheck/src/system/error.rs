//! What the kernel says when it cannot.

use crate::text::{Line, decimal, pieces, split_once};

/// An error's number, which is the same on both architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(usize);

impl Error {
    /// `EINTR`, of a wait; what does not wait is never interrupted, as no signal has a handler
    pub const INTERRUPTED: Error = Error(4);
    /// `ETIME`, for a wait that the deadline ended; no call here gives it.
    pub const LATE: Error = Error(62);
    /// `EAGAIN`
    pub const AGAIN: Error = Error(11);
    /// `EALREADY`
    pub const ALREADY: Error = Error(114);
    /// `EINPROGRESS`
    pub const IN_PROGRESS: Error = Error(115);

    /// What a system call returned, as a result.
    pub(super) fn check(returned: isize) -> Result<usize, Error> {
        usize::try_from(returned).map_err(|_| Self(returned.unsigned_abs()))
    }

    /// Appends it in words, or its number.
    #[inline(never)]
    pub fn show_in(self, line: &mut Line) -> &mut Line {
        for one in pieces(WORDS, b'\n') {
            if let Some((number, words)) = split_once(one, b' ')
                && decimal(number) == Some(self.0 as u64)
            {
                return line.show(words);
            }
        }
        line.say("error ").number(self.0 as u64)
    }
}

/// Those that a check may meet. One text, in which all of it is half as large as in a table.
const WORDS: &[u8] = b"\
1 operation not permitted
2 no such file
5 input/output error
6 no such device
12 out of memory
13 permission denied
20 a part of the path is no directory
21 is a directory
23 too many open files
24 too many open files
36 a name is too long
40 too many symbolic links
97 this kind of address is not supported
99 the address is not available
101 the network is unreachable
104 connection reset
110 connection timed out
111 connection refused
113 no route to the host
116 stale file handle";
