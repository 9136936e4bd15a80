//! The system calls that a check needs, and nothing else of the machine.
//!
//! They are made directly. The `rustix` crate would do as well on its own, but cargo builds a crate
//! once for a whole workspace with everybody's features: with `rustix/std`, which other members need, a
//! freestanding program does not link (docs/adr, "healthcheck makes its own system calls").
//!
//! Each function passes only pointers to live memory of the length that it says, so all are safe to
//! call. `unsafe` is here and in `start`, and nowhere else.
#![expect(
    unsafe_code,
    reason = "a system call is an instruction that Rust does not have"
)]

#[cfg_attr(target_arch = "x86_64", path = "system/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "system/aarch64.rs")]
mod arch;
mod descriptor;
mod error;
mod path;

use crate::duration::{Nanoseconds, SECOND};

use self::arch::{call, number};
pub use self::descriptor::{Descriptor, Peer, Readiness};
pub use self::error::Error;
pub use self::path::{Entry, Path};

/// Which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The time of day.
    Realtime,
    /// Never set.
    Monotonic,
}

/// The nanoseconds of a clock.
pub fn now(clock: Clock) -> Nanoseconds {
    let mut time = [0_i64; 2];
    let clock = match clock {
        Clock::Realtime => 0,
        Clock::Monotonic => 1,
    };
    // SAFETY: the kernel writes two words to `time`. It cannot fail with these clocks.
    let _ = unsafe {
        call(
            number::CLOCK_GETTIME,
            [clock, (&raw mut time).expose_provenance()],
        )
    };
    nanoseconds(time[0], time[1])
}

/// Ends this process by SIGALRM after that time, whatever it then waits for. What the parent left
/// ignored or blocked is undone first: both outlive exec.
pub fn end_after(limit: Nanoseconds) {
    const SIGALRM: usize = 14;
    const SIG_UNBLOCK: usize = 1;
    const ITIMER_REAL: usize = 0;
    // struct sigaction, all zero: the default action.
    let action = [0_u64; 4];
    let alarm = 1_u64 << (SIGALRM - 1);
    let timer = [0, 0, limit / SECOND, limit % SECOND / 1_000];
    let size = size_of_val(&alarm);
    // SAFETY: the kernel reads `action` (32 bytes), `alarm` and `timer` (32 bytes), and writes nothing.
    unsafe {
        call(
            number::RT_SIGACTION,
            [SIGALRM, (&raw const action).expose_provenance(), 0, size],
        );
        call(
            number::RT_SIGPROCMASK,
            [SIG_UNBLOCK, (&raw const alarm).expose_provenance(), 0, size],
        );
        call(
            number::SETITIMER,
            [ITIMER_REAL, (&raw const timer).expose_provenance()],
        );
    }
}

/// Writes to stdout or stderr if that takes it at once; nobody's health depends on who reads it.
pub fn write(descriptor: usize, bytes: &[u8]) {
    const POLLOUT: usize = 4;
    // A pipe that is full would hold this up, and one without a reader would be a signal.
    if poll(descriptor, Readiness::Write, 0) == Ok(POLLOUT) {
        // SAFETY: the kernel reads `bytes`, which lives until the call returns.
        let _ = unsafe {
            call(
                number::WRITE,
                [descriptor, bytes.as_ptr().expose_provenance(), bytes.len()],
            )
        };
    }
}

/// Ends the process.
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: no pointers; it does not return.
        unsafe { call(number::EXIT_GROUP, [code as usize]) };
    }
}

/// Good for the years 1677 to 2262; what is beyond stays there. No 128 bits: their division would come
/// from a library that this program is linked without.
#[inline(never)]
fn nanoseconds(seconds: i64, fraction: i64) -> Nanoseconds {
    seconds.saturating_mul(SECOND).saturating_add(fraction)
}

fn poll(descriptor: usize, readiness: Readiness, at_most: Nanoseconds) -> Result<usize, Error> {
    #[repr(C)]
    struct PollFd {
        descriptor: i32,
        events: i16,
        returned: i16,
    }
    const NO_MASK: usize = 0;
    let events = match readiness {
        Readiness::Read => 1,
        Readiness::Write => 4,
    };
    let mut asked = PollFd {
        descriptor: descriptor as i32,
        events,
        returned: 0,
    };
    let time = [at_most / SECOND, at_most % SECOND];
    let arguments = [
        (&raw mut asked).expose_provenance(),
        1,
        (&raw const time).expose_provenance(),
        NO_MASK,
    ];
    // SAFETY: the kernel writes to `asked` and `time`, which live until the call returns.
    Error::check(unsafe { call(number::PPOLL, arguments) })?;
    Ok(asked.returned as usize)
}
