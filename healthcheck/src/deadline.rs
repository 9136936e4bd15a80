//! The one deadline of all checks.

use crate::duration::{MILLISECOND, Nanoseconds};
use crate::system::{self, Clock};

/// How long after the deadline the kernel ends a process that could not do so itself, because a file
/// system hangs. A process that waits for a socket has told its reason by then, on a busy machine too.
const GRACE: Nanoseconds = 30 * MILLISECOND;

/// When the answer has to be there.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Nanoseconds,
    limit: Nanoseconds,
}

impl Deadline {
    /// That far from now, enforced by SIGALRM's default action a little later.
    pub fn start(limit: Nanoseconds) -> Self {
        system::end_after(limit + GRACE);
        Self {
            at: system::now(Clock::Monotonic) + limit,
            limit,
        }
    }

    /// How long there is; 0 or less when it has passed.
    pub fn left(&self) -> Nanoseconds {
        self.at - system::now(Clock::Monotonic)
    }

    /// The whole of it.
    pub fn limit(&self) -> Nanoseconds {
        self.limit
    }
}
